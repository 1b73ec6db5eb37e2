"Images a second by stage, beside the decoder alone and a plain loop: MAMMO_UDA_DATA=... python benchmarks/ingest.py"
import os, tempfile, threading, warnings
from pathlib import Path
from time import perf_counter, process_time

import numpy as np, psutil
import pydicom
from pydicom.pixels import apply_voi_lut
from skimage import filters, measure, transform

from mammo_uda.data.dataset import Dataset
from mammo_uda.data.image import render, stored_pixels
from mammo_uda.data.phantom import phantom_store
from mammo_uda.data.standardise import apply_frame, find_frame, shrink
from mammo_uda.data.store import PixelStore, build_store

SIZE, REPEATS = 256, 3
warnings.filterwarnings('ignore')

def plain(path):
    "What a script would do: pydicom's window, Otsu's threshold, the largest region, a resize"
    ds = pydicom.dcmread(path)
    image = apply_voi_lut(ds.pixel_array, ds).astype(float)
    image = (image - image.min())/(image.max() - image.min())
    if ds.PhotometricInterpretation == 'MONOCHROME1': image = 1 - image
    regions = measure.label(image > filters.threshold_otsu(image))
    region = max(measure.regionprops(regions), key=lambda r: r.area)
    top, left, bottom, right = region.bbox
    return transform.resize(image[top:bottom, left:right], (SIZE, SIZE), anti_aliasing=True)

def stages(path, spent):
    "Seconds of processor time by stage"
    def timed(name, fn, *args):
        start = process_time()
        result = fn(*args)
        spent[name] = spent.get(name, 0) + process_time() - start
        return result
    ds = timed('parse', pydicom.dcmread, path)
    stored = timed('decode', stored_pixels, ds)
    image = timed('grey levels', render, stored, ds)
    image = timed('shrink', shrink, image, SIZE)
    frame = timed('find the breast', find_frame, image)
    timed('crop and resize', apply_frame, image, frame, SIZE)

class Watch(threading.Thread):
    "The largest memory of this process and its children together, each page once"
    def __init__(self):
        super().__init__()
        self.peak, self.over = 0, threading.Event()
    def run(self):
        me = psutil.Process()
        while not self.over.wait(.1):
            total = 0
            for o in (me, *me.children(recursive=True)):
                try: total += o.memory_full_info().pss
                except psutil.Error: pass
            self.peak = max(self.peak, total)

def per_second(seconds, n): return f'{n/seconds:6.2f} images a second'

folder = Path(os.environ['MAMMO_UDA_DATA'])/'ffdm_rsna_dicom'
files = sorted(folder.glob('*.dcm'))
n = len(files)*REPEATS

print(f'{len(files)} JPEG 2000 files, {REPEATS} times each, to {SIZE} px, {os.cpu_count()} cores\n')
spent = {}
for _ in range(REPEATS):
    for path in files: stages(path, spent)
total = sum(spent.values())
for name, seconds in spent.items(): print(f'{name:16} {1000*seconds/n:7.0f} ms an image  {seconds/total:5.0%}')
print(f"{'not decoding':16} {1000*(total-spent['decode'])/n:7.0f} ms an image  {1-spent['decode']/total:5.0%}\n")

start = perf_counter()
for path in files: pydicom.dcmread(path).pixel_array
decoder = (perf_counter()-start)/len(files)
start = perf_counter()
for path in files: plain(path)
loop = (perf_counter()-start)/len(files)

with tempfile.TemporaryDirectory() as tmp:
    repeated = Path(tmp)/'files'
    repeated.mkdir()
    lines = ['file,patient,label']
    for i in range(n):
        (repeated/f'{i}.dcm').symlink_to(files[i % len(files)])
        lines.append(f'files/{i}.dcm,{i % 3},0')
    (Path(tmp)/'index.csv').write_text('\n'.join(lines))
    dataset, watch = Dataset.from_csv(Path(tmp)/'index.csv', 'digital'), Watch()
    watch.start()
    start = perf_counter()
    store = build_store(dataset, Path(tmp)/'store', SIZE)
    ours = (perf_counter()-start)/n
    watch.over.set()
    watch.join()
    assert len(store) == n
    print(f'decoder alone, one process   {per_second(decoder, 1)}')
    print(f'plain loop, one process      {per_second(loop, 1)}   {decoder/loop:.2f} of the decoder')
    print(f'build_store, all cores       {per_second(ours, 1)}   {decoder/ours:.2f} of the decoder, {loop/ours:.1f} times the plain loop')
    print(f'memory of all processes      {watch.peak/2**30:6.2f} GiB\n')

    store = phantom_store(Path(tmp)/'phantom', 'digital', patients=100, size=SIZE)
    order = np.random.default_rng(0).permutation(len(store))
    for i in order: store[i]
    start = perf_counter()
    for i in order: store[i]
    print(f'loading a stored image       {1000*(perf_counter()-start)/len(order):6.3f} ms')

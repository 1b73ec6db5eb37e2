"Images a second into a batch on one core, beside fastai's ImageBlock on PNG files: python benchmarks/loading.py"
import itertools, json, tempfile, warnings
from pathlib import Path
from time import process_time

import numpy as np, pandas as pd, torch
from fastai.data.block import CategoryBlock, DataBlock
from fastai.data.transforms import IndexSplitter
from fastai.vision.core import PILImageBW
from fastai.vision.data import ImageBlock
from PIL import Image

from mammo_uda.classify.learner import negatives_per_positive
from mammo_uda.data.blocks import labelled_dls, shots, unpaired_dls
from mammo_uda.data.store import PixelStore, npy_header, write_store

SIZE, IMAGES, MANY, BS = 256, 2048, 100_000, 32
warnings.filterwarnings('ignore')
torch.set_num_threads(1)

def index(n):
    table = pd.DataFrame(dict(image_id=[f'i{i}' for i in range(n)], label=np.arange(n)%2, domain='film', split='train'))
    return table.astype(dict(label='Int64')).assign(view=np.array(['CC','MLO'])[np.arange(n)//2%2])

def breasts(seed):
    "Half-discs with the noise of an image of 12 bits"
    rng, (y, x) = np.random.default_rng(seed), np.mgrid[-1:1:SIZE*1j, 0:1:SIZE*1j]
    shape = np.clip(1.2 - np.hypot(x, y), 0, 1).astype('float32')
    for _ in range(IMAGES): yield (shape + (shape > 0)*rng.normal(0, .01, shape.shape).astype('float32')).clip(0, 1)

def sparse_store(folder):
    "A store of many images whose file takes no room on the disk, for what is done before a pixel is read"
    folder.mkdir()
    with open(folder/'pixels.npy', 'wb') as f:
        f.write(npy_header(MANY, SIZE))
        f.truncate(len(npy_header(MANY, SIZE)) + 2*MANY*SIZE**2)
    index(MANY).to_parquet(folder/'index.parquet')
    (folder/'rejected.csv').write_text('image_id,row,reason\n')
    (folder/'store.json').write_text(json.dumps(dict(size=SIZE, images=MANY, key='sparse')))
    return PixelStore(folder)

def seconds(fn):
    start = process_time()
    return fn(), process_time()-start

def rate(dls, images=None):
    "Images a second of one core, the best of three epochs"
    n = (images or BS*len(dls.train))//BS
    return max(n*BS/seconds(lambda: [None for _ in itertools.islice(dls.train, n)])[1] for _ in range(3))

def png_dls(files):
    "What one writes without this package"
    blocks = ImageBlock(PILImageBW), CategoryBlock
    block = DataBlock(blocks, splitter=IndexSplitter([]), get_y=lambda path: int(path.stem)%2)
    return block.dataloaders(files, bs=BS, num_workers=0, device='cpu')

def own_memory():
    "Bytes that are this process's own, memory maps left out"
    lines = Path('/proc/self/status').read_text().splitlines()
    return 1024*next(int(line.split()[1]) for line in lines if line.startswith('RssAnon'))

with tempfile.TemporaryDirectory() as tmp:
    stores = [write_store(Path(tmp)/name, breasts(seed), index(IMAGES), SIZE) for seed, name in enumerate(['a','b'])]
    files = [Path(tmp)/f'{i}.png' for i in range(IMAGES)]
    for path, image in zip(files, stores[0]): Image.fromarray((image*255).astype('uint8')).save(path)
    for store in stores: store.pixels.sum() # the system has read the file once

    png, kinds = rate(png_dls(files), 512), {
        'one store': labelled_dls(shots(stores[0]), bs=BS, augment=False, device='cpu'),
        'two stores': labelled_dls(shots(*stores), bs=BS, augment=False, device='cpu'),
        'pairs of two stores': unpaired_dls(*map(shots, stores), bs=BS, device='cpu'),
        'one store, augmented': labelled_dls(shots(stores[0]), bs=BS, device='cpu')}
    print(f"{'ImageBlock, 8-bit PNG':24} {png:8,.0f} images a second")
    for name, dls in kinds.items():
        ours = rate(dls, 512 if name.endswith('augmented') else None)*(2 if name.startswith('pairs') else 1)
        print(f'{name:24} {ours:8,.0f} images a second, {ours/png:6.1f} times as many')

    many = sparse_store(Path(tmp)/'many')
    before = own_memory()
    def labelled():
        dls = labelled_dls(items, bs=BS, steps=100, device='cpu')
        negatives_per_positive(dls.train_ds.items)
        return dls
    print(f'\nbefore the first batch of {MANY:,} images:')
    _, opened = seconds(lambda: many.index)
    items, found = seconds(lambda: shots(many, split='train'))
    dls, made = seconds(labelled)
    _, first = seconds(dls.one_batch)
    parts = {'index read, checked': opened, 'shots': found, 'labelled_dls, balance': made, 'a batch': first}
    for name, spent in parts.items(): print(f'{name:24} {spent:6.2f} s')
    print(f"{'all of it':24} {sum(parts.values()):6.2f} s")
    _, theirs = seconds(lambda: png_dls(list(itertools.islice(itertools.cycle(files), MANY))).one_batch())
    print(f"{'ImageBlock, a batch':24} {theirs:6.2f} s")

    rate(labelled_dls(items, bs=BS, augment=False, device='cpu'), 8192)
    more, whole = own_memory()-before, many.pixels.nbytes
    print(f'\nmemory after three times 8,192 of them: {more/2**20:,.0f} MiB more; all pixels: {whole/2**20:,.0f} MiB')

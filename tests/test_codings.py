"Every coding gives the right pixels, and a broken file is one rejection whatever it does to its decoder"
import os, subprocess, sys, threading
from pathlib import Path
from unittest.mock import patch

import imagecodecs, numpy as np, pandas as pd, psutil, pytest
from pydicom.encaps import encapsulate, generate_frames
from pydicom import dcmread
from pydicom.uid import HTJ2K, HTJ2KLosslessRPCL, JPEG2000, JPEG2000MCLossless, JPEGLossless, JPEGLSNearLossless, MPEG2MPML

from codings import ALL, DICOM, PICTURES, film, header, save_coded, save_dicom
from mammo_uda.core.files import UnreadableImage
from mammo_uda.data.codings import CODECS
from mammo_uda.data.dataset import Dataset
from mammo_uda.data.image import read_image
from mammo_uda.data.store import build_store

def within(coding): return {'jpg': 2/255, 'jpeg-baseline': 2/255, 'jpeg-extended': 2/4095, **dict.fromkeys(PICTURES, 1/4095)}.get(coding, 1e-6)

@pytest.mark.parametrize('coding', ALL)
def test_known_pixels(tmp_path, coding):
    pixels = film()
    image = read_image(save_coded(tmp_path, coding, pixels))
    assert image.dtype == np.float32
    np.testing.assert_allclose(image, pixels/4095, atol=within(coding))

@pytest.mark.parametrize('coding', [c for c in DICOM if c != 'jpeg-extended'])
def test_white_background(tmp_path, coding):
    pixels = film()
    image = read_image(save_coded(tmp_path, coding, 4095-pixels, PhotometricInterpretation='MONOCHROME1'))
    np.testing.assert_allclose(image, pixels/4095, atol=1e-6)

WITHOUT_OTHERS = """
import sys
sys.modules |= dict.fromkeys(['pylibjpeg', 'libjpeg', 'openjpeg', 'rle', 'gdcm', 'jpeg_ls']) # as if not installed
import numpy as np
from pydicom.pixels import get_decoder
from pydicom.uid import JPEGLSLossless
from mammo_uda.data.image import read_image
assert get_decoder(JPEGLSLossless).available_plugins == ('mammo_uda',)
np.savez('read.npz', **{path: read_image(path) for path in sys.argv[1:]})
"""

def test_every_coding_where_no_other_decoder_is_installed(tmp_path):
    pixels = film()
    names = {save_coded(tmp_path, coding, pixels).name: coding for coding in ALL}
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, '-c', WITHOUT_OTHERS, *names], cwd=tmp_path, env=os.environ | {'PYTHONPATH': str(root)}, capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == '', done.stderr
    with np.load(tmp_path/'read.npz') as read:
        assert set(read) == set(names) and len(names) == 16
        for name, coding in names.items(): np.testing.assert_allclose(read[name], pixels/4095, atol=within(coding))

@pytest.mark.parametrize('bits', [8, 12, 16])
@pytest.mark.parametrize('predictor', range(1, 8))
def test_lossless_jpeg_with_each_predictor(tmp_path, predictor, bits):
    pixels = (film().astype(int)*16 >> 16-bits).astype('uint8' if bits == 8 else 'uint16')
    data = imagecodecs.jpeg8_encode(pixels, lossless=True, predictor=predictor, bitspersample=bits)
    image = read_image(save_dicom(tmp_path/'a.dcm', header(pixels, bits), JPEGLossless, data))
    np.testing.assert_allclose(image, pixels/(2**bits-1), atol=1e-6)

def test_nearly_lossless_jpeg_ls(tmp_path):
    pixels = film()
    image = read_image(save_dicom(tmp_path/'a.dcm', header(pixels), JPEGLSNearLossless, imagecodecs.jpegls_encode(pixels, level=3)))
    assert 0 < np.abs(image - pixels/4095).max() < 3.5/4095

@pytest.mark.parametrize('syntax, encode', [(JPEG2000, lambda p: imagecodecs.jpeg2k_encode(p, codecformat='j2k', level=80, bitspersample=12)),
    (JPEG2000, lambda p: imagecodecs.jpeg2k_encode(p, codecformat='jp2', reversible=True, level=0, bitspersample=12)), # in a box
    (HTJ2KLosslessRPCL, lambda p: imagecodecs.htj2k_encode(p, reversible=True)), (HTJ2K, lambda p: imagecodecs.htj2k_encode(p, reversible=True))])
def test_further_kinds_of_jpeg_2000(tmp_path, syntax, encode):
    pixels = film()
    np.testing.assert_allclose(read_image(save_dicom(tmp_path/'a.dcm', header(pixels), syntax, encode(pixels))), pixels/4095, atol=12/4095)

@pytest.mark.parametrize('coding', ['jpeg-lossless-1', 'jpeg-ls', 'rle'])
def test_a_film_of_full_size(tmp_path, coding):
    pixels = np.tile(film(1000), (4, 3))
    np.testing.assert_allclose(read_image(save_coded(tmp_path, coding, pixels)), pixels/4095, atol=1e-6)

@pytest.mark.parametrize('share', [.3, .7, .95])
@pytest.mark.parametrize('coding', [c for c, (syntax, _) in DICOM.items() if syntax.is_encapsulated] + ['jpeg-baseline'])
def test_a_picture_that_ends_early_inside_a_whole_file(tmp_path, coding, share):
    ds = dcmread(save_coded(tmp_path, coding, film()))
    data = next(generate_frames(ds.PixelData, number_of_frames=1))
    ds.PixelData = encapsulate([data[:int(share*len(data))//2*2]])
    ds.save_as(tmp_path/'cut.dcm')
    with pytest.raises(UnreadableImage): read_image(tmp_path/'cut.dcm')

@pytest.mark.parametrize('syntax, name', [(MPEG2MPML, 'MPEG2 Main Profile'), (JPEG2000MCLossless, 'JPEG 2000 Part 2')])
def test_a_coding_without_decoder_is_named_with_what_to_do(tmp_path, syntax, name):
    path = save_dicom(tmp_path/'a.dcm', header(film()), syntax, b'pixels')
    with pytest.raises(UnreadableImage, match=f'no decoder for {name}.*; convert the file'): read_image(path)

def test_pixels_of_another_size_than_the_header(tmp_path):
    syntax, encode = DICOM['jpeg-extended']
    path = save_dicom(tmp_path/'a.dcm', header(film(), Rows=80), syntax, encode(film()))
    with pytest.raises(UnreadableImage, match='not the size that its header says'): read_image(path)

LARGE = {'jpeg-ls': (b'\xff\xf7', 5, b'\xff\xf0'*2), 'jpeg-lossless-1': (b'\xff\xc3', 5, b'\xff\xf0'*2),
         **dict.fromkeys(['jpeg-2000', 'htj2k'], (b'\xff\x4f\xff\x51', 8, b'\0\0\xff\xf0'*2))} # marker; where its size is; another size

@pytest.mark.parametrize('coding', LARGE)
def test_a_picture_that_claims_gigabytes_is_refused_before_memory_is_asked_for(tmp_path, coding):
    ds = dcmread(save_coded(tmp_path, coding, film()))
    data, (marker, offset, size) = bytearray(next(generate_frames(ds.PixelData, number_of_frames=1))), LARGE[coding]
    at = data.index(marker) + offset
    data[at:at+len(size)] = size
    ds.PixelData = encapsulate([bytes(data)])
    ds.save_as(tmp_path/'large.dcm')
    with patch.dict(CODECS, {ds.file_meta.TransferSyntaxUID: lambda src: pytest.fail('it was decoded')}), \
         pytest.raises(UnreadableImage, match='not the size that its header says'): read_image(tmp_path/'large.dcm')

def test_real_12_bit_jpeg_is_the_film_of_its_jpeg_2000_twin():
    if 'MAMMO_UDA_DATA' not in os.environ: pytest.skip('MAMMO_UDA_DATA is not set')
    folder = Path(os.environ['MAMMO_UDA_DATA'])/'film_dicom'
    jpeg, twin = [read_image(folder/f'MG1_{o}.dcm') for o in ('JPLY','J2KI')]
    assert jpeg.shape == twin.shape == (4664, 3064)
    assert np.abs(jpeg-twin).mean() < .005 and np.corrcoef(jpeg[::8,::8].ravel(), twin[::8,::8].ravel())[0,1] > .99 # both are lossy

# --- damage

def cut(data, rng): return data[:rng.integers(1, len(data))]

def flip(data, rng):
    "A handful of wrong bits"
    out = bytearray(data)
    for at in rng.integers(0, len(out), rng.integers(1, 30)): out[at] ^= 1 << rng.integers(8)
    return bytes(out)

def flip_head(data, rng):
    "Wrong bytes where the sizes, lengths and tags are"
    out = bytearray(data)
    for at in rng.integers(0, min(len(out), 700), 12): out[at] = rng.integers(256)
    return bytes(out)

def blow_up(data, rng):
    "Lengths and sizes that ask for gigabytes"
    out = bytearray(data)
    for at in rng.integers(0, min(len(out), 2000)-4, 6): out[at:at+4] = b'\xff\xff\xff\x7f'
    return bytes(out)

def swap(data, rng):
    "Two stretches in each other's place"
    a, b = sorted(rng.integers(0, len(data)-40, 2))
    out = bytearray(data)
    out[a:a+20], out[b:b+20] = out[b:b+20], out[a:a+20]
    return bytes(out)

def insert(data, rng):
    at = rng.integers(len(data))
    return data[:at] + rng.bytes(rng.integers(1, 100)) + data[at:]

DAMAGE = (cut, flip, flip_head, blow_up, swap, insert)

def damaged(folder, n):
    "Write `n` broken files, some of every coding"
    rng, names = np.random.default_rng(0), []
    whole = [save_coded(folder, coding, film()) for coding in ALL]
    for i in range(n):
        source = whole[i % len(whole)]
        names.append(f'{i}-{source.name}')
        (folder/names[-1]).write_bytes(DAMAGE[i % len(DAMAGE)](source.read_bytes(), rng))
    return names

class Watch(threading.Thread):
    "Notes the largest memory of any child process"
    def __enter__(self):
        self.peak, self.over = 0, threading.Event()
        self.start()
        return self
    def __exit__(self, *_):
        self.over.set()
        self.join()
    def run(self):
        while not self.over.wait(.05):
            for child in psutil.Process().children(recursive=True):
                try: self.peak = max(self.peak, child.memory_info().rss)
                except psutil.NoSuchProcess: pass

def test_300_damaged_files_are_read_or_rejected(tmp_path):
    names = damaged(tmp_path, 300)
    good = save_coded(tmp_path, 'explicit', film())
    rows = pd.DataFrame({'path': [*names, good.name], 'patient': 'a', 'label': '0'})
    with Watch() as watch: store = build_store(Dataset.from_rows(rows, tmp_path, 'film'), tmp_path/'store', 32)
    rejected = store.rejected
    assert len(store) + len(rejected) == 301 and 301 in store.index['row'].values
    assert sorted([*store.index['row'], *rejected['row']]) == list(range(1, 302))
    assert len(rejected) > 100 and rejected['reason'].str.len().between(5, 120).all()
    assert not rejected['reason'].str.contains(str(tmp_path), regex=False).any()
    assert 2**20 < watch.peak < 2*2**30
    assert np.isfinite(store[:]).all()

"Stores of pixels: whole or absent, with the reason for every image that is not in them"
import errno, os, pickle, signal, subprocess, sys
from pathlib import Path

import numpy as np, pandas as pd, pytest
from PIL import Image

from mammo_uda.core.files import UserError
from mammo_uda.data import store
from mammo_uda.data.dataset import Dataset
from mammo_uda.data.store import PixelStore, build_store, check_size, write_store
from mammo_uda.data.standardise import read_standard


def half_disc(radius, size=64):
    y, x = np.mgrid[:size, :size]
    return np.clip(1.2 - np.hypot(y-size/2, x)/radius, 0, 1).astype('float32')


def table(n): return pd.DataFrame({'image_id': [f'i{i}' for i in range(n)], 'path': 'secret.png', 'label': pd.array([0]*n, dtype='Int64')})


@pytest.fixture
def film(tmp_path):
    "Fourteen good images of two labels, as 16-bit PNG"
    folder = tmp_path/'film'
    folder.mkdir()
    for i in range(14): Image.fromarray((half_disc(16+i)*65535).astype('uint16')).save(folder/f'{i}.png')
    return folder


def dataset(folder, files, label=None, **columns):
    n = len(files)
    label = [i//2%2 for i in range(n)] if label is None else label
    pd.DataFrame(dict(file=files, patient=[i//2 for i in range(n)], label=label, **columns)).to_csv(folder/'index.csv', index=False)
    return Dataset.from_csv(folder/'index.csv', 'film')


GOOD = [f'{i}.png' for i in range(14)]


# ---- images that are already there

def test_what_is_written_comes_back(tmp_path):
    images = np.random.default_rng(0).random((5, 32, 32), dtype='float32')
    calls = []
    s = write_store(tmp_path/'s', images, table(5), 32, key='abc', progress=lambda *a: calls.append(a))
    assert abs(s[:] - images).max() <= 0.5/65535 + 1e-7 and s[2].dtype == np.float32
    assert s.key == 'abc' and s.size == 32 and len(s) == len(s.index) == 5
    assert s.pixels.dtype == np.uint16 and s.pixels.shape == (5, 32, 32) and isinstance(s.pixels, np.memmap)
    assert 'path' not in s.index and s.rejected.empty and s.rejected.columns.tolist() == ['image_id', 'row', 'reason']
    assert calls == [(i, 5) for i in range(1, 6)]
    assert sorted(p.name for p in s.folder.iterdir()) == ['index.parquet', 'pixels.npy', 'rejected.csv', 'store.json']


def test_index_rows_are_numbered_anew(tmp_path):
    s = write_store(tmp_path/'s', np.zeros((2, 32, 32)), table(5)[3:], 32)
    assert s.where(image_id='i4').tolist() == [1]


def test_key_is_that_of_the_content(tmp_path):
    images = np.zeros((2, 32, 32))
    keys = [write_store(tmp_path/str(i), im, t, 32).key for i, (im, t) in enumerate(
        [(images, table(2)), (images, table(2)), (images+0.5, table(2)), (images, table(2).assign(label=1))])]
    assert keys[0] == keys[1] and len(set(keys)) == 3


@pytest.mark.parametrize('images', [np.zeros((1, 32, 32)), np.zeros((3, 32, 32)), np.zeros((2, 64, 64)), np.full((2, 32, 32), np.nan)])
def test_images_that_do_not_fit_leave_no_store(tmp_path, images):
    with pytest.raises(ValueError): write_store(tmp_path/'s', images, table(2), 32)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('size', [7, 0, -64, 28, 33, 66])
def test_bad_size(tmp_path, film, size):
    d = dataset(film, GOOD)
    for make in (lambda: check_size(size), lambda: write_store(tmp_path/'s', [], table(0), size), lambda: build_store(d, tmp_path/'s', size)):
        with pytest.raises(UserError, match=f'--size is {size}'): make()


def test_a_store_pickles_as_its_folder(tmp_path):
    s = write_store(tmp_path/'s', np.ones((200, 32, 32)), table(200), 32)
    s.pixels
    assert len(pickle.dumps(s)) < 500 and pickle.loads(pickle.dumps(s))[3].min() == 1


def test_no_store(tmp_path):
    for bad in (tmp_path, tmp_path/'none'):
        with pytest.raises(UserError, match='is not a pixel store'): PixelStore(bad)


# ---- a full disk

def test_full_disk_is_met_before_the_first_image(tmp_path, film, monkeypatch):
    def full(*args): raise OSError(errno.ENOSPC, 'No space left on device')
    monkeypatch.setattr(os, 'posix_fallocate', full, raising=False)
    calls = []
    with pytest.raises(UserError, match='is full: .* bytes are needed'):
        build_store(dataset(film, GOOD), tmp_path/'s', 32, workers=1, progress=lambda *a: calls.append(a))
    assert calls == [] and sorted(p.name for p in tmp_path.iterdir()) == ['film']


@pytest.fixture
def small_disk(tmp_path):
    "A file system of 1 MiB"
    (tmp_path/'disk').mkdir()
    if subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', tmp_path/'disk'], capture_output=True).returncode:
        pytest.skip('mounting a small file system needs root')
    yield tmp_path/'disk'
    subprocess.run(['umount', tmp_path/'disk'], check=True)


def test_a_disk_that_is_really_full(small_disk):
    write_store(small_disk/'first', np.zeros((10, 32, 32)), table(10), 32)
    with pytest.raises(UserError, match='is full'): write_store(small_disk/'second', np.zeros((1000, 32, 32)), table(1000), 32)
    assert [p.name for p in small_disk.iterdir()] == ['first'] and len(PixelStore(small_disk/'first')) == 10


# ---- reading a data set

def test_build_store_keeps_order_on_several_cores(tmp_path, film):
    d = dataset(film, GOOD, view=['CC', 'MLO']*7)
    one, two = (build_store(d, tmp_path/f's{n}', 32, workers=n) for n in (1, 2))
    assert (one.pixels == two.pixels).all() and one.key == two.key
    assert one.index['image_id'].tolist() == d.table['image_id'].tolist() and one.index['view'].tolist() == ['CC', 'MLO']*7
    assert one[:].max(axis=(1, 2)).min() > 0.5


def spoil(folder):
    "Files of every kind that is no image; name -> what it is"
    whole = (folder/'3.png').read_bytes()
    (folder/'cut.png').write_bytes(whole[:len(whole)//2])
    (folder/'empty.png').write_bytes(b'')
    (folder/'text.png').write_text('not an image')
    (folder/'text.dcm').write_text('not a DICOM file')
    (folder/'folder.png').mkdir()
    Image.fromarray(np.zeros((64, 64), 'uint16')).save(folder/'black.png')
    return ['cut.png', 'empty.png', 'text.png', 'text.dcm', 'folder.png', 'black.png', 'lost.png']


@pytest.mark.parametrize('workers', [1, 2])
def test_single_bad_images_are_rejected_with_a_reason(tmp_path, film, workers):
    bad = spoil(film)
    files = GOOD[:5] + bad + GOOD[5:]
    calls = []
    s = build_store(dataset(film, files), tmp_path/'s', 32, workers=workers, progress=lambda *a: calls.append(a))
    assert len(s) == len(s.pixels) == len(s.index) == 14 and s.pixels.flags.c_contiguous
    assert s.rejected['row'].tolist() == list(range(7, 14))
    assert set(s.rejected['image_id']).isdisjoint(s.index['image_id'])
    assert s.rejected['reason'].str.len().min() > 3
    assert str(tmp_path) not in (s.folder/'rejected.csv').read_text()
    assert calls[-1] == (21, 21)
    good = build_store(dataset(film, GOOD), tmp_path/'good', 32, workers=1)
    assert (s.pixels == good.pixels).all()


def test_every_image_unreadable(tmp_path, film):
    d = dataset(film, [f'lost{i}.png' for i in range(14)])
    with pytest.raises(UserError, match='None of the 14 images .* could be read; row 2'): build_store(d, tmp_path/'s', 32, workers=1)
    assert not (tmp_path/'s').exists()


def test_every_image_of_a_class_unreadable(tmp_path, film):
    d = dataset(film, GOOD[:12] + ['lost.png', 'lost2.png'], label=[0]*12 + [1]*2)
    with pytest.raises(UserError, match='with label 1 could be read; row 14'): build_store(d, tmp_path/'s', 32, workers=1)


def test_every_image_of_a_class_in_a_split_unreadable(tmp_path, film):
    d = dataset(film, GOOD[:12] + ['lost.png', 'lost2.png'], label=[1, 1, 0, 0]*3 + [1]*2, split=['train']*10 + ['test']*4)
    with pytest.raises(UserError, match='with label 1 in split test'): build_store(d, tmp_path/'s', 32, workers=1)


def test_unlabelled_images_are_stored(tmp_path, film):
    dataset(film, GOOD)
    (film/'index.csv').write_text('file,patient\n0.png,a\n1.png,b\nlost.png,c\n')
    s = build_store(Dataset.from_csv(film/'index.csv', 'film'), tmp_path/'s', 32, workers=1)
    assert len(s) == 2 and s.index['label'].isna().all() and len(s.rejected) == 1


def test_a_killed_build_leaves_no_store_and_goes_on(tmp_path, film, monkeypatch):
    spoil(film)
    d = dataset(film, GOOD[:4] + ['text.png'] + GOOD[4:])
    code = ("import os, signal\n"
            "from mammo_uda.data.dataset import Dataset\n"
            "from mammo_uda.data.store import build_store\n"
            "def stop(done, total):\n"
            "    if done == 9: os.kill(os.getpid(), signal.SIGKILL)\n"
            "build_store(Dataset.from_csv('film/index.csv', 'film'), 's', 32, workers=1, progress=stop)")
    env = {**os.environ, 'PYTHONPATH': str(Path(__file__).parents[1])}
    assert subprocess.run([sys.executable, '-c', code], cwd=tmp_path, env=env).returncode == -signal.SIGKILL
    assert not (tmp_path/'s').exists()
    calls, whole = [], build_store(d, tmp_path/'whole', 32, workers=1)
    s = build_store(d, tmp_path/'s', 32, workers=1, progress=lambda done, total: calls.append(done))
    assert calls == list(range(10, 16)) # the nine that were read are not read again
    assert (s.pixels == whole.pixels).all() and s.key == whole.key and s.index.equals(whole.index) and s.rejected.equals(whole.rejected)
    assert sorted(p.name for p in s.folder.iterdir()) == sorted(p.name for p in whole.folder.iterdir())
    assert sorted(p.name for p in tmp_path.iterdir()) == ['film', 's', 'whole']


def test_what_is_left_of_other_work_is_not_taken_up(tmp_path, film):
    def stop(done, total):
        if done == 5: raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt): build_store(dataset(film, GOOD), tmp_path/'s', 32, workers=1, progress=stop)
    s = build_store(dataset(film, GOOD[::-1]), tmp_path/'s', 32, workers=1)
    assert (s.pixels == build_store(dataset(film, GOOD[::-1]), tmp_path/'whole', 32, workers=1).pixels).all()


def fragile(path, *job):
    if path.name == '3.png': os.kill(os.getpid(), signal.SIGSEGV)
    return read_standard(path, *job)

def test_a_file_that_ends_its_process_is_one_rejection(tmp_path, film, monkeypatch):
    monkeypatch.setattr(store, 'read_standard', fragile)
    s = build_store(dataset(film, GOOD), tmp_path/'s', 32, workers=2)
    assert s.rejected[['row','reason']].values.tolist() == [[5, 'ended its process']] and len(s) == 13


def test_the_side_is_taken_from_the_pixels_where_the_list_has_none(tmp_path, film):
    Image.open(film/'1.png').transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(film/'1.png')
    s = build_store(dataset(film, GOOD[:3], laterality=['', '', 'R']), tmp_path/'s', 32, workers=1)
    assert s.index['laterality'].tolist() == ['L', 'R', 'R'] and s.index['side_guessed'].tolist() == [True, True, False]


# ---- real files

@pytest.mark.parametrize('name', ['film_ddsm', 'ffdm_rsna', 'ffdm_rsna_dicom'])
def test_real_files(tmp_path, name):
    if 'MAMMO_UDA_DATA' not in os.environ: pytest.skip('MAMMO_UDA_DATA is not set')
    d = Dataset.from_csv(Path(os.environ['MAMMO_UDA_DATA'])/name/'index.csv', 'film')
    few = Dataset(d.table.iloc[::max(1, len(d)//6)], d.folder, d.name)
    s = build_store(few, tmp_path/'s', 64)
    assert s.rejected.empty and len(s) == len(few)
    assert (s[:, :, 0].max(axis=1) > 0.05).all() # tissue at the chest wall

"Images on their way into a batch: the same ones whichever way they come, with their labels, only CC views upside down"
import pickle, tracemalloc

import numpy as np, pandas as pd, pytest, torch
from fastai.data.block import DataBlock

from mammo_uda.core.files import UserError
from mammo_uda.core.training import seed_all
from mammo_uda.data import blocks
from mammo_uda.data.blocks import (LabelBlock, LoadShot, MammogramBlock, ScaleMammogram, Shot, Shots, ShotsDL,
                                   UnpairedDataLoaders, UpsideDown, as_shots, labelled_dls, shots, unpaired_dls)
from mammo_uda.data.store import PixelStore, npy_header, write_store

CPU = torch.device('cpu')

def numbered(folder, n, size=32, first=0, **columns):
    "A store whose images tell their number by their upper half, and are darker below"
    images = np.zeros((n, size, size), 'float32')
    images[:, :size//2] = (np.arange(n)[:,None,None] + first + 1)/1000
    index = pd.DataFrame(dict(image_id=[f'{first+i}' for i in range(n)], label=pd.array(np.arange(n)%2, dtype='Int64')))
    return write_store(folder, images, index.assign(**columns), size)

@pytest.fixture
def stores(tmp_path):
    views = np.array(['CC', 'MLO', None], dtype=object)[np.arange(12)%3]
    return [numbered(tmp_path/'a', 12, view=pd.array(views, dtype='string'), domain='film', split='train'),
            numbered(tmp_path/'b', 6, first=100, domain='digital', split='train')]

def numbers(x): return (x.amax((1, 2, 3))*1000).round().int() - 1
def plain(x): return x.as_subclass(torch.Tensor)
def whole(dls): return [torch.cat(list(map(plain, part))) for part in zip(*dls)]

# --- a collection

def test_images_are_used_as_a_list(stores):
    a, b = map(shots, stores)
    listed = [*a, *b]
    for both in (a + b, a + list(b), list(a) + b, as_shots(listed)):
        assert isinstance(both, Shots) and len(both) == 18
        assert list(both) == listed and both.stores == tuple(stores)
    grown = shots(stores[0])
    grown += [o for o in b]
    assert list(grown) == listed
    assert both[-1] == Shot(stores[1], 5) and list(both[3:15:4]) == listed[3:15:4]
    assert list(both[[13, 2, 2]]) == [listed[i] for i in (13, 2, 2)]
    assert list(both[both.rows == 1]) == [listed[1], listed[13]]
    assert list(both[[]]) == list(shots()) == list(as_shots([])) == []
    assert len(shots(*stores, label=1)) == 9
    assert list(dict.fromkeys(o.store for o in both)) == stores

def test_columns_of_several_stores(stores):
    some = (shots(stores[0]) + shots(stores[1]))[[13, 0, 2, 12]]
    assert some.values('domain').tolist() == ['digital', 'film', 'film', 'digital']
    assert some.values('view').tolist() == [None, 'CC', None, None]
    assert some.labels().tolist() == [1, 0, 0, 0]

def test_images_of_two_sizes_are_refused(stores, tmp_path):
    other = numbered(tmp_path/'c', 4, size=64)
    with pytest.raises(UserError, match='^The images are of 32 and 64 px: give stores of one size.$'):
        labelled_dls(shots(stores[0], other), bs=2, device='cpu').one_batch()

def test_a_missing_label_is_told_of_before_the_first_batch(stores, tmp_path):
    index = stores[0].index.astype(dict(label='Int8'))
    index.loc[7, 'label'] = None
    store = write_store(tmp_path/'gap', stores[0][:], index, 32)
    for train, valid in ((shots(store), ()), (shots(stores[1]), shots(store))):
        with pytest.raises(UserError, match='^The image 7 has no label: '):
            labelled_dls(train, valid, bs=2, device='cpu')

def test_images_that_fill_no_batch(stores):
    a, none = shots(stores[0]), shots(stores[0], split='test')
    for make in (lambda: labelled_dls(a, bs=13), lambda: labelled_dls(none, bs=2, steps=2),
                 lambda: unpaired_dls(a, none, steps=2), lambda: unpaired_dls(none, a, steps=2),
                 lambda: unpaired_dls(a, a, bs=13)):
        with pytest.raises(UserError, match='^[0-9]+ images do not fill a batch of [0-9]+: '): make()

# --- a batch

def test_every_image_comes_once_an_epoch_with_its_label(stores):
    dls = labelled_dls(shots(*stores), bs=6, augment=False, device='cpu')
    x, y = whole(dls.train)
    seen = numbers(x)
    assert sorted(seen.tolist()) == [*range(12), *range(100, 106)] and y.tolist() == (seen % 2).tolist()
    assert seen.tolist() != numbers(whole(dls.train)[0]).tolist()

def test_a_batch_is_what_its_images_are(stores):
    items = shots(*stores)[[13, 4, 0, 17, 4]]
    dls = labelled_dls(shots(stores[0]), items, bs=5, augment=False, device='cpu')
    (x, y), = dls.valid
    single = [dls.valid_ds[i] for i in range(5)]
    assert x.dtype == torch.float32 and x.shape == (5, 1, 32, 32)
    assert torch.equal(x, torch.stack([o for o, _ in single])) and y.tolist() == [int(o) for _, o in single]
    for pixels, shot in zip(x, items): assert np.array_equal(pixels[0], shot.store[shot.at])

def test_blocks_in_a_datablock_of_ones_own(stores):
    block = DataBlock((MammogramBlock, LabelBlock))
    dls = block.dataloaders(shots(*stores), bs=4, num_workers=0, device='cpu')
    x, y = dls.one_batch()
    assert isinstance(dls.train, ShotsDL) and (numbers(x) % 2).tolist() == y.tolist()

def test_a_test_loader_takes_a_list(stores):
    dls = labelled_dls(shots(stores[0]), bs=4, augment=False, device='cpu')
    x, y = whole(dls.test_dl([*shots(stores[1])], with_labels=True, num_workers=0))
    assert numbers(x).tolist() == [*range(100, 106)] and y.tolist() == [0, 1]*3

def test_the_same_seed_gives_the_same_batches(stores):
    def batches():
        seed_all(3)
        dls = labelled_dls(shots(*stores), bs=4, steps=5, device='cpu')
        return whole(dls.train)
    assert all(map(torch.equal, batches(), batches()))

def test_a_store_is_not_read_whole(tmp_path):
    n, size = 20_000, 256
    folder = tmp_path/'many'
    folder.mkdir()
    with open(folder/'pixels.npy', 'wb') as f:
        f.write(npy_header(n, size))
        f.truncate(len(npy_header(n, size)) + 2*n*size**2) # 2.6 GB that take no room
    names, labels = [f'{i}' for i in range(n)], pd.array(np.arange(n)%2, dtype='Int64')
    pd.DataFrame(dict(image_id=names, label=labels, view='CC')).to_parquet(folder/'index.parquet')
    (folder/'rejected.csv').write_text('image_id,row,reason\n')
    (folder/'store.json').write_text(f'{{"size": {size}, "images": {n}, "key": "many"}}')
    tracemalloc.start()
    try:
        dls = labelled_dls(shots(PixelStore(folder)), bs=8, steps=2, device='cpu')
        assert len(list(dls.train)) == 2
        assert tracemalloc.get_traced_memory()[1] < 100*2**20
    finally: tracemalloc.stop()

# --- a store that lies on the device

@pytest.fixture
def room(monkeypatch): monkeypatch.setattr(blocks, 'free_memory', lambda device: 2**30)

def load_of(dls): return dls.train_ds.tls[0].tfms.fs[-1]

@pytest.mark.parametrize('augment', [False, True])
def test_stores_on_the_device_give_the_same_batches(stores, monkeypatch, augment):
    def batches():
        seed_all(0)
        return whole(labelled_dls(shots(*stores), bs=4, steps=6, augment=augment, device='cpu').train)
    mapped = batches()
    monkeypatch.setattr(blocks, 'free_memory', lambda device: 2**30)
    monkeypatch.setattr(blocks, 'read_mapped', None)
    assert all(map(torch.equal, mapped, batches()))

def test_grey_levels_of_all_bits_survive_on_the_device(tmp_path, room):
    images = (np.arange(2**16).reshape(4, 128, 128)/65535).astype('float32')
    index = pd.DataFrame(dict(image_id=[*'abcd'], label=pd.array([0, 1, 0, 1], dtype='Int64')))
    store = write_store(tmp_path/'all', images, index, 128)
    dls = labelled_dls(shots(store), shots(store), bs=4, augment=False, device='cpu')
    (x, _), = dls.valid
    assert load_of(dls).kept and x.max() == 1 and torch.equal(plain(x[:,0]), torch.from_numpy(store[:]))

@pytest.mark.parametrize('spare, held', [(1, True), (-1, False)])
def test_stores_take_no_more_than_a_quarter_of_what_is_free(stores, monkeypatch, spare, held):
    need = sum(o.pixels.nbytes for o in stores)
    monkeypatch.setattr(blocks, 'free_memory', lambda device: 4*need + 4*spare)
    assert bool(load_of(labelled_dls(shots(*stores), bs=4, device='cpu')).kept) == held
    assert bool(load_of(unpaired_dls(*map(shots, stores), device='cpu')).kept) == held

def test_the_main_memory_is_left_to_the_system(stores):
    assert blocks.free_memory(CPU) == 0 and not load_of(labelled_dls(shots(*stores), bs=4, device='cpu')).kept

def test_a_store_that_is_not_on_the_device_is_read_from_its_file(stores, room):
    dls = labelled_dls(shots(stores[0]), bs=4, device='cpu')
    x, = whole(dls.test_dl(shots(stores[1]), num_workers=0))
    assert load_of(dls).kept.keys() == {stores[0]} and numbers(x).tolist() == [*range(100, 106)]

def test_a_learner_that_is_sent_away_takes_no_store_along(stores, room):
    load = load_of(labelled_dls(shots(*stores), bs=4, device='cpu'))
    assert len(pickle.dumps(load)) < 200 and not pickle.loads(pickle.dumps(load)).kept

def test_pixels_travel_in_16_bits_to_a_cuda_device(stores):
    items = shots(*stores)
    raw = LoadShot(torch.device('cuda'))(items) # nothing goes there yet
    assert raw.dtype == torch.uint16 and torch.equal(ScaleMammogram()(raw), LoadShot()(items))

# --- upside down

def test_only_cc_views_are_turned_and_only_in_training(stores):
    items = as_shots([*shots(stores[0])]*20)
    turned = UpsideDown()(items, split_idx=0).turned
    cc = items.values('view') == 'CC'
    assert not turned[~cc].any() and .2 < turned[cc].mean() < .8
    assert not UpsideDown()(items, split_idx=1).turned.any() and not UpsideDown()(items).turned.any()

@pytest.mark.parametrize('there', [False, True])
def test_a_turned_image_is_read_from_its_last_row_up(stores, there):
    items = shots(stores[0])
    load = LoadShot(CPU, {o: blocks.uploaded(o, CPU) for o in stores} if there else None)
    plain, turned = load(items), load(UpsideDown(1.)(items, split_idx=0))
    for i, (a, b) in enumerate(zip(plain, turned)): assert torch.equal(b, a.flip(1) if i%3 == 0 else a)

def test_training_turns_cc_views_and_validation_none(stores, monkeypatch):
    monkeypatch.setattr(blocks, 'mammogram_augment', lambda: None)
    dls = labelled_dls(shots(stores[0]), shots(stores[0]), bs=4, device='cpu')
    def upside_down(dl): return [int(n) for x, _ in dl for n, image in zip(numbers(x), x) if image[0, -1].any()]
    seen = {n for _ in range(10) for n in upside_down(dls.train)}
    assert seen == {0, 3, 6, 9} and upside_down(dls.valid) == []
    assert upside_down(labelled_dls(shots(stores[0]), bs=4, augment=False, device='cpu').train) == []

# --- pairs

def test_pairs_are_of_a_class_of_their_own_from_the_start(stores):
    dls = unpaired_dls(*map(shots, stores), bs=3, steps=4, device='cpu')
    assert type(dls) is UnpairedDataLoaders and dls.domains == ['film', 'digital'] and dls.device == CPU
    assert [len(o) for o in dls.images] == [12, 6] and len(list(dls.train)) == 4

def test_an_image_has_another_partner_each_time(stores):
    dls = unpaired_dls(*map(shots, stores), bs=4, device='cpu')
    epochs = [[numbers(o).tolist() for o in whole(dls.train)] for _ in range(4)]
    pairs = {pair for a, b in epochs for pair in zip(a, b)}
    assert all(sorted(a) == [*range(12)] for a, _ in epochs)
    assert {b for _, b in pairs} == {*range(100, 106)} and len(pairs) > 24

"Images of any size and number: the same as one by one, and without a seam where they go by tiles"
import numpy as np, pytest, torch
from torch import nn

from mammo_uda.core.files import UserError
from mammo_uda.core.training import seed_all
from mammo_uda.data.phantom import phantom_store
from mammo_uda.translate.networks import Generator, match_look
from mammo_uda.translate.tiles import Tiled, bounded, fixed_norms, gib_needed, reach, spans, tile_side, with_tiles
from mammo_uda.translate.translator import Translator, translate_store

KINDS = [dict(how='resize', residual=True), dict(how='resize', residual=False), dict(how='transposed', residual=False)]

@pytest.fixture(scope='module')
def film(tmp_path_factory): return phantom_store(tmp_path_factory.mktemp('film')/'s', 'film', patients=2, size=256)

@pytest.fixture(scope='module')
def small(tmp_path_factory): return phantom_store(tmp_path_factory.mktemp('small')/'s', 'film', patients=2, size=64)

def generator(filters=8, blocks=2, **kind):
    "With a last layer that adds something, as after training"
    seed_all(0)
    net = Generator(filters=filters, blocks=blocks, **kind).eval()
    nn.init.normal_(net.layers[-1].weight, std=.01)
    return net.requires_grad_(False)

def tensor(images): return torch.from_numpy(images)[:,None]*2-1

# --- sizes and numbers

@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('shape', [(60,60), (68,68), (100,100), (60,100), (16,64)])
def test_any_multiple_of_4(kind, shape):
    images = np.random.default_rng(0).random((3, *shape), np.float32)
    out = Translator(generator(**kind), 'film', 'digital', 64)(images)
    assert out.shape == images.shape and out.dtype == np.float32 and 0 <= out.min() and out.max() <= 1

@pytest.mark.parametrize('shape', [(62,64), (64,63), (8,64)])
def test_other_sides_are_refused(shape):
    with pytest.raises(UserError, match=f'images are {shape[0]} x {shape[1]} px: give images whose sides are multiples of 4'):
        Translator(generator(), 'film', 'digital', 64)(np.zeros((1, *shape), np.float32))

@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('gib', [2., .003])
def test_a_batch_is_its_images(small, kind, gib):
    translator = Translator(generator(**kind), 'film', 'digital', 64)
    images = np.pad(small[:6], ((0,0), (20,0), (0,200)))
    assert (gib_needed(translator.net, images.shape[1:]) > gib) == (gib < 1)
    together = translator(images, gib)
    np.testing.assert_allclose(together, np.concatenate([translator(o[None], gib) for o in images]), atol=1e-5)
    assert together.std(axis=0).max() > .01

def test_stores_of_the_training_size_are_as_they_were(small, tmp_path):
    net = generator(residual=True)
    made = translate_store(Translator(net, 'film', 'digital', 64), small, tmp_path/'made')
    before = ((net(tensor(small[:]))+1)/2).clamp(0, 1)[:,0].numpy()
    np.testing.assert_array_equal(made.pixels, np.rint(before*65535).astype(np.uint16))

def test_a_generator_of_another_kind_runs_whole():
    net = nn.Conv2d(1, 1, 3, padding=1)
    x = torch.rand(1, 1, 64, 64)
    assert gib_needed(net, (4096,4096)) == 0 and torch.equal(bounded(net, x, gib=1e-9), net(x))

# --- what a pixel sees

@pytest.mark.parametrize('how', ['resize', 'transposed'])
@pytest.mark.parametrize('blocks', [1, 3])
@pytest.mark.parametrize('at', [(96,96), (97,98), (99,95)])
def test_reach(how, blocks, at):
    layers = fixed_norms(generator(4, blocks, how=how).layers).double()
    x = torch.rand(1, 1, 192, 192, dtype=torch.float64)
    touched = x.clone()
    touched[..., at[0], at[1]] += 10
    differ = (layers(touched)-layers(x))[0,0].abs() > 1e-12
    far = max(abs(differ.nonzero()[:,i]-at[i]).max().item() for i in (0,1))
    assert reach(layers)-12 <= far <= reach(layers)

# --- seams

def test_spans_cover_each_pixel_once():
    for length, core, halo in ((256,112,32), (100,40,8), (60,60,20), (64,200,8)):
        kept = np.concatenate([np.arange(length)[seen][inner] for _, seen, inner in spans(length, core, halo)])
        assert kept.tolist() == list(range(length))
        for keep, seen, _ in spans(length, core, halo):
            assert seen.start == max(keep.start-halo, 0) and seen.stop == min(keep.stop+halo, length) and seen.start%4 == 0

def noise(image, breast): return (image-nn.functional.avg_pool2d(nn.functional.pad(image, [1]*4, 'reflect'), 3, 1))[breast].std()

@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('tile, width', [(128,188), (200,256)])
def test_tiles_are_the_whole(film, kind, tile, width):
    "Not only has the difference no seam: it is a thousandth of the noise, in every pixel"
    net, x = generator(**kind), tensor(film[1:2])[..., :width]
    if net.start: match_look(net.start, film[:4], film[4:])
    whole, tiles = net(x), with_tiles(net, tile)
    assert len(tiles.layers.tiles(x)) > 1 and abs(tiles(x)-whole).max() < 1e-3*noise(whole, x > -1)

def test_a_halo_too_small_leaves_a_seam(film):
    net, x = generator(), tensor(film[1:2])
    tiles = with_tiles(net, 128)
    tiles.layers.halo -= 16
    assert abs(tiles(x)-net(x)).max() > 1e-2*noise(net(x), x > -1)

def test_one_image_leaves_nothing_for_the_next(film):
    tiles, x = with_tiles(generator(), 128), tensor(film[:2])
    tiles(x[:1])
    assert torch.equal(tiles(x[1:]), with_tiles(generator(), 128)(x[1:]))

def test_own_statistics_in_each_tile_are_seen(film):
    "The measure above finds the seam that it looks for"
    net, x = generator(), tensor(film[3:4]) # little of whose breast lies in the right half
    left, right = net(x[..., :128]), net(x[..., 128:])
    d = torch.cat([left, right], 3) - net(x)
    steps = abs(d.diff(dim=3))[0,0,64:192].mean(0)
    assert steps[127] > 3*steps.median()

# --- memory

def test_memory_is_that_of_a_tile(film):
    tiled, x = Tiled(generator().layers, 128), tensor(film[1:2])
    most = []
    hook = nn.modules.module.register_module_forward_hook(lambda m, i, o: most.append(o.numel()) if not isinstance(m, Tiled) else None)
    try: peaks = [(most.clear(), tiled(o), max(most))[2] for o in (x, x.repeat(1,1,1,3), x.repeat(1,1,3,3))]
    finally: hook.remove()
    assert peaks[0] == peaks[1] == peaks[2] <= 8*160**2 # the filters, padded

def test_tile_fits_the_memory():
    net = generator(16)
    for gib in (.02, .1, 1.): assert .8*gib < gib_needed(net, [tile_side(net, gib)]*2) <= gib
    with pytest.raises(UserError, match='too little for a tile'): tile_side(net, 1e-4)

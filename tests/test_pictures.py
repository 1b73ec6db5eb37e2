"What the screen shows of 16-bit pixels"
import io
import matplotlib, numpy as np, pytest
from PIL import Image
from skimage.draw import polygon2mask
from mammo_uda.data.phantom import DOMAINS, phantom_store
from mammo_uda.data.store import write_store
from mammo_uda.view.pictures import REACH, difference, jpeg, known, outline, png, windowed

def opened(data): return np.asarray(Image.open(io.BytesIO(data)))

def test_whole_window_keeps_the_fixed_scale():
    assert windowed(np.array([[-1, 0, 0.5, 1, 2]], dtype='float32')).tolist()==[[0, 0, 128, 255, 255]]

def test_window_of_sixteen_bit_steps():
    steps = np.arange(30000, 30256, dtype='float32')[None]/65535
    assert len(np.unique(windowed(steps)))==2 and len(np.unique(windowed(steps, 30127.5/65535, 255/65535)))==256

@pytest.mark.parametrize('shape', [(5, 7), (5, 7, 3)])
def test_png_loses_nothing(shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype='uint8')
    np.testing.assert_array_equal(opened(png(pixels)), pixels)

def test_jpeg_loses_little():
    ramp = np.arange(256, dtype='uint8')[None].repeat(32, 0)
    assert abs(opened(jpeg(ramp)).astype(int) - ramp).max() <= 3

def seen_without_red_and_green(rgb):
    "What a person without red cones sees (Viénot, Brettel and Mollon 1999), linear light"
    linear = (rgb/255)**2.2
    return linear @ np.array([[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]]).T

def test_signs_of_a_difference_differ_for_the_colour_blind():
    change = np.linspace(-REACH, REACH, 11)[None]
    colours = difference(0.5 + change, np.full_like(change, 0.5))[0]
    for colour in ((colours/255)**2.2, seen_without_red_and_green(colours)):
        assert np.abs(colour[:5] - colour[:5:-1]).max(1).min() > 0.1

def test_no_change_is_white_and_beyond_the_reach_is_the_end():
    colours = difference(np.array([[0.5, 1, 9]]), np.array([[0.5, 0.5, 0.5]]))[0]
    assert colours[0].min() > 240 and (colours[1]==colours[2]).all()

def test_outline_encloses_the_mask():
    mask = np.zeros((40, 40), dtype=bool)
    mask[5:12, 20:31] = mask[30:33, :4] = True
    rings = [np.array([point.split() for point in ring.rstrip('Z').split('L')], dtype=float) for ring in outline(mask).split('M')[1:]]
    filled = sum(polygon2mask(mask.shape, 40*ring[:, ::-1] - 0.5) for ring in rings)
    assert len(rings)==2 and (filled==mask).mean() > 0.98

def test_known_answers_fit_the_images_of_a_store(tmp_path):
    for domain in DOMAINS:
        store = phantom_store(tmp_path/domain, domain, patients=8, size=64)
        ill = store.index[store.index.label==1].index[0]
        truth, lesion = known(store.index.iloc[ill], 64)
        assert lesion.any() and store[ill][lesion].min() > 0 and ((truth > 0)==(store[ill] > 0)).mean() > 0.95

def test_a_translated_image_has_the_same_lesion(tmp_path):
    store = phantom_store(tmp_path/'film', 'film', patients=2, size=64)
    made = write_store(tmp_path/'made', store[:], store.index.assign(domain='digital', made_from='film'), 64)
    for row, other in zip(store.index.itertuples(), made.index.itertuples()): assert known(row, 64)[1] is known(other, 64)[1]

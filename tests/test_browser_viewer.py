"The browser shows what its controls ask for"
import gc, io, tracemalloc
import numpy as np, pandas as pd, pytest
from matplotlib import pyplot
from PIL import Image
from mammo_uda.core.files import UserError
from mammo_uda.data.phantom import phantom_store
from mammo_uda.data.store import write_store
from mammo_uda.view.browser import Browser, evenly, lesion_outline, with_scores
from mammo_uda.view.parts import Picture, Slider, WindowLevel

@pytest.fixture(scope='module')
def store(tmp_path_factory): return phantom_store(tmp_path_factory.mktemp('browser')/'film', 'film', patients=6, size=64)

@pytest.fixture(scope='module')
def scores(store): return pd.DataFrame(dict(image_id=store.index.image_id[:20], prob=np.linspace(0, 1, 20)))

def pixels(picture): return np.asarray(Image.open(io.BytesIO(picture.png)))

def test_shows_each_image_as_it_is(store):
    browser = Browser(store.folder)
    for i in (0, 5, 23):
        browser.page.value = i+1
        np.testing.assert_array_equal(pixels(browser.picture), np.rint(store[i]*255))
        assert browser.picture.alt.startswith(store.index.image_id[i])

def test_filters_add_up(store, scores):
    browser = Browser(store, scores)
    browser.menus['view'].value, browser.menus['label'].value, browser.least.value, browser.most.value = 'CC', 0, 0.2, 0.9
    wanted = with_scores(store.index, scores).query("view=='CC' and label==0 and 0.2<=prob<=0.9")
    assert browser.index.iloc[browser.rows].image_id.tolist()==wanted.image_id.tolist() != []
    browser.menus['view'].value = 'MLO'
    assert browser.row['view']=='MLO' and browser.page.value==1

def test_an_image_without_score_is_in_the_whole_range_only(store, scores):
    browser = Browser(store, scores)
    assert len(browser.rows)==24
    browser.most.value = 0.99
    assert len(browser.rows)==19

def test_nothing_to_show(store, scores):
    browser = Browser(store, scores)
    browser.outlined.value, browser.least.value, browser.most.value = True, 0.51, 0.52
    assert (browser.text.value, browser.picture.png, browser.picture.alt, browser.picture.outline)==('no such image', b'', '', '')
    with pytest.raises(UserError, match='other filters'): browser.save('nowhere.html')
    browser.greys.level.value = 0.4
    browser.most.value = 1
    assert len(browser.picture.png)

def test_window_and_drag(store):
    browser = Browser(store)
    browser.greys.level.value, browser.greys.width.value = 0.6, 0.2
    np.testing.assert_allclose(pixels(browser.picture), ((store[0] - 0.5)/0.2).clip(0, 1)*255, atol=0.51)
    browser.picture.drag = [0.3, -0.1]
    assert (browser.greys.level.value, browser.greys.width.value)==pytest.approx((0.5, 0.5))
    browser.picture.drag = [0.2, -9]
    assert (browser.greys.level.value, browser.greys.width.value)==pytest.approx((0, 0.4))

def test_zoom_and_outline_need_no_new_pixels(store):
    browser = Browser(store)
    browser.menus['label'].value = 1
    before = browser.picture.png
    browser.zoom.value, browser.outlined.value = 3, True
    assert browser.picture.png is before and browser.picture.zoom==3 and browser.picture.outline==lesion_outline(browser.row, 64) != ''
    browser.outlined.value = False
    assert browser.picture.outline==''

def test_a_store_of_little_knowledge(store, tmp_path):
    bare = write_store(tmp_path/'bare', store[:3], pd.DataFrame(dict(image_id=list('abc'), view=pd.NA, label=pd.array([None]*3, dtype='Int64'), domain='film')), 64)
    browser = Browser(bare)
    assert list(browser.menus)==['domain'] and browser.outlined not in browser.children[2].children and browser.picture.alt=='a, no view no label, film'
    browser.outlined.value = True
    assert browser.picture.outline==''

def test_every_control_has_a_name(store, scores):
    def inside(o): return [o] if not hasattr(o, 'children') else [p for child in o.children for p in inside(child)]
    controls = [o for o in inside(Browser(store, scores)) if hasattr(o, 'description') and hasattr(o, 'value') and o.__class__.__name__ != 'HTML']
    assert len(controls)==11 and all(o.description for o in controls)

@pytest.mark.parametrize('rows,n,chosen', [(10, 3, [0, 4, 9]), (2, 5, [0, 1]), (5, 1, [0]), (1, 1, [0])])
def test_evenly(rows, n, chosen): assert evenly(np.arange(rows), n).tolist()==chosen

def test_too_many_images_for_a_page(store, tmp_path, monkeypatch):
    monkeypatch.setattr('mammo_uda.view.page.LARGEST', 20_000)
    with pytest.raises(UserError, match='fewer or smaller'): Browser(store).save(tmp_path/'page.html')
    assert not (tmp_path/'page.html').exists()

def test_a_thousand_updates_leave_nothing_behind(store):
    browser = Browser(store)
    def move(n):
        for i in range(n): browser.greys.level.value, browser.page.value = 0.3 + i%50/100, 1 + i%24
        gc.collect()
        return tracemalloc.get_traced_memory()[0]
    tracemalloc.start()
    before = move(100)
    after = move(1000)
    tracemalloc.stop()
    assert after - before < 100_000 and not pyplot.get_fignums()

def test_slider_stays_inside():
    slider = Slider(min=2, max=4, value=9)
    assert slider.value==4
    slider.value = -1
    assert slider.value==2

def test_a_window_draws_what_it_says():
    greys = WindowLevel()
    greys.width.value = 0.5
    assert np.asarray(Image.open(io.BytesIO(greys.png(np.array([[0.25, 0.5, 0.75]]))))).tolist()==[[0, 128, 255]]
    assert Picture().png==b''

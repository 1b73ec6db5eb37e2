"The static twins work in a real browser, from a file, without a network"
import io
import numpy as np, pandas as pd, pytest
from PIL import Image
from layout import click_at, edges, faults, outline_seen, picture_seen, table1_rows, table_seen
from phantoms import first_images, phantom_run, trained_run
from mammo_uda.core.files import write_whole
from mammo_uda.data.store import PixelStore
from mammo_uda.experiment.audit import audit_page
from mammo_uda.experiment.report import make_report, run_table, sample_run
from mammo_uda.view.browser import Browser
from mammo_uda.view.pictures import known
from mammo_uda.view.table1 import Table1Viewer
from mammo_uda.view.training import TrainingViewer
from mammo_uda.view.translation import TranslationViewer
from mammo_uda.view.twins import write_twins

ANSWERS = dict(recipe='uda', way=['film to digital', 'digital to film'], label=[0, 1], images=[12, 13],
               translated=[0.125, 0.5], there_and_back=[0.25, 0.625])
KNOWN = dict(way='film to digital', recipe=['as it is', 'uda'], error=[0.111, 0.222], similarity=[0.333, 0.444],
             contrast_kept=[0.999, 0.888], cnr_kept=[0.777, 0.666], detectability=[2.625, 1.375],
             lesions_lost=[0.5, 0.375], lesions_invented=[0.125, 0.875])
AUDIT = dict(answers=pd.DataFrame(ANSWERS), known=pd.DataFrame(KNOWN))

@pytest.fixture(scope='module')
def run(tmp_path_factory): return phantom_run(tmp_path_factory.mktemp('twins')/'run', size=128)

@pytest.fixture(scope='module')
def sample(tmp_path_factory): return trained_run(tmp_path_factory.mktemp('sample')/'run')

@pytest.fixture(scope='module')
def pages(run, sample):
    "The twins and the pages of a report by name"
    index = make_report(sample)
    (sample/'audit').mkdir()
    (sample/'audit'/'uda-film-digital.png').write_bytes((sample/'roc.png').read_bytes())
    audit = write_whole(sample/'audit.html', audit_page(AUDIT, ['uda-film-digital']))
    viewers = dict(browser=Browser(run/'steps'/'film'), translation=TranslationViewer(run),
                   table1=Table1Viewer(sample), trainings=TrainingViewer(sample))
    twins = {name: viewer.save(run/f'{name}.html') for name, viewer in viewers.items()}
    return twins | dict(report=sample/'table1.html', index=index, audit=audit)

def test_a_viewer_with_nothing_to_show_is_left_out_and_named(tmp_path, capsys):
    run = sample_run(tmp_path/'run')
    text = write_twins(run).read_text()
    assert 'trainings.html was left out. ' in capsys.readouterr().out and not (run/'trainings.html').exists()
    assert 'href="table1-cells.html"' in text and 'trainings.html' not in text and 'roc.png' not in text

ALL = ['browser', 'translation', 'table1', 'trainings', 'report', 'index', 'audit']

@pytest.fixture
def opened(browser, pages):
    "Opens a twin; afterwards, nothing may have gone wrong and nothing may have been asked of a network"
    tabs, faults = [], []
    def show(name, width=1280, scheme='light'):
        tab = browser.new_page(viewport=dict(width=width, height=900), color_scheme=scheme)
        tabs.append(tab)
        tab.on('pageerror', lambda e: faults.append(str(e)))
        tab.on('console', lambda m: faults.append(m.text))
        tab.on('request', lambda r: faults.append(r.url) if not r.url.startswith(('file:', 'data:')) else None)
        tab.goto(pages[name].as_uri())
        return tab
    yield show
    for tab in tabs: tab.close()
    assert not faults

def grey(locator):
    "Mean grey of what is seen"
    return np.asarray(Image.open(io.BytesIO(locator.screenshot())).convert('L')).mean()

def slide(tab, name, value):
    "Move a slider as a hand would: every value it passes is an event"
    tab.get_by_role('slider', name=name).fill(str(value))

def test_pages_are_small_and_tell_nothing(pages, run):
    for name in ALL:
        page = pages[name]
        assert page.stat().st_size < 3_000_000 and str(run) not in page.read_text()

@pytest.mark.parametrize('name', ALL)
@pytest.mark.parametrize('width,scheme', [(1280, 'light'), (390, 'dark')])
def test_fits_the_screen(opened, artefacts, name, width, scheme):
    tab = opened(name, width, scheme)
    tab.screenshot(path=artefacts/f'twin-{name}-{width}.png', full_page=True)
    assert tab.evaluate('document.documentElement.scrollWidth') <= width
    assert all(o.evaluate('o => o.complete && o.naturalWidth > 0') for o in tab.locator('img').all())
    assert not faults(tab.locator('body'))

@pytest.mark.parametrize('width', [1280, 390])
def test_numbers_stand_under_their_headings_and_beside_their_rows(opened, sample, width):
    table = run_table(sample)
    tab = opened('table1', width)
    for paper in (False, True):
        tab.get_by_label("paper's numbers").set_checked(paper)
        rows = table1_rows(table, paper)
        assert table_seen(tab.locator('.mu-cells'), list(rows[0]))==rows and not faults(tab.locator('body'))

@pytest.mark.parametrize('name', ['report', 'index'])
@pytest.mark.parametrize('width', [1280, 390])
def test_numbers_of_the_report(opened, sample, name, width):
    def two_columns(row): return dict(zip(['train', 'test'], row.pop('train → test').split(' → '))) | row
    rows = [*map(two_columns, table1_rows(run_table(sample), paper=True))]
    assert table_seen(opened(name, width).locator('.table1 table'), list(rows[0]))==rows

@pytest.mark.parametrize('width', [1280, 390])
def test_numbers_of_the_audit(opened, width):
    tab = opened('audit', width)
    for table, given in zip(tab.locator('table').all(), AUDIT.values()):
        rows = given.map(lambda v: f'{v:.3f}' if isinstance(v, float) else str(v))
        assert table_seen(table, list(rows))==rows.to_dict('records')

@pytest.mark.parametrize('width', [1280, 390])
def test_a_click_where_row_and_heading_cross_opens_that_cell(opened, sample, width):
    tab = opened('table1', width)
    tab.get_by_label("paper's numbers").check()
    root = tab.locator('.mu-cells')
    for row in table1_rows(run_table(sample)):
        name = row.pop('train → test')
        for column, number in row.items():
            click_at(root, name, column)
            assert tab.locator('h2').inner_text()==f"{name.replace('→', 'to')}, {column.replace(' ', ', ')}: {number}"

@pytest.mark.parametrize('width', [1280, 390])
def test_each_picture_is_under_its_caption(opened, run, width):
    body, images = opened('translation', width).locator('body'), first_images(run)
    for name, image in images.items(): assert np.abs(picture_seen(body, name, 128) - image).mean() < 0.03
    swiped = picture_seen(body, 'swipe', 128)
    assert np.abs(swiped[:, :62] - images['real'][:, :62]).mean() < 0.03
    assert np.abs(swiped[:, 66:] - images['synthesised'][:, 66:]).mean() < 0.03

@pytest.mark.parametrize('width', [1280, 390])
def test_outline_lies_over_the_lesion(opened, run, width):
    tab, index = opened('browser', width), PixelStore(run/'steps'/'film').index
    ill = int(index.label.argmax())
    slide(tab, 'image', ill + 1)
    tab.get_by_role('checkbox', name='outline of the lesion').check()
    for zoom in (1, 3):
        slide(tab, 'zoom', zoom)
        np.testing.assert_allclose(outline_seen(tab.locator('body')), edges(known(index.iloc[ill], 128)[1]), atol=0.01)

@pytest.mark.parametrize('name', ['browser', 'translation'])
def test_everything_has_a_name(opened, name):
    tab = opened(name)
    for role in ['slider', 'button', 'checkbox']:
        for o in tab.get_by_role(role).all(): assert o.evaluate('o => (o.labels?.[0] ?? o).textContent').strip()
    assert all(o.get_attribute('alt') for o in tab.locator('img:not(.over)').all())

def test_turns_pages_by_every_way(opened):
    tab = opened('browser')
    said = lambda: tab.locator('figcaption').inner_text()
    assert said().startswith('1 of 24: film-i00001')
    tab.get_by_role('button', name='Next').click()
    assert said().startswith('2 of 24') and 'film-i00002' in tab.locator('figure img').get_attribute('alt')
    tab.get_by_role('button', name='Previous').click()
    tab.get_by_role('button', name='Previous').click()
    assert said().startswith('1 of 24')
    tab.keyboard.press('ArrowRight')
    assert said().startswith('2 of 24')
    tab.get_by_role('slider', name='image').focus()
    tab.keyboard.press('End')
    assert said().startswith('24 of 24')
    tab.keyboard.press('ArrowLeft')
    assert said().startswith('23 of 24')

def test_window_and_level(opened):
    tab = opened('browser')
    image = tab.locator('figure img')
    before = grey(image)
    slide(tab, 'level', 0.2)
    assert grey(image) > before + 10
    slide(tab, 'level', 0.8)
    assert grey(image) < before - 10
    slide(tab, 'width', 0.02)
    greys = np.asarray(Image.open(io.BytesIO(image.screenshot())).convert('L'))
    assert ((greys < 8) | (greys > 247)).mean() > 0.9

def test_drag_moves_window_and_level(opened):
    tab = opened('browser')
    value = lambda name: float(tab.get_by_role('slider', name=name).input_value())
    box = tab.locator('figure img').bounding_box()
    middle = box['x'] + box['width']/2, box['y'] + box['height']/2
    tab.mouse.move(*middle)
    tab.mouse.down()
    tab.mouse.move(middle[0] - box['width']/4, middle[1] - box['height']/10, steps=40)
    tab.mouse.up()
    assert value('width')==pytest.approx(0.75, abs=0.011) and value('level')==pytest.approx(0.4, abs=0.011)
    tab.mouse.move(*middle)
    assert value('width')==pytest.approx(0.75, abs=0.011)

def test_outline_and_zoom(opened):
    tab = opened('browser')
    path, box = tab.locator('.mu-stage path'), tab.locator('.mu-box')
    assert not path.get_attribute('d')
    tab.get_by_role('checkbox', name='outline of the lesion').check()
    marked = []
    for _ in range(24):
        marked.append((bool(path.get_attribute('d')), 'positive' in tab.locator('figcaption').inner_text()))
        tab.get_by_role('button', name='Next').click()
    assert all(a==b for a, b in marked) and 0 < sum(a for a, _ in marked) < 24
    slide(tab, 'zoom', 4)
    assert box.evaluate('o => o.scrollWidth/o.clientWidth')==pytest.approx(4, abs=0.01)
    box.focus()
    tab.keyboard.press('ArrowRight')
    for _ in range(100): # scrolling is smooth
        if box.evaluate('o => o.scrollLeft'): break
        tab.wait_for_timeout(50)
    assert box.evaluate('o => o.scrollLeft')

def test_swipe(opened):
    tab = opened('translation')
    image = tab.locator('figure', has_text='swipe').locator('.mu-box')
    seen = []
    for at in (0, 0.5, 1):
        slide(tab, 'swipe', at)
        seen.append(np.asarray(Image.open(io.BytesIO(image.screenshot())).convert('L')).astype(float))
    half = seen[0].shape[1]//2
    assert np.abs(seen[1][:, :half-2] - seen[2][:, :half-2]).max() < 1 and np.abs(seen[1][:, half+2:] - seen[0][:, half+2:]).max() < 1
    assert np.abs(seen[0] - seen[2]).mean() > 5

def test_truth_warning_and_epochs(opened):
    tab = opened('translation')
    captions = [o.inner_text() for o in tab.locator('figcaption').all()]
    assert captions[:6]==['real', 'synthesised', 'truth', 'reconstructed', 'difference', 'swipe']
    warned = []
    for _ in range(8):
        warned.append(tab.get_by_role('alert').is_visible() and 'Lesion lost' in tab.get_by_role('alert').inner_text())
        tab.get_by_role('button', name='Next').click()
    assert 0 < sum(warned) < 8
    grid = tab.locator('figure', has_text='after epoch').locator('img')
    last = grey(grid)
    tab.get_by_role('slider', name='epoch').press('ArrowLeft')
    assert grid.get_attribute('alt').endswith('after epoch 4') and grey(grid) < last

def test_window_leaves_the_colours_of_the_difference(opened):
    tab = opened('translation')
    images = {name: tab.locator('figure', has_text=name).locator('img').first for name in ('truth', 'difference')}
    before = {name: grey(o) for name, o in images.items()}
    slide(tab, 'level', 0.9)
    assert grey(images['difference'])==pytest.approx(before['difference']) and grey(images['truth']) < before['truth'] - 3

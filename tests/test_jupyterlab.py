"A tutorial in real JupyterLab in a real browser: run all, move a slider, click a cell of Table 1, see where all stands"
import os, re
from importlib.util import find_spec
from pathlib import Path
import nbformat, numpy as np, pytest
from lab import SLIDE, jupyterlab, open_and_run
from layout import click_at, edges, faults, outline_seen, picture_seen, table1_rows, table_seen
from phantoms import first_images, phantom_run, trained_run
from mammo_uda.data.store import PixelStore
from mammo_uda.experiment.report import run_table
from mammo_uda.view.pictures import known

TUTORIAL = Path(__file__).parent.parent/'nbs'/'tutorials'/'table1.ipynb'
VIEWERS = ['Browser(store)', 'TranslationViewer(phantoms)', 'TrainingViewer(sample)', 'Table1Viewer(sample)']

@pytest.fixture(scope='module')
def home(tmp_path_factory): return tmp_path_factory.mktemp('lab')

@pytest.fixture(scope='module')
def phantoms(home): return phantom_run(home/'phantoms', size=128)

@pytest.fixture(scope='module')
def sample(home): return trained_run(home/'sample')

@pytest.fixture(scope='module')
def lab(home, phantoms, sample):
    "JupyterLab in a folder with a copy of the tutorial, below which stands every viewer"
    if not find_spec('jupyterlab'): (pytest.fail if os.environ.get('CI') else pytest.skip)("There is no JupyterLab here: pip install jupyterlab.")
    folders = f"phantoms, sample, store = '{phantoms}', '{sample}', '{phantoms}/steps/film'"
    notebook = nbformat.read(TUTORIAL, 4)
    notebook.cells += map(nbformat.v4.new_code_cell, [folders, *VIEWERS])
    (home/'tutorials').mkdir()
    nbformat.write(notebook, home/'tutorials'/'table1.ipynb')
    with jupyterlab(home/'tutorials', home) as address: yield address

@pytest.fixture(scope='module')
def tutorial(lab, browser, artefacts):
    "The Table 1 tutorial, run"
    tab, faults = browser.new_page(viewport=dict(width=1280, height=1600)), []
    tab.on('pageerror', lambda e: faults.append(str(e)))
    tab.on('request', lambda r: faults.append(r.url) if not r.url.startswith(('http://127.0.0.1:', 'data:', 'blob:')) else None)
    open_and_run(tab, lab('table1'))
    yield tab
    tab.screenshot(path=artefacts/'jupyterlab-last.png')
    tab.close()
    assert not faults

def output(tab, source): return tab.locator('.jp-CodeCell', has_text=source).first.locator('.jp-OutputArea-output')

def test_no_cell_fails(tutorial):
    assert not tutorial.locator('[data-mime-type="application/vnd.jupyter.stderr"], .jp-RenderedText[data-mime-type*=error]').count()

def test_a_slider_changes_the_picture(tutorial, artefacts):
    slider = output(tutorial, 'TranslationViewer(run)').get_by_role('slider', name='image')
    slider.scroll_into_view_if_needed()
    tutorial.screenshot(path=artefacts/'jupyterlab-translations.png')
    shown = [slider.evaluate(SLIDE, ['real', at]) for at in range(2, 7)]
    assert len({src for src, _ in shown}) == 5
    print('from slider to picture:', *[f'{ms:.0f} ms' for _, ms in shown])

def test_arrow_keys_turn_pages(tutorial):
    viewer = output(tutorial, 'TranslationViewer(run)')
    slider = viewer.get_by_role('slider', name='image')
    first = viewer.get_by_role('img', name=re.compile('^real,')).get_attribute('src')
    slider.focus()
    tutorial.keyboard.press('Home')
    tutorial.keyboard.press('ArrowRight')
    assert slider.input_value() == '2'
    tutorial.wait_for_function("before => [...document.images].find(o => o.alt.startsWith('real,')).src != before", arg=first)

def test_a_click_opens_a_cell_of_table_1(tutorial, artefacts):
    viewer, cell = output(tutorial, 'Table1Viewer(run)'), 'film to digital, tiny_cnn, uda'
    button = viewer.get_by_role('button', name=cell)
    number = button.inner_text()
    assert re.fullmatch(r'[01]\.\d\d \(n = 1\)', number)
    button.click()
    heading = viewer.get_by_role('heading', name=cell)
    heading.wait_for()
    assert heading.inner_text() == f'{cell}: {number}' and viewer.locator('[aria-pressed=true]').count() == 1
    picture = viewer.get_by_role('img', name='A ROC curve for each seed')
    picture.scroll_into_view_if_needed()
    assert picture.evaluate('o => o.decode().then(() => o.naturalWidth)') > 0
    tutorial.screenshot(path=artefacts/'jupyterlab-table1.png')

@pytest.fixture(scope='module', params=[(1280, 'light'), (390, 'dark')], ids=['1280-light', '390-dark'])
def screen(tutorial, request):
    "The tutorial on a wide screen, and on a narrow one where files are put aside as a person would"
    (width, scheme), files = request.param, tutorial.locator('.jp-SideBar.jp-mod-left [data-id=filebrowser]')
    if width < 600: files.click()
    tutorial.set_viewport_size(dict(width=width, height=900))
    tutorial.emulate_media(color_scheme=scheme)
    tutorial.locator(f'body[data-jp-theme-light={str(scheme=="light").lower()}]').wait_for(state='attached')
    yield tutorial
    if width < 600: files.click()

def window(tab):
    "Where the notebook begins and ends, px"
    box = tab.locator('.jp-NotebookPanel').bounding_box()
    return box['x'], box['x'] + box['width']

@pytest.mark.parametrize('source', ['TranslationViewer(run)', 'Table1Viewer(run)', *VIEWERS])
def test_nothing_is_cut_covered_or_astray(screen, artefacts, source):
    viewer = output(screen, source)
    viewer.evaluate('o => o.scrollIntoView()')
    screen.screenshot(path=artefacts/f'jupyterlab-{source}-{window(screen)[1]:.0f}.png')
    assert not faults(viewer, *window(screen))

@pytest.fixture(params=['run', 'sample'])
def table1(screen, home, sample, request):
    "A Table 1 viewer and the table that it should show"
    run = dict(run=next((home/'tmp').glob('*/run')), sample=sample)[request.param]
    return output(screen, f'Table1Viewer({request.param})'), run_table(run)

def test_numbers_stand_under_their_headings_and_beside_their_rows(screen, table1):
    viewer, table = table1
    for paper in (False, True):
        viewer.get_by_label("paper's numbers").set_checked(paper)
        viewer.get_by_text('0.869 ± 0.016').wait_for(state='visible' if paper else 'hidden')
        rows = table1_rows(table, paper)
        assert table_seen(viewer.locator('.mu-cells'), list(rows[0])) == rows
        assert not faults(viewer, *window(screen))

def test_a_click_where_row_and_heading_cross_opens_that_cell(table1):
    viewer, table = table1
    for row in table1_rows(table)[1:3]:
        name = row.pop('train → test')
        for column, number in row.items():
            click_at(viewer.locator('.mu-cells'), name, column)
            opened = f"{name.replace('→', 'to')}, {column.replace(' ', ', ')}: {number}"
            viewer.get_by_role('heading', name=opened, exact=True).wait_for(timeout=10_000)

def test_each_picture_is_under_its_caption(screen, phantoms):
    viewer = output(screen, 'TranslationViewer(phantoms)')
    for name, image in first_images(phantoms).items():
        assert np.abs(picture_seen(viewer, name, 128) - image).mean() < 0.03

def test_outline_lies_over_the_lesion(screen, phantoms):
    viewer, index = output(screen, 'Browser(store)'), PixelStore(phantoms/'steps'/'film').index
    ill = index.iloc[int(index.label.argmax())]
    viewer.get_by_label('label', exact=True).select_option('positive')
    viewer.get_by_label('outline of the lesion').check()
    viewer.locator('path[d^=M]').wait_for(state='attached')
    np.testing.assert_allclose(outline_seen(viewer), edges(known(ill, 128)[1]), atol=0.01)

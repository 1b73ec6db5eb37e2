"A tutorial in real JupyterLab in a real browser: run all, move a slider, click a cell of Table 1"
import os, re, shutil
from importlib.util import find_spec
from pathlib import Path
import pytest
from lab import SLIDE, jupyterlab, open_and_run

TUTORIALS = Path(__file__).parent.parent/'nbs'/'tutorials'

@pytest.fixture(scope='module')
def lab(tmp_path_factory):
    "JupyterLab in a copy of the tutorials"
    if not find_spec('jupyterlab'): (pytest.fail if os.environ.get('CI') else pytest.skip)("There is no JupyterLab here: pip install jupyterlab.")
    home = tmp_path_factory.mktemp('lab')
    shutil.copytree(TUTORIALS, home/'tutorials', ignore=shutil.ignore_patterns('.*'))
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

def test_no_cell_fails(tutorial):
    assert not tutorial.locator('[data-mime-type="application/vnd.jupyter.stderr"], .jp-RenderedText[data-mime-type*=error]').count()

def test_a_slider_changes_the_picture(tutorial, artefacts):
    slider = tutorial.get_by_role('slider', name='image')
    slider.scroll_into_view_if_needed()
    tutorial.screenshot(path=artefacts/'jupyterlab-translations.png')
    shown = [slider.evaluate(SLIDE, ['real', at]) for at in range(2, 7)]
    assert len({src for src, _ in shown}) == 5
    print('from slider to picture:', *[f'{ms:.0f} ms' for _, ms in shown])

def test_arrow_keys_turn_pages(tutorial):
    slider = tutorial.get_by_role('slider', name='image')
    first = tutorial.get_by_role('img', name=re.compile('^real,')).get_attribute('src')
    slider.focus()
    tutorial.keyboard.press('Home')
    tutorial.keyboard.press('ArrowRight')
    assert slider.input_value() == '2'
    tutorial.wait_for_function("before => [...document.images].find(o => o.alt.startsWith('real,')).src != before", arg=first)

def test_a_click_opens_a_cell_of_table_1(tutorial, artefacts):
    cell = 'film to digital, alexnet_bn, uda'
    button = tutorial.locator(f'button[title^="{cell}"]')
    number = button.inner_text()
    assert re.fullmatch(r'[01]\.\d\d \(n = 1\)', number)
    button.click()
    heading = tutorial.get_by_role('heading', name=cell)
    heading.wait_for()
    assert heading.inner_text() == f'{cell}: {number}'
    picture = tutorial.get_by_role('img', name='A ROC curve for each seed')
    picture.scroll_into_view_if_needed()
    assert picture.evaluate('o => o.decode().then(() => o.naturalWidth)') > 0
    tutorial.screenshot(path=artefacts/'jupyterlab-table1.png')

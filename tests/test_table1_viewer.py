"A click on a cell of Table 1 shows what is behind it"
import base64, gc, io, re
import numpy as np, pandas as pd, pytest
from ipywidgets.widgets.widget import _instances # all that were ever made
from matplotlib import pyplot
from matplotlib.figure import Figure
from PIL import Image
from mammo_uda.evaluate.scores import read_scores, synthetic_scores, write_scores
from mammo_uda.evaluate.curves import confident_errors, wrong_pairs
from mammo_uda.evaluate.table1 import Table1, text_grid
from mammo_uda.experiment.report import sample_run
from mammo_uda.view.table1 import Table1Viewer, cell_title, named_cells

CELL = dict(train_domain='film', test_domain='digital', arch='resnet50', method='uda')

@pytest.fixture(scope='module')
def run(tmp_path_factory): return sample_run(tmp_path_factory.mktemp('table1')/'run', size=32)

@pytest.fixture(scope='module')
def page(run): return Table1Viewer(run).save(run/'table1-cells.html')

def buttons(viewer):
    "Name, whether disabled, and text of each button"
    return re.findall('<button aria-label="(.*?)" aria-pressed="false"( disabled)?>(.*?)</button>', viewer.cells.html)

def some(label, prob): return pd.DataFrame(dict(image_id=[f'i{i}' for i in range(len(label))], patient='p', label=label, prob=prob, logit=prob, seed=0, **CELL, target_domain='digital'))

def test_wrong_pairs_are_counted_one_by_one():
    scores = synthetic_scores(n=20, seeds=2).query("train_domain=='film' and test_domain=='film' and arch=='resnet50' and method=='uda'")
    scores = scores.assign(logit=scores.logit.round(0)) # with ties
    for row, wrong in zip(scores.itertuples(), wrong_pairs(scores)):
        other = scores[(scores.seed==row.seed) & (scores.label!=row.label)].logit
        beyond = other < row.logit if row.label==0 else other > row.logit
        assert wrong == pytest.approx((beyond + (other==row.logit)/2).mean())

def test_errors_are_the_worst_of_each_label():
    errors = confident_errors(some([0, 0, 0, 1, 1, 1], [0.1, 0.9, 0.5, 0.2, 0.95, 0.6]), n=1)
    assert errors[['label', 'image_id']].values.tolist()==[[0, 'i1'], [1, 'i3']]

def test_a_perfect_classifier_has_none(): assert confident_errors(some([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9])).empty

def test_each_button_shows_its_cell(run):
    viewer = Table1Viewer(run)
    found = buttons(viewer)
    assert [text for *_, text in found]==text_grid(viewer.table.cells).values.ravel().tolist()
    for i, cell in list(enumerate(named_cells(viewer.table)))[::5]:
        viewer.cells.shown = i
        title = found[i][0]
        assert cell_title(viewer.table, cell)==title and title in viewer.behind.value

def test_a_button_is_read_out_in_words(run):
    words = [title for title, *_ in buttons(Table1Viewer(run))]
    assert all(re.fullmatch(r'\w+ to \w+, \w+, \S+: 0\.\d{3} ± 0\.\d{3}', o) for o in words) and len(set(words))==len(words)

def test_paper_is_off_until_asked_for(run):
    viewer = Table1Viewer(run)
    paper = re.findall('<t[dh] class="paper" hidden>(.*?)</t[dh]>', viewer.cells.html)
    assert len(paper)==5*4 and paper[11]=='0.869 ± 0.016' and not viewer.cells.paper
    viewer.paper.value = True
    assert viewer.cells.paper

def test_errors_are_the_images_of_the_store(run):
    viewer = Table1Viewer(run)
    viewer.show(**CELL)
    errors = confident_errors(viewer.table.part(**CELL))
    found = re.findall(r'src="data:image/webp;base64,([^"]+)" alt="([^,]+),', viewer.behind.value)[-len(errors):]
    assert [name for _, name in found]==errors.image_id.tolist()
    store = viewer.stores['digital']
    for picture, name in found:
        shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture))).convert('L'))/255
        assert np.abs(shown - store[store.where(image_id=name)[0]]).mean() < 0.02

def test_cell_that_is_still_to_come(run, tmp_path):
    part = sample_run(tmp_path/'run', size=32)
    scores = read_scores(part)
    write_scores(scores[(scores.arch!='resnet50') | (scores.method!='uda')], part/'scores.parquet')
    viewer = Table1Viewer(part)
    assert [bool(disabled) for _, disabled, _ in buttons(viewer)]==[False, False, False, True]*4
    assert viewer.save(tmp_path/'page.html').read_text().count(' disabled>')==4

def test_nothing_is_left_behind(run):
    viewer = Table1Viewer(run)
    def click(n):
        for i in range(n): viewer.cells.shown = i % 16
        gc.collect()
        return len(_instances), sum(type(o) is Figure for o in gc.get_objects())
    click(4)
    assert click(4)==click(12) and not pyplot.get_fignums()

def test_page_is_one_small_file(page):
    text = page.read_text()
    assert len(text) < 1_000_000 and not re.search(r'(src|href)="(?!data:)', text) and str(page.parent) not in text

def test_clicks_and_keys_on_the_page(browser, page):
    tab, shown = browser.new_page(), lambda: tab.locator('h2').inner_text()
    tab.goto(page.as_uri())
    assert shown().startswith('digital to film, alexnet_bn, baseline')
    tab.get_by_role('button', name='film to digital, resnet50, uda').click()
    assert shown().startswith('film to digital, resnet50, uda') and tab.locator('[aria-pressed=true]').count()==1
    tab.keyboard.press('Tab')
    tab.keyboard.press('Enter')
    assert shown().startswith('film to film, alexnet_bn, baseline')
    assert tab.evaluate("Promise.all([...document.querySelectorAll('#behind img')].map(o => o.decode().then(() => o.alt != '')))")==[True]*9

def test_paper_on_the_page(browser, page):
    tab = browser.new_page(viewport=dict(width=390, height=800))
    tab.goto(page.as_uri())
    number = tab.get_by_text('0.869 ± 0.016')
    assert not number.is_visible()
    tab.get_by_label("paper's numbers").check()
    assert number.is_visible() and tab.evaluate('document.documentElement.scrollWidth')==390

"The numbers of Table 1 against definitions worked out by hand, and its forms"
import io, json, re, warnings
import numpy as np, pandas as pd, pytest
from rich.console import Console
from mammo_uda.core.files import UserError
from mammo_uda.evaluate.scores import SCORE_COLUMNS, synthetic_scores
from mammo_uda.evaluate.intervals import (cross_cells, home_change, mean_interval, row_order, share_won_back,
                                          table_cells)
from mammo_uda.evaluate.table1 import PAPER, PAPER_CAPTION, Table1, show_interval, text_grid

@pytest.fixture(scope='module')
def scores(): return synthetic_scores(n=60)

@pytest.fixture(scope='module')
def table(scores): return Table1(scores, methods='none <synthetic>')

def aurocs(**by_method):
    "auROC rows of one network: method = {(train, test): [one number a seed]}"
    return pd.DataFrame([(train, test, train if method=='baseline' else 'other', 'resnet50', method, seed, a, 10, 5)
        for method, cells in by_method.items() for (train, test), values in cells.items() for seed, a in enumerate(values)],
        columns=['train_domain', 'test_domain', 'target_domain', 'arch', 'method', 'seed', 'auroc', 'n_images', 'n_patients'])

BASE = {('digital', 'film'): [0.5, 0.6], ('digital', 'digital'): [0.9, 0.9], ('film', 'digital'): [0.6, 0.6], ('film', 'film'): [0.8, 0.8]}
UDA = {('digital', 'film'): [0.7, 0.6], ('digital', 'digital'): [0.88, 0.88], ('film', 'digital'): [0.8, 0.7], ('film', 'film'): [0.81, 0.81]}

def test_interval_of_three_seeds_uses_4_303():
    mean, half, n = mean_interval([0.7, 0.8, 0.9])
    assert (mean, n) == (pytest.approx(0.8), 3)
    assert half == pytest.approx(4.303*0.1/3**0.5, abs=1e-4)

@pytest.mark.parametrize('values, text', [([], '—'), ([0.714], '0.71 (n = 1)'), ([0.7, 0.7], '0.700 ± 0.000')])
def test_cell_text(values, text):
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert show_interval(*mean_interval(values))==text

def test_crossing_loss_is_within_test_set():
    loss = cross_cells(table_cells(aurocs(baseline=BASE, uda=UDA))).set_index('test_domain').loss
    assert loss['film'] == pytest.approx(0.8-0.55) and loss['digital'] == pytest.approx(0.9-0.6)

def test_share_won_back():
    share = share_won_back(cross_cells(table_cells(aurocs(baseline=BASE, uda=UDA))), 'uda')
    assert share == pytest.approx(((0.65-0.55) + (0.75-0.6)) / ((0.8-0.55) + (0.9-0.6)))

def test_no_share_where_nothing_is_lost():
    flat = {k: [0.8, 0.8] for k in BASE}
    assert share_won_back(cross_cells(table_cells(aurocs(baseline=flat, uda=UDA))), 'uda') is None

def test_change_at_home():
    change = home_change(table_cells(aurocs(baseline=BASE, uda=UDA)), 'uda').set_index('test_domain').change
    assert change['digital'] == pytest.approx(-0.02) and change['film'] == pytest.approx(0.01)

def test_every_method_is_compared_with_the_baseline(scores):
    more = pd.concat([scores, scores[scores.method=='uda'].assign(method='uda-plain'), scores[scores.method=='baseline'].assign(method='oracle')])
    table = Table1(more)
    assert list(table.summary()['methods']) == ['uda', 'uda-plain', 'oracle']
    assert [m for _, m in text_grid(table.cells).columns[:4]] == ['baseline', 'uda', 'uda-plain', 'oracle']

def test_paper_cells_stand_where_the_paper_has_them(table):
    assert list(text_grid(table.cells).index)==row_order(['film', 'digital'])==list(text_grid(PAPER).index)
    found = table.cells.dropna(subset='paper').merge(PAPER, on=['train_domain', 'test_domain', 'arch', 'method'])
    assert len(found)==8 and (found.paper==found.mean_y).all() and set(found.arch)=={'resnet50'}
    assert text_grid(PAPER).values.tolist()[0]==['0.516 ± 0.004', '0.601 ± 0.005', '0.624 ± 0.004', '0.672 ± 0.002']

def test_console_shows_everything_in_80_columns(table):
    text = str(table)
    assert max(map(len, text.splitlines()))<=80
    for s in ['alexnet_bn', 'not of patients', 'n = 3 seeds', 'not comparable', 'wins back', 'Paired difference', 'At home', '0.869 ± 0.016']:
        assert s in re.sub(r'\s+', ' ', text)

def test_paper_is_beside_where_there_is_room(table):
    wide = Console(file=io.StringIO(), width=200)
    wide.print(table)
    assert any(line.count('digital  film')==2 for line in wide.file.getvalue().splitlines())

def test_one_seed_has_no_plus_minus(scores):
    table = Table1(scores[scores.seed==0])
    ours = str(table).split('Paper')[0] + table.caption + ' '.join(table.lines())
    assert '±' not in ours and re.search(r'0\.\d\d \(n = 1\)', ours)

def test_seeds_of_unlike_number_are_marked(scores):
    table = Table1(scores[~((scores.seed==2) & (scores.method=='uda'))])
    assert '(n = 2)' in str(table) and 'n = 3 seeds where no other n is given' in table.caption

@pytest.mark.parametrize('part', [lambda s: s[:0], lambda s: s[s.method=='uda'], lambda s: s[(s.seed==0) & (s.train_domain=='film')]])
def test_every_form_of_a_table_that_is_not_full(scores, tmp_path, part):
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        table = Table1(part(scores))
        str(table), table._repr_html_(), table._repr_markdown_(), table.plot()
        json.loads(table.to_json(tmp_path/'t.json').read_text())
        table.to_csv(tmp_path/'t.csv')

def test_html_escapes_names(table):
    assert 'none &lt;synthetic&gt;' in table._repr_html_() and '<synthetic>' not in table._repr_html_()

def test_files(table, tmp_path):
    cells = pd.read_csv(table.to_csv(tmp_path/'t.csv'))
    np.testing.assert_allclose(cells['mean'], table.cells['mean'])
    data = json.loads(table.to_json(tmp_path/'t.json').read_text())
    assert data['paper_caption']==PAPER_CAPTION and len(data['cells'])==16 and data['summary']==table.summary()

def test_plot_draws_a_line_for_each_seed(table):
    fig = table.plot(train_domain='film', test_domain='digital', arch='resnet50', method='uda')
    assert len(fig.axes)==1 and len(fig.axes[0].lines)==3+1
    assert len(table.plot().axes)==4

NAMES = dict(film='ge', digital='hologic-3d')

def test_domains_are_called_what_the_user_calls_them(table, scores):
    other = Table1(scores.replace({f'{o}_domain': NAMES for o in ('train', 'test', 'target')}), table.methods)
    assert list(text_grid(other.cells).index)==row_order(NAMES.values()) and other.cells.paper.isna().all()
    assert other.summary()['methods']['uda']['share_won_back']==table.summary()['methods']['uda']['share_won_back']
    for text in (str(other), other._repr_html_(), other._repr_markdown_()): assert 'Paper' not in text and 'hologic-3d' in text
    assert len(other.plot().axes)==4

def test_at_home_several_targets_count_once_a_seed():
    two = pd.concat([aurocs(baseline=BASE, uda=UDA), aurocs(uda={('film', 'film'): [0.6, 0.7]}).assign(target_domain='third')])
    cell = table_cells(two).set_index(['train_domain', 'test_domain', 'method']).loc['film', 'film', 'uda']
    assert cell.n==2 and cell['mean']==pytest.approx((0.81+0.6 + 0.81+0.7)/4)

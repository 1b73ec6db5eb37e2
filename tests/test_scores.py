"Scores are refused whole rather than scored wrongly"
import numpy as np, pandas as pd, pytest
from mammo_uda.core.files import UserError
from mammo_uda.evaluate.scores import SCORE_COLUMNS, auroc_by_cell, check_scores, read_scores, synthetic_scores, write_scores

@pytest.fixture(scope='module')
def scores(): return synthetic_scores(n=40, seeds=2)

def test_round_trip(scores, tmp_path):
    path = write_scores(scores, tmp_path/'scores.parquet')
    for given in [path, tmp_path]: pd.testing.assert_frame_equal(read_scores(given), check_scores(scores))

def test_synthetic_scores_are_deterministic(scores):
    pd.testing.assert_frame_equal(scores, synthetic_scores(n=40, seeds=2))
    assert not scores.prob.equals(synthetic_scores(n=40, seeds=2, rng=1).prob)

def _with(column, value, row=3):
    def change(t):
        t = t.astype({column: object})
        t.loc[row, column] = value
        return t
    return change

@pytest.mark.parametrize('change, message', [
    (lambda t: t.drop(columns='patient'), 'lack the column `patient`'),
    (_with('prob', np.nan), r'row 3 \(image film-i00003\) has no `prob`'),
    (_with('patient', None), 'has no `patient`'),
    (_with('prob', 1.2), 'outside 0..1'),
    (_with('prob', -0.1), 'outside 0..1'),
    (_with('prob', 0.5), 'not the sigmoid of its `logit`'),
    (_with('logit', None), 'has no `logit`'),
    (_with('label', 2), 'not 0 or 1'),
    (_with('label', 'malignant'), 'not 0 or 1'),
    (lambda t: pd.concat([t, t.iloc[:1]]), 'scored twice'),
    (_with('label', 0), 'two values of `label`'),
    (_with('patient', 'film-p9999'), 'two values of `patient`'),
    (lambda t: t.drop(5), 'miss images'),
])
def test_bad_scores_are_refused(scores, change, message):
    with pytest.raises(UserError, match=message): check_scores(change(scores))

def test_no_scores_yet_is_no_error():
    empty = check_scores(pd.DataFrame(columns=SCORE_COLUMNS))
    assert len(auroc_by_cell(empty))==0

def test_files_that_are_not_scores(tmp_path):
    with pytest.raises(UserError, match='does not exist'): read_scores(tmp_path)
    (tmp_path/'scores.parquet').write_text('a,b\n1,2\n')
    with pytest.raises(UserError, match='not a Parquet file'): read_scores(tmp_path)

def test_bad_scores_leave_the_old_file(scores, tmp_path):
    path = write_scores(scores, tmp_path/'scores.parquet')
    before = path.read_bytes()
    with pytest.raises(UserError): write_scores(scores.drop(5), path)
    assert path.read_bytes()==before and len(list(tmp_path.iterdir()))==1

def test_auroc_is_the_share_of_pairs_in_order(scores):
    cell = scores[(scores.train_domain=='film') & (scores.test_domain=='digital') & (scores.arch=='resnet50')
                  & (scores.method=='uda') & (scores.seed==1)]
    pos, neg = cell.logit[cell.label==1].values[:, None], cell.logit[cell.label==0].values
    ours = auroc_by_cell(cell).auroc.item()
    assert ours == pytest.approx(((pos>neg) + 0.5*(pos==neg)).mean())

def test_scores_that_are_both_certain_are_no_tie(scores):
    cell = scores[scores.seed==0].groupby('label').head(1).assign(logit=lambda t: 50. + t.label, prob=1., arch='one')
    assert auroc_by_cell(check_scores(cell)).auroc.item()==1

def test_one_label_has_no_auroc(scores):
    with pytest.raises(UserError, match='all have label 1'): auroc_by_cell(scores[scores.label==1])

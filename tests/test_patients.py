"Intervals over patients and over trainings, beside the formulas of the articles written out as loops"
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from mammo_uda.core.files import UserError
from mammo_uda.evaluate.claims import (Estimate, holm, mean_of, no_different, no_worse, over_both, over_patients, over_seeds, paired_difference,
                                       patients_alone, percentiles, seeds_and_patients, share_of_gap, whole_seeds)
from mammo_uda.evaluate.patients import (auroc, covariance, drawn, kernel, pairs, redrawn, sample_cells, who_is_tested)
from mammo_uda.evaluate.scores import synthetic_scores

def a_set(seed=0, n=120, patients=25, ties=0):
    "Labels, patients and two networks' scores; a patient may have images of both labels"
    rng = np.random.default_rng(seed)
    label, patient = rng.integers(2, size=n), rng.integers(patients, size=n)
    return label, patient, (label + rng.normal(0, 1.5, (2, n))).round(ties)

def psi(a, b): return (a > b) + .5*(a == b)

def obuchowski(label, patient, scores):
    "Obuchowski 1997, section 2.2, by loops"
    positives, negatives = np.flatnonzero(label == 1), np.flatnonzero(label == 0)
    names, m, n = np.unique(patient), len(positives), len(negatives)
    def of(s):
        theta = np.mean([psi(s[i], s[j]) for i in positives for j in negatives])
        x = [sum(np.mean([psi(s[i], s[j]) for j in negatives]) - theta for i in positives if patient[i] == o) for o in names]
        y = [sum(np.mean([psi(s[i], s[j]) for i in positives]) - theta for j in negatives if patient[j] == o) for o in names]
        return np.array(x), np.array(y)
    parts, with_p, with_n, all = [of(s) for s in scores], len(set(patient[positives])), len(set(patient[negatives])), len(names)
    def cov(a, b):
        (xa, ya), (xb, yb) = a, b
        return (with_p/(with_p-1)*(xa*xb).sum()/m**2 + with_n/(with_n-1)*(ya*yb).sum()/n**2
                + all/(all-1)*((xa*yb).sum() + (ya*xb).sum())/(m*n))
    return np.array([[cov(a, b) for b in parts] for a in parts])

@pytest.mark.parametrize('ties', [0, 9])
def test_variance_of_clusters_is_the_articles(ties):
    label, patient, scores = a_set(ties=ties)
    np.testing.assert_allclose(covariance(who_is_tested(label, patient), scores), obuchowski(label, patient, scores), rtol=1e-10)

def test_draws_are_weighted_aurocs_also_within_folds():
    label, patient, scores = a_set()
    fold = patient % 3
    tested = who_is_tested(label, patient, fold)
    weights = drawn(tested.patients, 20)
    def by_hand(w):
        of = lambda o: [(w[patient[i]]*w[patient[j]], psi(scores[0,i], scores[0,j])) for i in np.flatnonzero((label == 1) & (fold == o))
                        for j in np.flatnonzero((label == 0) & (fold == o))]
        counts, won = zip(*(pair for o in range(3) for pair in of(o)))
        return np.average(won, weights=counts)
    found = redrawn(kernel(tested, scores[0]), pairs(tested), weights)
    np.testing.assert_allclose(found, [by_hand(w) for w in weights], rtol=1e-10)
    np.testing.assert_allclose(auroc(tested, scores[0]), by_hand(np.ones(25)), rtol=1e-10)

def test_folds_have_a_variance_like_that_of_their_draws():
    label, patient, scores = a_set(n=2000, patients=400)
    tested = who_is_tested(label, patient, patient % 5)
    found = redrawn(kernel(tested, scores[0]), pairs(tested), drawn(tested.patients, 2000)).std()
    np.testing.assert_allclose(found, covariance(tested, scores)[0,0]**.5, rtol=.08)

def test_draws_of_one_class_have_no_auroc():
    tested = who_is_tested([1, 0], ['a', 'b'])
    found = redrawn(kernel(tested, np.array([1., 0.])), pairs(tested), np.array([[2, 0], [1, 1]]))
    np.testing.assert_array_equal(found, [np.nan, 1])
    assert percentiles(found) == (1, 1)

def test_constant_scores_are_a_half_and_vary_with_nothing():
    label, patient, _ = a_set()
    tested, scores = who_is_tested(label, patient), np.zeros((1, 120))
    assert auroc(tested, scores) == .5 and covariance(tested, scores) == 0

@pytest.mark.parametrize('label, patient, scores, why', [
    ([1, 1], ['a', 'b'], [0., 1.], 'all have one label'),
    ([1, 0], ['a', 'b'], [0., np.nan], 'not a finite number'),
    ([1, 0], ['a', 'b'], [0., np.inf], 'not a finite number')])
def test_what_has_no_interval_is_said_in_a_sentence(label, patient, scores, why):
    with pytest.raises(UserError, match=why): covariance(who_is_tested(label, patient), np.array([scores]))

@pytest.mark.parametrize('label, patient', [([1, 0, 0], list('abc')), ([1, 0, 1, 0], list('aaaa'))])
def test_one_patient_of_a_class_tells_no_variance(label, patient):
    shared = covariance(who_is_tested(label, patient), np.array([[1., 0, 0, 0][:len(label)]]))
    assert np.isnan(shared).all() and str(over_patients([.5], shared)) == '0.500 (no interval over patients)'

@pytest.mark.parametrize('label, fold, why', [([1, 2, 0], None, 'not 0 or 1'), ([1, np.nan, 0], None, 'not 0 or 1'), ([1, 0, 1, 0], [0, 0, 1, 1], 'in two folds')])
def test_what_is_no_test_set_is_refused(label, fold, why):
    with pytest.raises(UserError, match=why): who_is_tested(label, ['a', 'b', 'a', 'b'][:len(label)], fold)

def test_scores_that_have_no_rank_have_no_draws():
    with pytest.raises(UserError, match='not a finite number'): kernel(who_is_tested([1, 0], ['a', 'b']), np.array([np.nan, 0]))

def test_a_fold_of_one_label_is_refused():
    with pytest.raises(UserError, match='in every fold'): who_is_tested([1, 0, 1, 1], list('abcd'), [0, 0, 1, 1])

def test_order_of_the_rows_changes_nothing():
    scores = synthetic_scores(n=60, seeds=2, archs=('resnet50',))
    one, other = [sample_cells(o, draws=50) for o in (scores, scores.sample(frac=1, random_state=0))]
    np.testing.assert_allclose(one.auroc, other.auroc, rtol=1e-12)
    np.testing.assert_allclose(one.draws, other.draws, rtol=1e-12)

def test_cells_of_a_domain_are_drawn_together():
    cells = sample_cells(synthetic_scores(n=200, seeds=1, archs=('resnet50',)), draws=500)
    at = (cells.table.test_domain == 'film').to_numpy()
    alike = np.corrcoef(cells.draws.T)
    assert alike[np.ix_(at, at)].min() > .3 and np.abs(alike[np.ix_(at, ~at)]).max() < .15
    assert not cells.covariance[np.ix_(at, ~at)].any()

def test_a_patient_of_two_domains_is_one():
    scores = synthetic_scores(n=400, seeds=1, archs=('resnet50',))
    film = scores.test_domain == 'film'
    twin = scores[~film].assign(test_domain='film', image_id=scores.image_id[~film].str.replace('digital', 'film'))
    twins = sample_cells(pd.concat([scores[~film], twin]), draws=2000) # the same people and scores under two names of domains
    at = (twins.table.test_domain == 'film').to_numpy()
    np.testing.assert_allclose(twins.covariance[np.ix_(at, ~at)], twins.covariance[np.ix_(at, at)], rtol=.02)
    np.testing.assert_allclose(twins.draws[:,at], twins.draws[:,~at])

# --- claims

def contrasts(seeds=4):
    cells = sample_cells(synthetic_scores(n=120, seeds=seeds, archs=('resnet50',)), draws=100)
    abroad = (cells.table.train_domain != cells.table.test_domain).to_numpy()
    whole = whole_seeds(cells, ['baseline', 'uda'], abroad)
    return cells, abroad, whole

def test_a_seed_that_lacks_a_place_is_left_out():
    scores = synthetic_scores(n=60, seeds=3, archs=('resnet50',))
    lost = (scores.seed == 1) & (scores.method == 'uda') & (scores.train_domain == 'film') & (scores.test_domain == 'digital')
    cells = sample_cells(scores[~lost], draws=10)
    abroad = (cells.table.train_domain != cells.table.test_domain).to_numpy()
    assert whole_seeds(cells, ['baseline', 'uda'], abroad) == [0, 2] and whole_seeds(cells, ['baseline'], abroad) == [0, 1, 2]

def test_a_contrast_is_the_mean_of_its_cells():
    cells, abroad, whole = contrasts()
    found = mean_of(cells, 'uda', abroad, whole)
    table = cells.table.assign(auroc=cells.auroc)[abroad & (cells.table.method == 'uda').to_numpy()]
    np.testing.assert_allclose(found.values, table.groupby('seed').auroc.mean(), rtol=1e-12)
    both = mean_of(cells, 'uda', abroad, whole) - found*.25
    np.testing.assert_allclose(both.values, .75*found.values)
    np.testing.assert_allclose(both.covariance, .75**2*found.covariance)

def test_a_difference_is_within_a_seed_and_over_all_places():
    scores = synthetic_scores(n=60, seeds=3, archs=('resnet50', 'alexnet_bn'))
    cells = sample_cells(scores, draws=0)
    table = cells.table.assign(auroc=cells.auroc).query('train_domain != test_domain')
    by_hand = table[table.method == 'uda'].groupby('seed').auroc.mean() - table[table.method == 'baseline'].groupby('seed').auroc.mean()
    np.testing.assert_allclose(paired_difference(cells, 'uda').values, by_hand, rtol=1e-12)
    assert paired_difference(cells, 'adabn') is None
    uda = scores.method == 'uda'
    one_way = scores[~uda | (scores.train_domain == 'film')]
    assert paired_difference(sample_cells(one_way, draws=0), 'uda') is None # it would be compared with a baseline of two ways
    apart = scores[(~uda & (scores.seed == 0)) | (uda & (scores.seed == 1))]
    assert paired_difference(sample_cells(apart, draws=0), 'uda') is None
    assert paired_difference(sample_cells(scores[scores.method == 'uda'], draws=0), 'uda') is None
    assert paired_difference(sample_cells(scores[:0], draws=0), 'uda') is None

def test_contrasts_of_other_seeds_are_not_compared():
    cells, abroad, whole = contrasts()
    with pytest.raises(UserError, match='other seeds'): mean_of(cells, 'uda', abroad, [0, 1]) - mean_of(cells, 'baseline', abroad, [1, 2])

def test_a_domain_that_has_no_interval_takes_none_from_others():
    scores = synthetic_scores(n=60, seeds=2, archs=('resnet50',))
    film = (scores.test_domain == 'film') & (scores.label == 1)
    cells = sample_cells(scores[~film | (scores.patient == scores.patient[film].iloc[0])], draws=50)
    at = (cells.table.test_domain == 'digital').to_numpy()
    gain = paired_difference(cells, 'uda', at & (cells.table.train_domain == 'film').to_numpy())
    assert np.isfinite(gain.covariance).all() and np.isfinite(gain.draws).all() and np.isfinite(seeds_and_patients(gain).error)
    assert np.isnan(patients_alone(paired_difference(cells, 'uda')).error)

def test_few_patients_know_their_variance_badly():
    many, few = [over_patients([.8], np.array([[.0004]]), n) for n in (1000, 5)]
    assert few.interval()[1] - .8 == pytest.approx(2.776*.02, rel=1e-3) and many.interval()[1] - .8 == pytest.approx(1.96*.02, rel=1e-2)
    values, shared = np.array([.7, .8, .75]), np.full((3, 3), .0004)
    hillis, satterthwaite = [over_both(values, shared, n).df for n in (np.inf, 5)]
    own = values.var(ddof=1)
    assert hillis == pytest.approx((own + 3*.0004)**2/(own**2/2))
    assert satterthwaite == pytest.approx((own/3 + .0004)**2/((own/3)**2/2 + .0004**2/4))

def test_patients_are_those_of_the_rarer_class():
    scores = synthetic_scores(n=60, seeds=1, archs=('resnet50',))
    film, ill = scores.test_domain == 'film', scores.label == 1
    few = scores.patient[film & ill].unique()[:4]
    cells = sample_cells(scores[~film | ~ill | scores.patient.isin(few)], draws=0)
    assert set(cells.patients) == {4, 30} and paired_difference(cells, 'uda').patients == cells.patients.min()

def test_one_training_covers_patients_alone():
    found = over_both([.8], np.array([[.0004]]))
    assert found.covers == 'patients' and found.error == .02 and found.df == np.inf
    assert np.isnan(over_seeds([.8]).interval()).all()

def test_trainings_that_agree_leave_the_patients():
    found = over_both([.5]*3, np.full((3, 3), .0004))
    assert found.error == pytest.approx(.02) and found.df == np.inf

def test_patients_without_influence_leave_the_trainings():
    values = np.array([.7, .8, .75])
    both, seeds = over_both(values, np.zeros((3, 3))), over_seeds(values)
    assert both.interval() == pytest.approx(seeds.interval()) and both.df == pytest.approx(2)

def test_trainings_that_vary_against_each_other_do_not_narrow_the_interval():
    values = np.array([.7, .8, .75])
    assert over_both(values, np.eye(3)*.01 - .001).error == pytest.approx(over_seeds(values).error)

def test_both_is_wider_than_either():
    cells, abroad, whole = contrasts()
    gain = mean_of(cells, 'uda', abroad, whole) - mean_of(cells, 'baseline', abroad, whole)
    both = over_both(gain.values, gain.covariance).error
    shared = gain.covariance[~np.eye(4, dtype=bool)].mean()
    assert both > over_seeds(gain.values).error and both**2 > shared > 0

def test_a_share_is_that_of_the_means_and_is_refused_outside():
    cells, abroad, whole = contrasts()
    base, uda, home = [mean_of(cells, *o, whole) for o in (('baseline', abroad), ('uda', abroad), ('baseline', ~abroad))]
    share, low, high = share_of_gap(uda - base, home - base)
    assert share == pytest.approx((uda.values.mean() - base.values.mean())/(home.values.mean() - base.values.mean()))
    for end in (low, high):
        at = seeds_and_patients(uda - base - (home - base)*end)
        assert at.p() == pytest.approx(.05, abs=1e-6)
    assert share_of_gap(uda - base, (home - base)*.1) is None
    for share in (.1, .3, .7): assert share_of_gap((home - base)*share, home - base) == pytest.approx((share, share, share), abs=1e-9)

def test_a_number_without_error_is_certain():
    assert [Estimate(value, 0., np.inf, 'patients').p() for value in (0., .1)] == [1, 0]

@pytest.mark.parametrize('value, error, worse, different', [
    (0, .004, True, True), (0, .0058, True, True), (0, .008, True, False), (-.015, .001, True, False), (-.03, .001, False, False), (.03, .001, True, False),
    (0, .02, False, False)])
def test_margins(value, error, worse, different):
    found = Estimate(value, error, np.inf, 'patients')
    assert no_worse(found) == worse and no_different(found) == different

def test_holm_keeps_order_and_stays_a_probability():
    np.testing.assert_allclose(holm([.6, .001, .7, .02]), [1, .004, 1, .06])

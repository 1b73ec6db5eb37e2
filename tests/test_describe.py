"What is wrong with data is said before training, and nothing is said where nothing is wrong"
import os
from pathlib import Path

import numpy as np, pandas as pd, pytest
from sklearn.metrics import roc_auc_score

from mammo_uda.data.dataset import Dataset
from mammo_uda.data.describe import (ALIKE, Description, age_group, alike, counts, describe, fold_auroc, fold_ranks, known, near_duplicates,
                                     outlines, patient_bootstrap, shortcuts, split_leaks)
from mammo_uda.data.phantom import phantom_store
from mammo_uda.data.store import build_store, write_store

RNG = np.random.default_rng(0)
NOISE = RNG.random((400, 32, 32), dtype='float32') # no two alike


def store(folder, images=None, domain='film', **columns):
    "A store of noise, two images a patient, labels by turns of two patients"
    n = len(next(iter(columns.values()))) if columns else len(images)
    index = pd.DataFrame({'image_id': [f'{domain}-i{i}' for i in range(n)], 'patient': [f'{domain}-p{i//2}' for i in range(n)],
                          'laterality': 'L', 'view': 'CC', 'label': [i//2%2 for i in range(n)], 'domain': domain, 'split': 'train'}).assign(**columns)
    return write_store(folder, NOISE[:n] if images is None else images, index.astype({'label': 'Int64'}), 32)


# ---- counts

def test_values_of_any_type_become_texts():
    assert list(known(pd.Series([49.0, np.nan]))) == ['49', 'not known']
    assert list(known(pd.Series([1.5, 2]))) == ['1.5', '2.0']
    assert list(known(pd.Series(['A', 3, None], dtype=object))) == ['A', '3', 'not known']
    assert list(known(pd.Series([None, None], dtype='string'))) == ['not known']*2
    assert list(age_group(pd.Series(['57', None, 'old']))) == ['50 to 59', 'not known', 'not known']


def test_counts_of_images_patients_and_positives(tmp_path):
    s = store(tmp_path/'s', scanner=[49.0, 49, None, 21, 21, 21], label=[1, 0, 0, None, 1, 1], age=[40, 40, 51, 51, 49, 49])
    table = counts(s).set_index(['what', 'value'])
    assert table.loc[('domain', 'film'), ['images', 'patients']].tolist() == [6, 3]
    assert table.loc[('domain', 'film'), 'positive'] == 3/5
    assert table.loc['label', 'images'].to_dict() == {'0': 2, '1': 3, 'not known': 1}
    assert table.loc['scanner', 'images'].to_dict() == {'21': 3, '49': 2, 'not known': 1}
    assert table.loc['scanner'].index.tolist() == ['21', '49', 'not known']
    assert table.loc[('scanner', '21'), 'positive'] == 1 and table.loc[('scanner', '21'), 'patients'] == 2
    assert table.loc['age', 'patients'].to_dict() == {'40 to 49': 2, '50 to 59': 1}
    assert 'density' not in counts(s)['what'].values


def test_groups_are_in_the_order_of_numbers(tmp_path):
    s = store(tmp_path/'s', scanner=[100, 9, 21, 9])
    assert counts(s).query("what=='scanner'")['value'].tolist() == ['9', '21', '100']


def test_unlabelled_images_have_no_share_of_positives(tmp_path):
    s = store(tmp_path/'s', label=[None]*4)
    assert counts(s)['positive'].isna().all()
    d = describe(s)
    assert d.warnings == [] and 'with label 1: 0' in d.notes[0]
    assert 'not known' in repr(d) and 'nan' not in repr(d).lower() and '<NA>' not in repr(d)


def test_a_column_of_one_domain_is_not_a_gap_of_the_other(tmp_path):
    a, b = store(tmp_path/'a', scanner=['A', 'B']), store(tmp_path/'b', domain='digital', label=[0, 1])
    c = store(tmp_path/'c', label=[0, 1])
    table = counts(a, b, c).query("what=='scanner'")
    assert table[['domain', 'value', 'images']].values.tolist() == [['film', 'A', 1], ['film', 'B', 1], ['film', 'not known', 2]]


# ---- patients in two places

def test_patients_in_two_splits(tmp_path):
    s = store(tmp_path/'s', split=['train', 'test', 'train', None, 'test', 'test'], label=[0, 1, 0, 0, 1, 1])
    assert split_leaks(s).values.tolist() == [['film', 3, 1, 1]]
    assert any('1 patient is in several splits' in w for w in describe(s).warnings)


def test_patients_in_two_stores_of_one_domain(tmp_path):
    parts = [store(tmp_path/split, NOISE[i:i+4], split=[split]*4) for i, split in [(0, 'train'), (4, 'test')]]
    assert split_leaks(*parts)['in_several_splits'].tolist() == [2]


def test_one_pseudonym_in_two_domains_is_no_leak(tmp_path):
    a = store(tmp_path/'a', patient=['p', 'p', 'q'], split=['train']*3)
    b = store(tmp_path/'b', NOISE[3:6], 'digital', patient=['p', 'p', 'q'], split=['test']*3)
    assert split_leaks(a, b)['in_several_splits'].tolist() == [0, 0]
    assert describe(a, b).warnings == []


# ---- copies

def test_noise_has_no_copies(tmp_path):
    s = store(tmp_path/'s', NOISE)
    assert len(near_duplicates(s)) == 0


def test_copies_within_and_between_patients(tmp_path):
    images = NOISE[:9].copy()
    images[1] = images[0]                       # same patient
    images[[5, 8]] = images[2]                  # two others
    images[6] = (images[4]*250).round()/250     # coded again
    found = near_duplicates(store(tmp_path/'s', images))
    pairs = found[['image_id', 'other_id', 'same_patient', 'same_pixels']].values.tolist()
    assert sorted(pairs[:3]) == [['film-i0', 'film-i1', True, True], ['film-i2', 'film-i5', False, True], ['film-i2', 'film-i8', False, True]]
    assert pairs[3:] == [['film-i4', 'film-i6', False, False]]
    assert ALIKE <= found['correlation'][3] < 1 and (found['correlation'][:3] == 1).all()
    warnings = describe(store(tmp_path/'t', images)).warnings
    assert [w[:18] for w in warnings[:2]] == ['2 pairs of images:', '1 pair of images: '] and 'same pixels under two patients' in warnings[0]


def test_a_copy_in_one_patient_is_no_fault(tmp_path):
    images = NOISE[:4].copy()
    images[1] = images[0]
    d = describe(store(tmp_path/'s', images))
    assert len(d.duplicates) == 1 and d.warnings == []


def test_the_same_pixels_in_two_domains_are_under_two_patients(tmp_path):
    a, b = [store(tmp_path/domain, NOISE[:1], domain, patient=['p']) for domain in ('film', 'digital')]
    found = near_duplicates(a, b)
    assert found[['domain', 'other_domain', 'same_patient', 'same_pixels']].values.tolist() == [['film', 'digital', False, True]]


def test_copies_of_another_size_are_found(tmp_path):
    big = np.kron(NOISE[:2], np.ones((2, 2), 'float32'))
    index = pd.DataFrame({'image_id': ['x', 'y'], 'patient': ['x', 'y'], 'domain': 'film', 'label': pd.array([0, 1], dtype='Int64')})
    found = near_duplicates(store(tmp_path/'s', NOISE[:2]), write_store(tmp_path/'big', big, index, 64))
    assert found[['image_id', 'other_id']].values.tolist() in [[['film-i0', 'x'], ['film-i1', 'y']], [['film-i1', 'y'], ['film-i0', 'x']]]
    assert (found['correlation'] > 0.9999).all()


def test_many_blank_images_are_not_all_pairs(tmp_path):
    found = near_duplicates(store(tmp_path/'s', np.concatenate([np.zeros((100, 32, 32)), NOISE[:2]])))
    assert len(found) == 99


def test_brightness_does_not_hide_a_copy():
    thumbs = NOISE[:3, :16, :16].reshape(3, 256)
    pairs, r = alike(np.concatenate([thumbs, 0.5*thumbs[:1] + 0.2]))
    assert pairs.tolist() == [[0, 3]] and r[0] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize('n', [1, 2])
def test_very_few_images(tmp_path, n):
    d = describe(store(tmp_path/'s', NOISE[:n]))
    assert len(d.duplicates) == 0 and d.warnings == [] and len(d.notes) == 1


# ---- auROC and its interval

def plain_bootstrap(label, prob, fold, patient, draws, seed):
    "Draw patients, gather their images, compare those of one fold pair by pair"
    rng, n, out = np.random.default_rng(seed), patient.max()+1, []
    for _ in range(draws):
        rows = np.concatenate([np.flatnonzero(patient==p) for p in rng.integers(n, size=n)])
        won = pairs = 0
        for f in np.unique(fold):
            a, b = [prob[[i for i in rows if fold[i]==f and label[i]==k]] for k in (1, 0)]
            won += sum((x > y) + (x==y)/2 for x in a for y in b)
            pairs += len(a)*len(b)
        out.append(won/pairs if pairs else np.nan)
    return np.array(out)


@pytest.mark.parametrize('values', [4, 1000]) # many ties, few ties
def test_bootstrap_equals_its_plain_definition(values):
    rng = np.random.default_rng(values)
    patient = np.sort(rng.permutation(np.r_[np.arange(15), rng.integers(15, size=30)]))
    label, prob, fold = rng.integers(2, size=45), rng.integers(values, size=45)/values, patient%3
    fast, slow = [f(label, prob, fold, patient, 40, 7) for f in (patient_bootstrap, plain_bootstrap)]
    np.testing.assert_allclose(fast, slow)
    assert fast.std() > 0.01


def test_draws_without_a_pair_are_no_number():
    label, prob, patient = np.array([1, 0, 0]), np.array([0.9, 0.1, 0.2]), np.arange(3)
    draws = patient_bootstrap(label, prob, np.zeros(3, int), patient, 50)
    assert np.isnan(draws).any() and (draws[~np.isnan(draws)] == 1).all()


def test_auroc_is_the_mean_of_the_folds_weighted_by_pairs():
    rng = np.random.default_rng(3)
    label, prob, fold = rng.integers(2, size=200), rng.random(200), rng.integers(5, size=200)
    each = [roc_auc_score(label[fold==f], prob[fold==f]) for f in range(5)]
    pairs = [(label[fold==f]==1).sum()*(label[fold==f]==0).sum() for f in range(5)]
    assert fold_auroc(label, *fold_ranks(prob, fold), np.ones(200)) == pytest.approx(np.average(each, weights=pairs))


# ---- shortcuts

def figures(*stores): return shortcuts(*stores).set_index('from')


def test_too_few_patients_of_a_class(tmp_path):
    label = [1]*8 + [0]*60 # four patients
    found = shortcuts(store(tmp_path/'s', label=label))
    assert len(found) == 1 and found['auroc'].isna().all() and 'with label 1: 4' in found['note'][0]
    d = describe(store(tmp_path/'t', label=label))
    assert d.warnings == [] and 'cannot be checked' in ' '.join(repr(d).split()) and 'cannot be checked' in d._repr_html_()


def test_five_patients_of_a_class_are_enough(tmp_path):
    for seed in range(10):
        label = np.random.default_rng(seed).permutation(np.r_[np.ones(5, int), np.zeros(45, int)]).repeat(2)
        found = figures(store(tmp_path/str(seed), label=label, scanner=np.arange(100)//2%3))
        assert found['auroc'].between(0, 1).all() and (found['low'] <= found['high']).all()


def test_absent_and_constant_columns_are_left_out(tmp_path):
    s = store(tmp_path/'s', scanner=['A']*80, view=['CC', 'MLO']*40)
    assert shortcuts(s)['from'].tolist() == ['view', '16 x 16 thumbnails']
    blank = store(tmp_path/'blank', np.zeros((80, 32, 32)), age=[50, 60]*40)
    assert shortcuts(blank)['from'].tolist() == ['age']


def test_known_for_one_label_only_is_a_shortcut(tmp_path):
    label = np.arange(200)//2%2
    s = store(tmp_path/'s', label=label, age=np.where(label==1, 50, None), scanner=RNG.integers(3, size=100).repeat(2))
    assert figures(s).loc['age', 'auroc'] == 1 and figures(s).loc['scanner', 'low'] < 0.5
    assert any('age alone' in w for w in describe(s).warnings)


def test_age_that_goes_up_and_down_is_seen(tmp_path):
    age = np.random.default_rng(0).integers(40, 80, 150).repeat(2)
    s = store(tmp_path/'s', label=((age >= 50) & (age < 70)).astype(int), age=age)
    assert figures(s).loc['age', 'low'] > 0.9


def test_a_scanner_of_its_own_for_each_patient_tells_nothing(tmp_path):
    s = store(tmp_path/'s', scanner=[f'S{i//2}' for i in range(200)])
    assert figures(s).loc['scanner', 'auroc'] == 0.5


def test_an_outline_that_tells_the_label_is_a_shortcut(tmp_path):
    "Breasts of noise; in one store the higher ones are positive, in the other any"
    rng = np.random.default_rng(4)
    label, height = rng.integers(2, size=60).repeat(2), rng.integers(10, 22, size=120)
    def breasts(height): return NOISE[:120]*(np.abs(np.arange(32)[:,None]-16) < height[:,None,None]/2)*(np.arange(32) < 12)
    told = store(tmp_path/'told', breasts(height + 4*label), label=label)
    assert figures(told).loc['outline', 'low'] > .6
    assert any(w.startswith('film: the label can be told from outline alone') and 'or how it was cut out' in w for w in describe(told).warnings)
    assert figures(store(tmp_path/'any', breasts(height), label=label)).loc['outline', 'low'] < .5


def test_an_outline_is_measured_in_shares_of_the_image():
    image = np.zeros((1, 64, 64), 'float32')
    image[0, 16:48, :32] = .5
    image[0, 30, 10] = 0 # a hole
    small, large = outlines(image[:,::2,::2]), outlines(image)
    np.testing.assert_allclose(large[0,[0, 3, 4]], [.25, .5, .25])
    np.testing.assert_allclose(small, large, atol=.04)


def test_patients_are_never_in_fit_and_test(tmp_path):
    label = np.random.default_rng(1).integers(2, size=60)
    images = NOISE[np.arange(60).repeat(4)] + 0.01*RNG.normal(size=(240, 32, 32)) # a patient's images are alike
    s = store(tmp_path/'s', images.clip(0, 1), label=label.repeat(4), patient=[f'p{i//4}' for i in range(240)])
    assert figures(s).loc['16 x 16 thumbnails', 'auroc'] < 0.7


def test_each_domain_is_judged_apart_and_figures_are_repeatable(tmp_path):
    label = np.arange(120)//2%2
    a, b = store(tmp_path/'a', label=label, scanner=label), store(tmp_path/'b', NOISE[120:240], 'digital', label=label, scanner=np.arange(120)//4%2)
    found = shortcuts(a, b).set_index(['domain', 'from'])
    assert found.loc[('film', 'scanner'), 'auroc'] == 1 and found.loc[('digital', 'scanner'), 'low'] <= 0.5
    pd.testing.assert_frame_equal(shortcuts(a, b), shortcuts(a, b))
    pd.testing.assert_frame_equal(shortcuts(a), shortcuts(a, b).query("domain=='film'").reset_index(drop=True))


def test_a_phantom_has_no_age_and_machines_that_tell_nothing(tmp_path):
    d = describe(phantom_store(tmp_path/'s', 'film', patients=30, size=32))
    assert not any('scanner' in w or 'age,' in w or 'age alone' in w for w in d.warnings)
    assert d.shortcuts['from'].tolist() == ['scanner', 'view', 'scanner + view', 'outline', '16 x 16 thumbnails']
    assert d.leaks['in_several_splits'].tolist() == [0] and d.duplicates.empty


# ---- drawing

def test_text_is_80_columns_and_html_is_escaped(tmp_path):
    label, scanner = np.arange(80)//2%2, '<b>Senographe of a very long name indeed & more '
    images = NOISE[:80].copy()
    images[40:] = images[:40]
    s = store(tmp_path/'s', images, 'a domain of a rather long name', scanner=[scanner + str(x) for x in label],
              image_id=[f'digital-i{i:012}' for i in range(80)], age=label*20+40, view=['CC', 'MLO']*40, split=['train', 'test']*40)
    d = describe(s)
    assert isinstance(d, Description) and len(d.warnings) == 6 # splits, copies, scanner, age, both with view, thumbnails
    text = repr(d)
    assert max(map(len, text.splitlines())) <= 80
    assert '<b>' not in d._repr_html_() and '&lt;b&gt;' in d._repr_html_()
    assert 'Pairs of copies: 40' in text and text.count('same pixels') == 10 + 1 # ten shown, one warning


# ---- real files

@pytest.fixture(scope='module')
def real(tmp_path_factory):
    if 'MAMMO_UDA_DATA' not in os.environ: pytest.skip('MAMMO_UDA_DATA is not set')
    data, tmp = Path(os.environ['MAMMO_UDA_DATA']), tmp_path_factory.mktemp('real')
    return describe(*[build_store(Dataset.from_csv(data/name/'index.csv', domain), tmp/domain, 32)
                      for name, domain in [('film_ddsm', 'film'), ('ffdm_rsna', 'digital')]])


def test_traps_of_the_real_sets_are_found(real):
    found = real.shortcuts.set_index(['domain', 'from'])['auroc']
    for name, auroc in {('film', 'scanner'): 0.57, ('digital', 'scanner'): 0.60, ('digital', 'age'): 0.65,
                        ('digital', 'scanner + age + view'): 0.68}.items():
        assert found[name] == pytest.approx(auroc, abs=0.025)
        assert any(w.startswith(f'{name[0]}: the label can be told from {name[1]} alone') for w in real.warnings)


def test_standardised_thumbnails_tell_little_of_the_label(real):
    "In the files as they are it is more, 0.61 to 0.67 in film_ddsm: the borders of the film are in them"
    found = real.shortcuts.set_index(['domain', 'from'])['auroc']
    for domain in ('film', 'digital'): assert 0.5 < found[(domain, '16 x 16 thumbnails')] < 0.6


def test_real_sets_have_no_leak_and_one_film_under_two_patients(real):
    "Rows 763 and 1026 of film_ddsm: by eye one film, digitised twice, under two numbers of DDSM"
    assert real.leaks['in_several_splits'].tolist() == [0, 0]
    assert real.leaks.set_index('domain')['of_both_labels'].to_dict() == {'film': 5, 'digital': 17}
    same = real.duplicates['same_pixels']
    assert same.sum() == 2 and real.duplicates['same_patient'][same].all() # one image is there three times
    assert real.duplicates.loc[~same, ['domain', 'other_domain', 'same_patient']].values.tolist() == [['film', 'film', False]]
    assert [w.split(':')[0] for w in real.warnings if 'patients' in w] == ['1 pair of images']

"A phantom's label is in its lesion and nowhere else; its machines say nothing of it; what is promised of both holds"
from dataclasses import fields, replace
from itertools import product

import numpy as np, pandas as pd, pytest
from leak_network import labelled_store, network_leaks

from mammo_uda.data import anatomy as drawing, machines
from mammo_uda.data.anatomy import FINE, KINDS, draw_lesion, draw_side
from mammo_uda.data.leak import corrected, leaks, view_leaks
from mammo_uda.data.machines import DIGITALS, FILMS, MACHINES, PACK, add_marks, dialled, machine_of, own_machines
from mammo_uda.data.phantom import (DOMAINS, SIDES, VIEWS, Shape, acquire, anatomy, draw_patient, expose, known_answer,
                                    phantom_index, phantom_store)

HEIGHT = 64
ILL = [(patient, side) for patient in range(1, 13) if (side := draw_side(patient))]


@pytest.fixture(autouse=True)
def anew():
    "Machines are dealt by the streams of the test, not by those of the one before"
    machines.dealt.cache_clear()
    yield
    machines.dealt.cache_clear()


# ---- drawn by numbers alone

@pytest.mark.parametrize('domain', DOMAINS)
def test_the_same_numbers_draw_the_same_image_and_other_numbers_another(domain):
    image = acquire(3, 'L', 'MLO', domain, HEIGHT)[1]
    assert np.array_equal(image, acquire(3, 'L', 'MLO', domain, HEIGHT)[1])
    others = [acquire(4, 'L', 'MLO', domain, HEIGHT), acquire(3, 'R', 'MLO', domain, HEIGHT),
              acquire(3, 'L', 'CC', domain, HEIGHT), acquire(3, 'L', 'MLO', domain, HEIGHT, seed=1)]
    assert not any(np.array_equal(image, other) for _, other in others)


def test_a_patient_is_the_same_whoever_was_drawn_before():
    alone = acquire(7, 'R', 'CC', 'film', HEIGHT)[1]
    machines.dealt.cache_clear()
    for patient in (6, 5, 70): acquire(patient, 'R', 'CC', 'film', HEIGHT)
    assert np.array_equal(alone, acquire(7, 'R', 'CC', 'film', HEIGHT)[1])


# ---- lesions

def disc(rng, y, x, lesion, ease, fine):
    "A lesion with a hard edge, of 6 mm"
    inside = np.hypot(y, x) < 6
    return 5.*inside, inside


def test_a_lesion_changes_the_anatomy_within_its_mask_only(monkeypatch):
    monkeypatch.setattr(drawing, 'add_lesion', disc)
    monkeypatch.setattr(drawing, 'halved', lambda a: a[::2,::2])
    for which in [(*o, view) for o in ILL for view in VIEWS]:
        a, well = [anatomy(*which, HEIGHT, positive=positive) for positive in (.8, 0)]
        assert a.label == 1 and well.label == 0 and np.array_equal(a.breast, well.breast)
        assert np.array_equal(a.attenuation != well.attenuation, a.lesion)


@pytest.mark.parametrize('domain', DOMAINS)
def test_a_lesion_hardly_changes_an_image_far_from_it(domain):
    "Exposure and processing follow the whole image, and so a little of everything moves"
    for patient, side in ILL:
        images = [acquire(patient, side, 'CC', domain, HEIGHT, positive=positive) for positive in (.8, 0)]
        (a, image), (_, without) = images
        change = np.abs(image-without)[:, ::1 if side == 'L' else -1]
        assert change[a.lesion].max() > .05 > 4*np.median(change[a.breast & ~a.lesion])


def test_both_views_show_the_same_lesion():
    table = phantom_index('film', 60)
    ill = table[table.label == 1]
    per_breast = ill.groupby(['patient', 'laterality'])
    assert (per_breast.size() == 2).all() and (per_breast[['lesion', 'lesion_mm']].nunique() == 1).all(axis=None)
    assert ill.lesion.isin(KINDS).all() and ill.lesion_mm.between(5, 20*np.cbrt(drawing.EASE)).all()
    assert table.lesion[table.label == 0].isna().all()


def test_a_lesion_measures_what_the_index_says():
    for patient, side in ILL:
        for view, ease in product(VIEWS, (1., 8.)):
            a = anatomy(patient, side, view, 256, ease=ease)
            across = 2*np.sqrt(a.lesion.sum()/np.pi)*a.spacing
            assert across == pytest.approx(np.cbrt(ease)*draw_lesion(patient).size, rel=.15)


def test_a_mass_has_a_soft_margin_and_an_uneven_inside():
    y, x = np.mgrid[-12:12:.25, -12:12:.25]
    path, mask = drawing.lesion_path(np.random.default_rng(0), y, x, 'round', 8.)
    reach = np.hypot(y, x)/8
    inside, margin = path[reach < .3], path[(reach > .85) & mask]
    assert margin.mean() < .22*inside.mean() and inside.std() > .08*inside.mean()


def test_benign_masses_are_pressed_flat(monkeypatch):
    patient, side = next(o for o in ILL if drawing.draw_benign(*o))
    def raised(): return anatomy(patient, side, 'CC', HEIGHT, positive=0.).attenuation.sum()
    flat, share = raised(), drawing.FLAT
    monkeypatch.setattr(drawing, 'FLAT', 1.)
    round_ = raised()
    monkeypatch.setattr(drawing, 'draw_benign', lambda *_: [])
    assert round_-raised() == pytest.approx((flat-raised())/share, rel=.1)


def test_calcifications_are_drawn_only_where_a_pixel_can_show_them():
    lesion = replace(draw_lesion(1), kind='round', calcified=True)
    y, x = np.arange(-15, 15, .2)[:,None], np.arange(-15, 15, .2)[None]
    plain, grained = [drawing.add_lesion(np.random.default_rng(0), y, x, lesion, 1., fine)[0] for fine in (False, True)]
    assert (grained >= plain).all() and (grained > plain + 2).any()
    assert 2*FINE < anatomy(1, 'L', 'CC', 160).spacing and anatomy(1, 'L', 'CC', 640).spacing < FINE


def test_benign_masses_are_in_both_views_and_whoever_is_ill():
    table = phantom_index('digital', 200)
    assert (table.groupby(['patient', 'laterality']).benign.nunique() == 1).all()
    number = table.groupby('label').benign.mean()
    assert number.max()-number.min() < .35 and number.mean() == pytest.approx(drawing.BENIGN, abs=.2)
    patient, side = next(o for o in ILL if drawing.draw_benign(*o))
    for view in VIEWS:
        without = [anatomy(patient, side, view, HEIGHT, positive=0.)]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(drawing, 'draw_benign', lambda *_: [])
            without.append(anatomy(patient, side, view, HEIGHT, positive=0.))
        some, none = without
        assert (some.attenuation >= none.attenuation-1e-6).all() and (some.attenuation > none.attenuation+.02).any()
        assert not some.lesion.any()


# ---- where the label is

def numbers_alone(purpose, *numbers): return np.random.default_rng(numbers)


def test_the_label_has_a_stream_that_nothing_else_draws_from(monkeypatch):
    made = []
    def noted(purpose, *numbers): return made.append(purpose) or numbers_alone(purpose, *numbers)
    monkeypatch.setattr(drawing, 'stream', noted)
    draw_side(1)
    assert made == ['label']
    monkeypatch.setattr(drawing, 'draw_side', lambda *_: 'L')
    anatomy(1, 'L', 'CC', HEIGHT)
    draw_patient(1)
    assert made.count('label') == 1 and len(made) > 6


def test_nothing_tells_the_label_where_there_is_no_lesion():
    found = leaks(300)
    assert len(found) == 4*(len(fields(Shape)) + 2 + 2*3)
    assert ((found.low < .5) & (found.high > .5)).all(), found.head()


def test_streams_of_numbers_alone_are_found_out(monkeypatch):
    "The label, the density and the thickness of all views were one number"
    monkeypatch.setattr(drawing, 'stream', numbers_alone)
    found = corrected(pd.DataFrame(view_leaks(range(1, 301), 'L', 'CC', 32), columns=['what', 'auroc', 'error']))
    assert {'density', 'thickness'} <= set(found.what[(found.high < .5) | (found.low > .5)])


def test_a_small_network_finds_lesions_and_nothing_else(tmp_path):
    for positive in (.8, 0):
        store = labelled_store(tmp_path/str(positive), 'digital', 150, 32, positive)
        found = corrected(pd.DataFrame(network_leaks(store, 6), columns=['view', 'what', 'auroc', 'error']))
        assert (found.auroc.mean() > .6) if positive else (found.low.max() < .5 and found.high.min() > .5), found


def test_intervals_for_all_tests_together_and_p_values_agree():
    rng = np.random.default_rng(0)
    for n in (1, 5, 70):
        for _ in range(50):
            found = corrected(pd.DataFrame(dict(auroc=.5 + .06*rng.normal(size=n), error=.03)))
            outside = (found.low > .5) | (found.high < .5)
            assert outside.any() == (found.p < .05).any() and (outside <= (found.p < .05)).all()
            assert found.p.is_monotonic_increasing


# ---- machines

@pytest.mark.parametrize('domain', DOMAINS)
def test_machines_are_dealt_evenly_over_labels(domain):
    "In each pack, sick left, sick right and healthy patients are on each machine alike often, but for one"
    for seed, pack in product((0, 5), (1, 3)):
        dealt = pd.DataFrame([(machine_of(p, domain, seed).name, str(draw_side(p, seed)))
                              for p in range(pack*PACK, (pack+1)*PACK)], columns=['machine', 'ill'])
        count = pd.crosstab(dealt.machine, dealt.ill)
        assert len(count) == len(own_machines(domain)) and (count.max()-count.min() <= 1).all(), count


def test_a_patient_stays_on_her_machine():
    table = phantom_index('digital', 30)
    assert (table.groupby('patient').scanner.nunique() == 1).all()
    healthy = phantom_index('digital', 30, positive=0)
    assert healthy.label.sum() == 0 and (healthy.scanner == table.scanner).all()


def test_machines_that_are_held_out_are_in_no_default():
    held = {m.name for m in MACHINES.values() if m.held_out}
    assert {MACHINES[o].domain for o in held} == set(DOMAINS)
    for domain in DOMAINS: assert not held & set(phantom_index(domain, 200).scanner)


def test_a_domain_is_several_machines_of_its_own():
    assert len(own_machines('film')) >= 3 and len(own_machines('digital')) >= 4
    assert all(m.domain == 'film' for m in FILMS) and all(m.domain == 'digital' for m in DIGITALS)
    settings = [tuple(vars(m).values())[3:] for m in MACHINES.values()]
    assert len(set(settings)) == len(settings)


def test_a_machine_by_its_name_is_a_domain_of_the_same_breasts(tmp_path):
    dealt = phantom_index('film', 6)
    alone = phantom_store(tmp_path/'alone', 'film-9', patients=6, size=32, tested=True)
    assert (alone.index.scanner == 'film-9').all() and (alone.index.split == 'test').all()
    assert alone.index.phantom.tolist() == dealt.phantom[dealt.split == 'test'].tolist()
    others = phantom_store(tmp_path/'dealt', 'film', patients=6, size=32)
    assert not np.allclose(alone[:], others[others.where(split='test')])


def test_prevalence_is_the_same_in_all_domains():
    shares = [phantom_index(domain, 600).label.mean() for domain in DOMAINS]
    assert shares == pytest.approx([.4, .4], abs=.025)


# ---- the dial, and the right answer

def both(gap, patient):
    a = anatomy(patient, 'L', 'CC', HEIGHT)
    return [expose(a, domain, 'L', np.random.default_rng(0), marks=False, gap=gap) for domain in DOMAINS]


def test_at_no_gap_both_domains_are_one_machine():
    for patient in range(1, 6): assert np.array_equal(*both(0, patient))
    ready = [replace(dialled(m, 0), name='', domain='', held_out=False) for m in MACHINES.values()]
    assert len(set(ready)) == 1


def test_the_gap_grows_with_the_dial():
    apart = [np.mean([np.abs(np.subtract(*both(gap, patient))).mean() for patient in range(1, 9)])
             for gap in (0, .25, .5, 1)]
    assert (np.diff(apart) > .005).all()


def test_beyond_one_no_curve_makes_one_domain_of_the_other():
    "Greys of film and digital image of the same places rank alike up to 1, and hardly at 2"
    inside = anatomy(3, 'L', 'CC', HEIGHT).breast
    def alike(gap): return pd.DataFrame([image[inside] for image in both(gap, 3)]).T.corr('spearman').iloc[0, 1]
    assert alike(0) > .999 and alike(2) < alike(1) - .1


@pytest.mark.parametrize('source', DOMAINS)
def test_the_right_answer_is_without_noise_and_around_it_are_the_others(source):
    noisy, clean = [known_answer(2, 'L', 'CC', source, 64, noise=noise) for noise in (True, False)]
    assert np.array_equal(noisy[0], clean[0]) and np.array_equal(noisy[2], clean[2])
    inside = (clean[1] > 0) & (noisy[1] > 0)
    error = (noisy[1]-clean[1])[inside]
    assert 0 < error.std() < .05 and abs(np.median(error)) < .005


def test_every_domain_has_known_answers_and_masks():
    for domain in DOMAINS:
        for patient, side in ILL[:4]:
            image, truth, lesion = known_answer(patient, side, 'MLO', domain, 64)
            assert lesion.any() and image[lesion].min() > 0 and ((image > 0) == (truth > 0)).mean() > .9


def test_an_image_stays_in_its_range_under_all_marks():
    for seed in range(50):
        marked = add_marks(np.random.default_rng(seed), np.full((40, 32), .9, np.float32), .95)
        assert marked.min() >= 0 and marked.max() <= .95 + 1e-6
    for machine, side in product(MACHINES, SIDES):
        image = acquire(1, side, 'MLO', machine, HEIGHT)[1]
        assert image.dtype == np.float32 and image.min() >= 0 and image.max() <= 1

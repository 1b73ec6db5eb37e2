"The audit gives every right translation full marks and finds what is lost and what is invented"
from functools import lru_cache

import numpy as np, pandas as pd, pytest
from scipy.ndimage import gaussian_filter

from mammo_uda.data.phantom import DOMAINS
from mammo_uda.translate.audit import (CHANNELS, RADII, answers_changed, band, beyond, contrast, contrast_to_noise,
                                       detectability, invention, is_invented, known_cases, measure, right_answer, seen,
                                       strongest_change, suspicion, summarise, toned, typical)

CASES = {domain: known_cases(domain, 8, 64) for domain in DOMAINS}
MACHINES = [(domain, name) for domain, cases in CASES.items() for name in cases[0].answers]
Y, X = np.mgrid[:64,:64]

def marks(source, how):
    "The audit's marks for what `how` makes of a case: a pair of images, with the lesion and without"
    return pd.Series(summarise(pd.DataFrame([measure(case, how(case)) for case in CASES[source]])))

def each(how): return lambda case: np.stack([how(image) for image in case.repeat]).astype(np.float32)
def again(case): return case.repeat
def blurred(sigma): return each(lambda o: gaussian_filter(o, sigma)*(o > 0))

@lru_cache(None)
def answer(case): return right_answer(case, case.repeat[1])

def spot(case, k, strength):
    "A mass of the k-th size, in typical lesions of the machine that the case is shown on"
    machine, truth = answer(case)
    inside = truth[1] > 0
    ball = np.clip(1-((Y-32)**2 + (X-14)**2)/RADII[k]**2, 0, 1)**.75*inside
    return np.float32(strength*typical(machine)[k]/band(ball, inside, RADII[k]).max()*ball)

def invented(case, image, source):
    machine, truth = answer(case)
    return invention(image, source, truth[1], machine)

@pytest.mark.parametrize('source, machine', MACHINES)
@pytest.mark.parametrize('at', [0, 1, 2])
def test_whatever_machine_of_the_target_is_shown_is_right(source, machine, at):
    m = marks(source, lambda case: case.answers[machine][at])
    assert m.error < .002 and m.similarity > .98 and m.lesions_lost == m.lesions_invented == 0
    assert m.contrast_kept == pytest.approx(1, abs=.02) and m.cnr_kept == pytest.approx(1, abs=.02)
    assert all(measure(case, case.answers[machine][1])['machine'] == machine for case in CASES[source][:4])

@pytest.mark.parametrize('source', DOMAINS)
def test_the_machine_with_its_noise_gets_full_marks(source):
    m = marks(source, again)
    assert 0 < m.error < .01 and abs(m.contrast_kept - 1) < .1 and m.lesions_lost == m.lesions_invented == 0

@pytest.mark.parametrize('source', DOMAINS)
def test_noise_that_is_missing_is_no_merit(source):
    shown = {name: lambda case, name=name: case.answers[name][1] for name in CASES[source][0].answers}
    for name, clean in shown.items():
        rng = np.random.default_rng(0)
        noisy = lambda case: clean(case) + .03*rng.standard_normal((64,64)).astype(np.float32)*(clean(case)[1] > 0)
        smooth = lambda case: np.stack([gaussian_filter(o, 1.5)*(o > 0) for o in noisy(case)])
        best, worse, smoothed = [marks(source, how) for how in (clean, noisy, smooth)]
        assert worse.cnr_kept < best.cnr_kept and smoothed.detectability < 1.05*best.detectability

@pytest.mark.parametrize('source', DOMAINS)
def test_a_translator_that_erases_lesions(source):
    m = marks(source, lambda case: case.repeat[[1,1]])
    assert m.lesions_lost == 1 and abs(m.contrast_kept) < .1 and m.lesions_invented == 0 and m.detectability < .1

@pytest.mark.parametrize('source', DOMAINS)
def test_a_translator_that_blurs_lesions_away(source):
    sharp, soft = marks(source, again), marks(source, blurred(5))
    assert soft.lesions_lost > .8 and soft.contrast_kept < .4 and soft.detectability < .7*sharp.detectability

@pytest.mark.parametrize('source', DOMAINS)
@pytest.mark.parametrize('size', range(len(RADII)))
def test_a_translator_that_invents_lesions_of_any_size(source, size):
    def found(strength):
        painted = [(case, case.repeat[1] + spot(case, size, strength)) for case in CASES[source]]
        return is_invented(np.array([invented(case, image, case.source[1]) for case, image in painted]))
    assert found(.5).mean() > .95 and found(1.).all() and not found(.2).any()

@pytest.mark.parametrize('source', DOMAINS)
def test_who_changes_nothing_or_shows_the_machine_invents_nothing(source):
    for case in CASES[source]:
        assert measure(case, case.source)['invention'] < 1e-3 and measure(case, case.repeat)['invention'] < .25

@pytest.mark.parametrize('source', DOMAINS)
@pytest.mark.parametrize('size', range(len(RADII)))
def test_a_faint_spot_of_the_source_is_an_invention_once_it_is_raised(source, size):
    shown = [(case, spot(case, size, .25)) for case in CASES[source]]
    kept = [invented(case, case.repeat[1] + faint, case.source[1] + faint) for case, faint in shown]
    raised = [invented(case, case.repeat[1] + faint/.25, case.source[1] + faint) for case, faint in shown]
    assert np.mean(is_invented(np.array(kept))) < .1 and np.mean(is_invented(np.array(raised))) > .9

@pytest.mark.parametrize('source', DOMAINS)
def test_real_lesions_would_be_found_if_they_were_invented(source):
    ill = [case for case in CASES[source] if case.lesion.any()]
    found = [is_invented(invention(ways[1,0], case.source[1], ways[1,1], name))
             for case in ill for name, ways in case.answers.items()]
    assert np.mean(found) > .8

def test_another_exposure_or_sharpness_invents_nothing():
    case = CASES['digital'][0]
    truth = case.answers['film-1'][1,1]
    sharper = truth + .5*(truth - gaussian_filter(truth, 2))*(truth > 0)
    assert np.abs(beyond(.1 + .8*truth, truth)).max() < 1e-4
    assert not is_invented(invention(sharper, case.source[1], truth, 'film-1'))
    np.testing.assert_allclose(toned(.1 + .8*truth, truth), truth, atol=1e-4)

def test_without_a_right_answer_the_source_alone_counts():
    for case in CASES['film']:
        image, lump = case.source[1], spot(case, 2, 1.5)
        assert strongest_change(.5*image, image) < 1e-3 < .3 < strongest_change(image-lump, image)

@pytest.mark.parametrize('source', DOMAINS)
def test_twins_differ_by_the_lesion_alone(source):
    for case in CASES[source]:
        pairs = [case.source, case.repeat, *[pair for ways in case.answers.values() for pair in ways]]
        if not case.lesion.any():
            assert all(np.array_equal(*pair) for pair in pairs)
            continue
        far = ~(gaussian_filter(case.lesion.astype(float), 6) > .01)
        for with_lesion, without in pairs:
            differ = np.abs(with_lesion-without)
            assert differ[case.lesion].mean() > 4*differ[far].mean()

def test_contrast_is_of_the_lesion_alone():
    image, lesion = np.full((64,64), .4), np.zeros((64,64), bool)
    lesion[20:28,20:28] = True
    assert contrast(image + .25*lesion, lesion) == pytest.approx(.25)
    assert contrast(image - .25*lesion, lesion) == pytest.approx(-.25)
    grain = image + .05*np.random.default_rng(0).standard_normal((64,64))
    assert contrast_to_noise(grain + .25*lesion, lesion) == pytest.approx(5, rel=.15)
    shown = grain + .25*lesion
    assert contrast_to_noise(.5*shown, lesion) == pytest.approx(contrast_to_noise(shown, lesion))

def test_observer_reaches_what_theory_says_and_refuses_few():
    signal, disc, inside = np.exp(-((Y-32)**2 + (X-32)**2)/32), np.hypot(Y-32, X-32) < 7, np.ones((64,64), bool)
    noise = 3*np.random.default_rng(0).standard_normal((300,64,64))
    def found(tone): return [np.stack([seen(tone(o+s), disc, inside) for o in noise]) for s in (signal, 0)]
    ill, well = found(lambda o: o)
    d = detectability(ill, well)
    assert d == pytest.approx(np.sqrt((signal**2).sum())/3, rel=.1)
    assert detectability(*found(lambda o: .3 + .5*o)) == pytest.approx(d)
    assert np.isnan(detectability(ill[:2*CHANNELS-1], well[:2*CHANNELS-1])) and detectability(well, well) == 0

def test_suspicion_and_audit_agree():
    for case in CASES['film']:
        for pair in (case.source, case.repeat, blurred(3)(case), case.repeat[[1,1]]):
            row, image = pd.DataFrame([measure(case, pair)]), pair[0]
            said = suspicion(case.source[0], image, case)
            if case.lesion.any(): assert (said == 'lost') == (row.contrast < .5*row.truth)[0]
            else: assert (said == 'invented') == is_invented(row.invention)[0]

def test_answers_changed_are_counted_by_class():
    changed = answers_changed([0, 1, 1], [.4, .6, .9], [.6, .4, .9], [.4, .6, .1])
    assert changed.to_dict('list') == dict(label=[0, 1], images=[1, 2], translated=[1., .5], there_and_back=[0., .5])

def test_without_a_lesion_there_is_nothing_to_keep():
    well = [case for case in CASES['film'] if not case.lesion.any()]
    found = summarise(pd.DataFrame([measure(case, case.repeat) for case in well]))
    assert set(found) == {'error', 'similarity', 'lesions_invented'} and found['lesions_invented'] == 0

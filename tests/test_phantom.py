"A phantom's label is in its lesion and nowhere else"
from dataclasses import fields

import numpy as np, pandas as pd, pytest
from leak_network import labelled_store, network_leaks
from scipy.ndimage import binary_dilation

from mammo_uda.data import phantom
from mammo_uda.data.leak import corrected, leaks, view_leaks
from mammo_uda.data.phantom import DOMAINS, VIEWS, Shape, acquire, draw_patient

HEIGHT = 64


def disc(rng, y, x, lesion):
    "A lesion with a hard edge, drawn from the same stream"
    inside = np.hypot(y, x) < lesion.radius
    return rng.uniform(.2, .3)*inside, inside


@pytest.fixture
def ill_views(monkeypatch):
    "Views with a lesion: domain, side, and anatomy and image with and without it"
    monkeypatch.setattr(phantom, 'add_lesion', disc)
    ill = [(patient, side, view) for patient in range(1, 13) if (side := draw_patient(patient)[1]) for view in VIEWS]
    return [(domain, which[1], *(acquire(*which, domain, HEIGHT, positive=positive) for positive in (.8, 0.)))
            for which in ill for domain in DOMAINS]


def test_a_lesion_changes_the_anatomy_within_its_mask_only(ill_views):
    assert len(ill_views) > 20
    for _, _, (a, _), (well, _) in ill_views:
        assert a.label == 1 and well.label == 0 and np.array_equal(a.breast, well.breast)
        assert np.array_equal(a.attenuation != well.attenuation, a.lesion)


def test_a_lesion_changes_the_image_no_further_than_the_machine_blurs(ill_views):
    "Film blurs by 0.011 of the height, processing evens out over 0.08; scipy's Gaussians end at four times that"
    reach = dict(film=4*.011, digital=4*.08 + 4*.012)
    for domain, side, (a, image), (_, without) in ill_views:
        near = binary_dilation(a.lesion, np.ones((3, 3)), iterations=1 + int(np.ceil(reach[domain]*HEIGHT)))
        changed = (image != without)[:, ::1 if side == 'L' else -1]
        assert changed.any() and not changed[~near].any()


# ---- where the label is

def numbers_alone(purpose, *numbers): return np.random.default_rng(numbers)


def test_nothing_tells_the_label_where_there_is_no_lesion():
    found = leaks(300)
    assert len(found) == 4*(len(fields(Shape)) + 1 + 2*3)
    assert ((found.low < .5) & (found.high > .5)).all(), found.head()


def test_streams_of_numbers_alone_are_found_out(monkeypatch):
    "The label and the half-height of the left CC view were one number"
    monkeypatch.setattr(phantom, 'stream', numbers_alone)
    found = corrected(pd.DataFrame(view_leaks(range(1, 301), 'L', 'CC', 32), columns=['what', 'auroc', 'error']))
    assert found.high[found.what == 'half'].item() < .45
    told = set(found.what[(found.high < .5) | (found.low > .5)])
    assert {'half', 'film: 16 x 16 thumbnails', 'digital: 16 x 16 thumbnails'} <= told


def test_a_small_network_finds_lesions_and_nothing_else(tmp_path):
    for positive in (.8, 0):
        store = labelled_store(tmp_path/str(positive), 'digital', 150, 32, positive)
        found = corrected(pd.DataFrame(network_leaks(store, 6), columns=['view', 'what', 'auroc', 'error']))
        assert (found.auroc.mean() > .7) if positive else (found.low.max() < .5 and found.high.min() > .5), found


def test_intervals_for_all_tests_together_and_p_values_agree():
    rng = np.random.default_rng(0)
    for n in (1, 5, 70):
        for _ in range(50):
            found = corrected(pd.DataFrame(dict(auroc=.5 + .06*rng.normal(size=n), error=.03)))
            outside = (found.low > .5) | (found.high < .5)
            assert outside.any() == (found.p < .05).any() and (outside <= (found.p < .05)).all()
            assert found.p.is_monotonic_increasing


def test_film_stays_in_its_range_under_scratches():
    "A scratch over the densest tissue once was below the least density, and brighter than any image may be"
    for seed in range(50):
        density = phantom.film_marks(np.random.default_rng(seed), np.full((40, 32), .06))
        assert density.min() >= .05 and density.max() <= 3.6

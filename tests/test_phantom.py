"A phantom's label is in its lesion and nowhere else"
import numpy as np, pytest
from scipy.ndimage import binary_dilation

from mammo_uda.data import phantom
from mammo_uda.data.phantom import DOMAINS, VIEWS, acquire, draw_patient

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
    "Film blurs by 0.011 of the height, the detector's processing evens out over 0.08; scipy's Gaussians end at four times that"
    reach = dict(film=4*.011, digital=4*.08 + 4*.012)
    for domain, side, (a, image), (_, without) in ill_views:
        near = binary_dilation(a.lesion, np.ones((3, 3)), iterations=1 + int(np.ceil(reach[domain]*HEIGHT)))
        changed = (image != without)[:, ::1 if side == 'L' else -1]
        assert changed.any() and not changed[~near].any()

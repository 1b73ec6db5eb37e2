"The audit gives the right translation full marks and finds what is lost and what is invented"
import numpy as np, pytest
from scipy.ndimage import gaussian_filter

from mammo_uda.data.phantom import DOMAINS
from mammo_uda.translate.audit import Audit, answers_changed, beside, blob, contrast, known_cases

class Given:
    "Stands in for a translator: what `how` makes of the right answer, acquired again"
    def __init__(self, source, how): self.source, self.target, self.size, self.how = source, DOMAINS[1-DOMAINS.index(source)], 64, how
    def __call__(self, images): return np.stack([self.how(case) for case in known_cases(self.source, 8, 64)]).astype(np.float32)

def marks(source, how): return Audit(Given(source, how), patients=8).summary.loc['translated']

def without_lesion(case): return np.where(case.lesion, np.median(case.repeat[case.repeat > 0]), case.repeat)
def with_lump(case):
    y, x = np.mgrid[:64,:64]
    return case.repeat + .4*np.exp(-((y-32)**2 + (x-14)**2)/18)*(case.repeat > 0)

@pytest.mark.parametrize('source', DOMAINS)
def test_the_right_answer_gets_full_marks(source):
    m = marks(source, lambda case: case.repeat)
    assert abs(m.contrast_kept - 1) < .1 and m.lesions_lost == m.lesions_invented == 0

@pytest.mark.parametrize('source', DOMAINS)
def test_a_translator_that_erases_lesions(source):
    m = marks(source, without_lesion)
    assert m.lesions_lost > .9 and m.contrast_kept < .3 and m.lesions_invented == 0

@pytest.mark.parametrize('source', DOMAINS)
def test_a_translator_that_invents_lesions(source):
    m = marks(source, with_lump)
    assert m.lesions_invented > .9 and m.lesions_lost < .2

def test_another_exposure_invents_nothing():
    case = known_cases('digital', 1, 64)[0]
    assert blob(beside(.1 + .8*case.truth, case.truth)) < 1e-6

def test_the_answers_lie_over_each_other_and_differ_where_they_should():
    ill = [case for case in known_cases('film', 6, 64) if case.lesion.any()]
    assert ill
    for case in ill:
        grown = gaussian_filter(case.lesion.astype(float), 4) > .01
        differ = gaussian_filter(np.abs(case.truth-case.healthy), 1) > .05
        assert differ[case.lesion].mean() > .3 and (differ & ~grown).mean() < .05

def test_contrast_is_of_the_lesion_alone():
    image, lesion = np.full((64,64), .4), np.zeros((64,64), bool)
    lesion[20:28,20:28] = True
    assert contrast(image + .25*lesion, lesion) == pytest.approx(.25)
    assert contrast(image - .25*lesion, lesion) == pytest.approx(-.25)

def test_answers_changed_are_counted_by_class():
    changed = answers_changed([0, 1, 1], [.4, .6, .9], [.6, .4, .9], [.4, .6, .1])
    assert changed.to_dict('list') == dict(label=[0, 1], images=[1, 2], translated=[1., .5], there_and_back=[0., .5])

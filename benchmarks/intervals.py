"""Do intervals hold the truth as often as they say? python benchmarks/intervals.py > intervals.txt

--sets N simulated sets of a kind; --van-dyke FILE: the ratings of Van Dyke's study, write.csv(MRMCaov::VanDyke) in R;
--proc: R's pROC (Debian's r-cran-proc) beside DeLong's variance; --sets 0 leaves the simulation out."""
import subprocess
from argparse import ArgumentParser
from time import perf_counter

import numpy as np, pandas as pd
from scipy.stats import norm

from mammo_uda.core.seeds import stream
from mammo_uda.evaluate.claims import Contrast, over_both, over_patients, over_seeds, percentiles
from mammo_uda.evaluate.patients import Cells, auroc, covariance, drawn, kernel, pairs, redrawn, who_is_tested, wins

SHIFT, SPREAD, TRAININGS = 1.2, .15, 3 # of positives, in deviations; how trainings differ in it; trainings a method
KINDS = [dict(patients=p, alike=a, own=o) for p, a, o in
         [(100, 0., False), (100, .4, False), (100, .8, False), (100, .8, True), (40, .4, False), (300, .4, False)]]


def a_set(rng, patients, alike, own):
    "Labels, patients, scores of two methods that are equally good, and the true auROC of each training"
    patient = np.repeat(np.arange(patients), rng.integers(1, 9, patients))
    label = rng.permutation(np.arange(len(patient) if own else patients) % 3 == 0) # of images of their own, or of patients
    label = label if own else label[patient]
    hard, of_patient = rng.normal(size=len(patient)), rng.normal(size=patients)[patient]
    shifts = rng.normal(SHIFT, SPREAD, 2*TRAININGS)
    def scored(shift):
        noise = .6**.5*hard + .4**.5*rng.normal(size=len(patient))
        return shift*label + alike**.5*of_patient + (1-alike)**.5*noise
    return label, patient, np.stack([scored(o) for o in shifts]), norm.cdf(shifts/2**.5)


def single(label, patient, scores, truth, rng):
    "Intervals of one training and of a difference of two, over patients"
    tested, images = who_is_tested(label, patient), who_is_tested(label, np.arange(len(label)))
    again = redrawn(kernel(tested, scores[0]), pairs(tested), drawn(tested.patients, 2000, int(rng.integers(2**31))))
    yield 'auROC: patient bootstrap', percentiles(again), truth[0]
    way = np.array([1, -1])
    for name, who in (('patients (Obuchowski)', tested), ('every image a patient (DeLong)', images)):
        values, shared = auroc(who, scores), covariance(who, scores)
        yield f'auROC: {name}', over_patients(values[:1], shared[:1,:1]).interval(), truth[0]
        yield f'difference: {name}', over_patients([way @ values], np.atleast_2d(way @ shared @ way)).interval(), way @ truth


def several(label, patient, scores):
    "Intervals of several trainings"
    tested = who_is_tested(label, patient)
    values, shared = auroc(tested, scores), covariance(tested, scores)
    ones = np.eye(TRAININGS, 2*TRAININGS)
    method, other = [Contrast(Cells(None, values, shared, None), np.roll(ones, o, 1)) for o in (0, TRAININGS)]
    mean = norm.cdf(SHIFT/(2 + SPREAD**2)**.5)
    for name, what, truth in (('auROC', method, mean), ('difference', method - other, 0)):
        yield f'{name}: seeds and patients', over_both(what.values, what.covariance).interval(), truth
        yield f'{name}: seeds (Student)', over_seeds(what.values).interval(), truth


def simulate(sets):
    "A row for each kind of set and interval: how often the truth was inside, and how wide"
    for i, kind in enumerate(KINDS):
        found = []
        for n in range(sets):
            rng = stream('simulation', i, n)
            label, patient, scores, truth = a_set(rng, **kind)
            pair = [0, TRAININGS]
            for name, (low, high), true in (*single(label, patient, scores[pair], truth[pair], rng), *several(label, patient, scores)):
                found.append((name, low <= true <= high, high-low))
        table = pd.DataFrame(found, columns=['interval', 'holds', 'width']).groupby('interval', sort=False).mean()
        yield pd.concat({str(kind): table})


def van_dyke(path):
    "F, degrees of freedom and p of the difference of two ways to look, from ratings"
    table = pd.read_csv(path, dtype=str).astype(dict(truth=int, rating=float))
    wide = table.pivot(index='case', columns=['treatment', 'reader'], values='rating').sort_index(axis=1)
    label = table.drop_duplicates('case').set_index('case').truth.loc[wide.index].to_numpy()
    tested, scores = who_is_tested(label, wide.index), wide.to_numpy().T
    values, n, met = auroc(tested, scores), len(wide), pairs(who_is_tested(label, wide.index))
    without = np.stack([redrawn(kernel(tested, o), met, 1-np.eye(n)) for o in scores])
    jackknife = (n-1)/n*(len(without[0])*np.cov(without, ddof=0))
    way = np.hstack([-np.eye(5), np.eye(5)])
    for name, shared in (('jackknife', jackknife), ('DeLong', covariance(tested, scores))):
        found = over_both(way @ values, way @ shared @ way.T)
        print(f'Van Dyke, {name}: F {(found.value/found.error)**2:.6f}, df {found.df:.5f}, p {found.p():.8f}')


PROC = """d <- read.csv(file('stdin')); suppressMessages(library(pROC))
cat(sprintf('%.17g', var(roc(d$label, d$score, quiet=TRUE, direction='<'), method='delong')))"""

def proc():
    "The largest relative difference from pROC's variance, of twenty sets with ties"
    def one(n):
        rng = stream('proc', n)
        label = rng.permutation(np.arange(200) % 3 == 0)
        score = (label + rng.normal(size=200)).round(n % 3)
        theirs = float(subprocess.run(['Rscript', '-e', PROC], input=pd.DataFrame(dict(label=label*1, score=score)).to_csv(), text=True, capture_output=True, check=True).stdout)
        ours = covariance(who_is_tested(label, np.arange(200)), score[None])[0,0]
        return abs(ours/theirs - 1)
    print(f'DeLong beside pROC: largest relative difference {max(map(one, range(20))):.1e}')


def speed():
    "Seconds for 10,000 images of 2,500 patients"
    rng = stream('speed')
    patient, label = np.repeat(np.arange(2500), 4), np.repeat(np.arange(2500) % 2, 4)
    scores = (label + rng.normal(size=(2, 10_000)))
    tested = who_is_tested(label, patient)
    for name, do in {'ranks': lambda: wins(tested, scores[0]), 'covariance of two': lambda: covariance(tested, scores),
                     'kernel': lambda: kernel(tested, scores[0]),
                     'kernel, pairs and 2,000 draws': lambda: redrawn(kernel(tested, scores[0]), pairs(tested), drawn(2500, 2000))}.items():
        start = perf_counter()
        do()
        print(f'{name}: {perf_counter()-start:.3f} s')


parser = ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument('--sets', type=int, default=2000)
parser.add_argument('--van-dyke')
parser.add_argument('--proc', action='store_true')
asked = parser.parse_args()
speed()
if asked.van_dyke: van_dyke(asked.van_dyke)
if asked.proc: proc()
if asked.sets: print(pd.concat(simulate(asked.sets)).round(3).to_string())

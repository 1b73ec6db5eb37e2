"""Do intervals hold the truth as often as they say? python benchmarks/intervals.py > intervals.txt

--sets N simulated sets of a kind; --van-dyke FILE: the ratings of Van Dyke's study, write.csv(MRMCaov::VanDyke) in R;
--proc: R's pROC (Debian's r-cran-proc) beside DeLong's variance; --sets 0 leaves the simulation out."""
import subprocess
from argparse import ArgumentParser
from time import perf_counter

import numpy as np, pandas as pd
from scipy.stats import norm

from mammo_uda.core.seeds import stream
from mammo_uda.evaluate.claims import over_both, over_patients, over_seeds, percentiles
from mammo_uda.evaluate.patients import auroc, covariance, drawn, kernel, pairs, redrawn, who_is_tested, wins

SHIFT, TRAININGS = 1.2, 3 # of positives, in deviations; trainings of a method
KINDS = [dict(patients=p, alike=a, own=o, spread=s) for p, a, o, s in # images of a patient alike; a label of their own; trainings
         [(100, 0., False, .1), (100, .4, False, .1), (100, .8, False, .1), (100, .8, True, .1), (300, .4, False, .1),
          (100, .4, False, .03), (100, .4, False, .3), (40, .4, False, .03), (20, .4, False, .03)]]


def a_set(rng, patients, alike, own, spread):
    "Labels, patients, scores of two methods that are equally good, and the true auROC of each training"
    patient = np.repeat(np.arange(patients), rng.integers(1, 9, patients))
    label = rng.permutation(np.arange(len(patient) if own else patients) % 3 == 0) # of images of their own, or of patients
    label = label if own else label[patient]
    hard, of_patient = rng.normal(size=len(patient)), rng.normal(size=patients)[patient]
    shifts = rng.normal(SHIFT, spread, 2*TRAININGS)
    def scored(shift):
        noise = .6**.5*hard + .4**.5*rng.normal(size=len(patient))
        return shift*label + alike**.5*of_patient + (1-alike)**.5*noise
    return label, patient, np.stack([scored(o) for o in shifts]), norm.cdf(shifts/2**.5)


def single(label, patient, scores, truth, rng):
    "Intervals of one training and of a difference of two, over patients"
    tested, images = who_is_tested(label, patient), who_is_tested(label, np.arange(len(label)))
    again = redrawn(kernel(tested, scores[0]), pairs(tested), drawn(tested.patients, 2000, int(rng.integers(2**31))))
    yield 'auROC: patient bootstrap', percentiles(again), truth[0]
    ways = dict(auROC=np.array([1, 0]), difference=np.array([1, -1]))
    for who, name in ((tested, 'patients (Obuchowski)'), (images, 'every image a patient (DeLong)')):
        values, shared = auroc(who, scores), covariance(who, scores)
        for what, way in ways.items():
            found = over_patients([way @ values], np.atleast_2d(way @ shared @ way), min(who.having))
            yield f'{what}: {name}', found.interval(), way @ truth


def several(label, patient, scores, spread):
    "Intervals of several trainings"
    tested, one = who_is_tested(label, patient), np.eye(TRAININGS)
    values, shared = auroc(tested, scores), covariance(tested, scores)
    mean = norm.cdf(SHIFT/(2 + spread**2)**.5)
    for what, way, truth in (('auROC', np.hstack([one, 0*one]), mean), ('difference', np.hstack([one, -one]), 0)):
        yield f'{what}: seeds and patients', over_both(way @ values, way @ shared @ way.T, min(tested.having)).interval(), truth
        yield f'{what}: seeds (Student)', over_seeds(way @ values).interval(), truth


def simulate(sets):
    "A row for each kind of set and interval: how often the truth was inside, and how wide"
    for i, kind in enumerate(KINDS):
        found = []
        for n in range(sets):
            rng = stream('simulation', i, n)
            label, patient, scores, truth = a_set(rng, **kind)
            if min(who_is_tested(label, patient).having) < 2: continue # no interval
            pair = [0, TRAININGS]
            for name, (low, high), true in (*single(label, patient, scores[pair], truth[pair], rng), *several(label, patient, scores, kind['spread'])):
                found.append((name, low <= true <= high, high-low))
        table = pd.DataFrame(found, columns=['interval', 'holds', 'width']).groupby('interval', sort=False).mean()
        yield pd.concat({str(kind): table})


def van_dyke(path):
    "F, degrees of freedom and p of the difference of two ways to look, from ratings"
    table = pd.read_csv(path, dtype=str).astype(dict(truth=int, rating=float))
    wide = table.pivot(index='case', columns=['treatment', 'reader'], values='rating').sort_index(axis=1)
    label = table.drop_duplicates('case').set_index('case').truth.loc[wide.index].to_numpy()
    tested, scores = who_is_tested(label, wide.index), wide.to_numpy().T
    values, n, met = auroc(tested, scores), len(wide), pairs(tested)
    without = np.stack([redrawn(kernel(tested, o), met, 1-np.eye(n)) for o in scores])
    jackknife = (n-1)/n*(len(without[0])*np.cov(without, ddof=0))
    way = np.hstack([-np.eye(5), np.eye(5)])
    for name, shared in (('jackknife', jackknife), ('DeLong', covariance(tested, scores))):
        found = over_both(way @ values, way @ shared @ way.T)
        if name == 'jackknife': assert abs((found.value/found.error)**2 - 4.456319) < 1e-6 # as published
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

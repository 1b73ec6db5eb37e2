"""Does the phantom look like mammograms? MAMMO_UDA_DATA=... python benchmarks/phantom_looks.py > looks.txt

The real sets are pictures that were squashed to squares. Each is stretched back to a usual shape of its sheet first (`SHEETS`),
then standardised as any image; the phantom is standardised as it is. --each N images of each real machine, --patients N."""
import os, sys, warnings
from argparse import ArgumentParser
from pathlib import Path

import numpy as np, pandas as pd
from scipy.ndimage import binary_erosion, distance_transform_cdt
from scipy.stats import wasserstein_distance
from skimage.filters import threshold_otsu
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mammo_uda.data.image import read_noted
from mammo_uda.data.phantom import DOMAINS, VIEWS, acquire, sheet_height
from mammo_uda.data.machines import machine_of
from mammo_uda.data.standardise import NoBreast, resize, standardise

SIZES = 64, 128, 192
SETS = dict(film='film_ddsm', digital='ffdm_rsna')
SHEETS = dict(film=.65, digital=.8) # width by height: DDSM's scans are cropped films of 0.6 to 0.7; detectors have 0.75 to 0.9
BANDS = dict(low=(None, .16), high=(.16, .45)) # cycles a pixel; the lowest is two periods in the square


# ---- what is measured of one image

def inner_square(image):
    "The largest square within the breast"
    depth = distance_transform_cdt(np.pad(image > 0, 1), metric='chessboard')
    row, column = np.unravel_index(depth.argmax(), depth.shape)
    reach = depth.max()-1
    return image[row-1-reach:row+reach, column-1-reach:column+reach]


def spectrum(square):
    "Frequencies in cycles a pixel and the power at each, without the plane through the greys"
    n = min(square.shape)
    at = np.linspace(-1, 1, n)
    plane = np.stack([np.ones((n, n)), *np.meshgrid(at, at)], -1).reshape(-1, 3)
    flat = square[:n,:n].ravel()
    flat = (flat - plane @ np.linalg.lstsq(plane, flat, rcond=None)[0]).reshape(n, n)
    power = np.abs(np.fft.fft2(flat*np.hanning(n)[:,None]*np.hanning(n)))**2
    ring = np.round(n*np.hypot(np.fft.fftfreq(n)[:,None], np.fft.fftfreq(n))).astype(int)
    return np.arange(ring.max()+1)/n, np.bincount(ring.ravel(), power.ravel())/np.bincount(ring.ravel())


def exponents(image):
    "How steeply the power falls, at low and at high frequencies"
    square = inner_square(image)
    f, power = spectrum(square)
    inside = {name: (f >= (low or 2/min(square.shape))) & (f < high) for name, (low, high) in BANDS.items()}
    return {name: -np.polyfit(np.log(f[o]), np.log(power[o]+1e-12), 1)[0] for name, o in inside.items()}


def measures(image):
    "All of one image"
    breast = image > 0
    inner = binary_erosion(breast, iterations=max(2, len(image)//16))
    rows, columns = [np.flatnonzero(breast.any(axis)) for axis in (1, 0)]
    return exponents(image) | dict(
        mean=image[breast].mean(), within=image[breast].std(), dense=(image[inner] > threshold_otsu(image[inner])).mean(),
        area=breast.mean(), aspect=np.ptp(columns)/np.ptp(rows), fine=np.median(np.abs(np.diff(image, axis=0))[inner[1:]]))


# ---- images: {size: [N, size, size]} and a table with `machine`, `patient` and `view`

def real_image(folder, row, domain):
    image, _ = read_noted(folder/row.file, getattr(row, 'photometric', None))
    return resize(image, (len(image), round(SHEETS[domain]*len(image))))


def real(domain, each):
    "Images of each machine of a real set"
    folder = Path(os.environ['MAMMO_UDA_DATA'])/SETS[domain]
    table = pd.read_csv(folder/'index.csv')
    if 'implant' in table: table = table[(table.implant == 0) & table.view.isin(VIEWS)]
    table = table.sample(frac=1, random_state=0)
    table = table[table.groupby('scanner').cumcount() < each]
    images, kept = {size: [] for size in SIZES}, []
    for i, row in enumerate(table.itertuples()):
        image = real_image(folder, row, domain)
        try: ready = {size: standardise(image, size) for size in SIZES}
        except NoBreast: continue
        for size in SIZES: images[size].append(ready[size])
        kept.append(i)
    table = table.iloc[kept].assign(machine=lambda o: o.scanner.astype(str))
    return {k: np.stack(v) for k, v in images.items()}, table[['machine', 'patient', 'view']].reset_index(drop=True)


def phantoms(domain, patients):
    "One breast of each patient"
    who = [(p + 1_000_000*DOMAINS.index(domain), 'LR'[p % 2], view) for p in range(1, patients+1) for view in VIEWS]
    table = pd.DataFrame([(machine_of(p, domain).name, p, view) for p, _, view in who], columns=['machine', 'patient', 'view'])
    return {s: np.stack([standardise(acquire(*o, domain, sheet_height(s))[1], s) for o in who]) for s in SIZES}, table


# ---- beside each other

def beside(ours, theirs):
    "Medians of the phantom by the quartiles of the real set, the phantom's machines and the real ones"
    numbers = list(BANDS)+['mean', 'within', 'dense', 'area', 'aspect', 'fine']
    low, middle, high = [theirs[numbers].quantile(q) for q in (.25, .5, .75)]
    found = pd.DataFrame({'real 25%': low, 'real': middle, 'real 75%': high, 'phantom': ours[numbers].median()})
    found['inside'] = np.where(found.phantom.between(low, high), 'yes', 'NO')
    machines = [o.groupby('machine')[numbers].median() for o in (theirs, ours)]
    found['real machines'], found['phantom machines'] = [
        [f'{m[n].min():.3f} to {m[n].max():.3f}' for n in numbers] for m in machines]
    between = [o['mean'].std() for o in (theirs, ours)]
    found = found.astype(object)
    found.loc['mean, between images'] = ['', between[0], '', between[1], '', '', '']
    return found


def greys(images): return np.concatenate([o[o > 0][::7] for o in images])


def histogram_distances(ours, theirs, machines):
    "Earth mover's distance of greys: phantom to real, and each real machine to the others"
    others = [wasserstein_distance(greys(theirs[machines == m]), greys(theirs[machines != m])) for m in machines.unique()]
    return wasserstein_distance(greys(ours), greys(theirs)), min(others), max(others)


def told_apart(x, is_real, patient, model):
    "auROC of phantom against real, by patients"
    folds = GroupKFold(5, shuffle=True, random_state=0)
    return roc_auc_score(is_real, cross_val_predict(model, x, is_real, groups=patient, cv=folds, method='predict_proba')[:,1])


def told_by(ours, theirs, table_ours, table_theirs, images):
    "What tells a phantom from a real image: auROC by the measures and by thumbnails, and the strongest measures"
    x = pd.concat([ours, theirs])[list(BANDS)+['mean', 'within', 'dense', 'area', 'aspect', 'fine']]
    is_real = np.repeat([0, 1], [len(ours), len(theirs)])
    patient = [f'{kind} {p}' for kind, t in (('phantom', table_ours), ('real', table_theirs)) for p in t.patient]
    small = np.concatenate([[resize(o, (16, 16)).ravel() for o in some] for some in images])
    trees = HistGradientBoostingClassifier(max_iter=60, random_state=0)
    line = make_pipeline(StandardScaler(), LogisticRegression(C=.01, max_iter=1000))
    auroc = told_apart(x, is_real, patient, trees), told_apart(small, is_real, patient, line)
    seen = permutation_importance(trees.fit(x, is_real), x, is_real, scoring='roc_auc', n_repeats=3, random_state=0)
    return *auroc, ', '.join(x.columns[np.argsort(-seen.importances_mean)[:3]])


if __name__ == '__main__':
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--each', type=int, default=60)
    parser.add_argument('--patients', type=int, default=120)
    asked = parser.parse_args()
    if 'MAMMO_UDA_DATA' not in os.environ: sys.exit('Set MAMMO_UDA_DATA to the folder of the real sets.')
    warnings.simplefilter('ignore', RuntimeWarning)
    for domain in DOMAINS:
        (theirs, table_theirs), (ours, table_ours) = real(domain, asked.each), phantoms(domain, asked.patients)
        for size in SIZES:
            numbers = [pd.DataFrame([measures(o) for o in images[size]]).assign(machine=table.machine)
                       for images, table in ((ours, table_ours), (theirs, table_theirs))]
            found = beside(*numbers)
            print(f'\n### {domain}, {size} px: {len(ours[size])} phantoms, {len(theirs[size])} real\n')
            print(found.map(lambda o: f'{o:.3f}' if isinstance(o, float) else o).to_markdown(disable_numparse=True))
            distance, nearest, furthest = histogram_distances(ours[size], theirs[size], table_theirs.machine)
            print(f'\nHistogram distance {distance:.3f}; of a real machine to the others {nearest:.3f} to {furthest:.3f}.')
            by_measures, by_thumbnails, what = told_by(*numbers, table_ours, table_theirs, (ours[size], theirs[size]))
            print(f'Phantom against real, auROC: {by_measures:.2f} by the measures (most by {what}), {by_thumbnails:.2f} by thumbnails.')

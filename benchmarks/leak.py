"""What tells a phantom's label where it has no lesion: python benchmarks/leak.py > leak.txt

--numbers-alone draws the phantom with streams as they were until November 2026; --patients N, --epochs N."""
import sys
from argparse import ArgumentParser
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import numpy as np, pandas as pd

from mammo_uda.core import seeds
from mammo_uda.data.leak import corrected, view_leaks
from mammo_uda.data.phantom import DOMAINS, SIDES, VIEWS

sys.path.append(str(Path(__file__).parent.parent/'tests'))
from leak_network import labelled_store, network_leaks

SIZE, COLUMNS = 32, ['view', 'what', 'auroc', 'error']


def numbers_alone(purpose, *numbers): return np.random.default_rng(numbers)


def networks(patients, epochs, positive):
    "Every domain's network: trained and tested without lesions, or with them"
    with TemporaryDirectory() as tmp:
        stores = [labelled_store(Path(tmp), domain, patients, SIZE, positive) for domain in DOMAINS]
        return [row for store in stores for row in network_leaks(store, epochs)]


parser = ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument('--numbers-alone', action='store_true')
parser.add_argument('--patients', type=int, default=2000)
parser.add_argument('--epochs', type=int, default=5)
asked = parser.parse_args()

with patch('mammo_uda.data.anatomy.stream', numbers_alone if asked.numbers_alone else seeds.stream):
    views, numbers = [(side, view) for side in SIDES for view in VIEWS], range(1, asked.patients+1)
    found = [(' '.join(which), *o) for which in views for o in view_leaks(numbers, *which, SIZE)]
    found = corrected(pd.DataFrame(found + networks(asked.patients, asked.epochs, 0), columns=COLUMNS))
    able = pd.DataFrame(networks(300, asked.epochs, .8), columns=COLUMNS)
leaks = (found.low > .5) | (found.high < .5)
print(f'{asked.patients} patients, {len(found)} tests, of which exclude 0.5: {leaks.sum()}')
print(found.head(10).round(3).to_string(index=False))
print('The network on 300 patients with their lesions, auROC:', able.auroc.round(2).to_list())
print(found[found.what.str.endswith('network')].round(3).to_string(index=False))

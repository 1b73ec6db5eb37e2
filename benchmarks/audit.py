"What the translators of a run do to phantoms whose right translation is known: python benchmarks/audit.py RUN"
import sys
from pathlib import Path

import pandas as pd

from mammo_uda.experiment.report import read_manifest
from mammo_uda.translate.audit import Audit
from mammo_uda.translate.translator import load_translator

PATIENTS, SEED = 40, 200 # no run is made with this data seed

run = Path(sys.argv[1])
rows = []
for t in read_manifest(run)['translations']:
    audit = Audit(load_translator(run/t['translator'], 'cpu'), PATIENTS, seed=SEED)
    for name, marks in audit.summary.iterrows():
        ours = name == 'translated'
        rows.append(dict(way=f"{t['domain']} to {t['to']}", what=t['recipe'] if ours else name, seed=t['seed'] if ours else '', **marks))
print(pd.DataFrame(rows).drop_duplicates().sort_values(['way', 'what', 'seed'], key=lambda c: c.astype(str), kind='stable').round(3).to_string(index=False))

"What the translators of a run do to phantoms whose right translation is known: python benchmarks/audit.py RUN"
import sys
from pathlib import Path

import pandas as pd

from mammo_uda.translate.audit import Audit
from mammo_uda.translate.translator import load_translator

PATIENTS, SEED = 40, 200 # no run is made with this data seed

rows = []
for folder in sorted(Path(sys.argv[1]).glob('steps/gan-*/*-*/')):
    audit = Audit(load_translator(folder, 'cpu'), PATIENTS, seed=SEED)
    for name, marks in audit.summary.iterrows():
        rows.append(dict(way=folder.name, gan=folder.parent.name.split('-')[1] if name == 'translated' else '', what=name, **marks))
print(pd.DataFrame(rows).drop_duplicates().sort_values(['way', 'what', 'gan'], kind='stable').round(3).to_string(index=False))

"What each recipe wins back of the auROC that is lost abroad, and what it costs at home, by run: python benchmarks/won_back.py RUN..."
import sys
from pathlib import Path

import pandas as pd

from mammo_uda.experiment.report import run_table

def marks(run):
    for recipe, found in run_table(run).summary()['methods'].items():
        home = [row['change'] for row in found['home_change']]
        yield dict(run=Path(run).name, recipe=recipe, won_back=found['share_won_back'], paired_difference=found['paired_difference']['mean'], home_mean=sum(home)/len(home), home_worst=min(home))

table = pd.DataFrame([row for run in sys.argv[1:] for row in marks(run)])
print(table.round(3).to_string(index=False))
print(table.drop(columns='run').groupby('recipe').mean().sort_values('won_back').round(3).to_string())

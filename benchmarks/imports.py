"How long imports take, beside fastai's own: python benchmarks/imports.py"
import subprocess, sys
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from time import perf_counter

import pandas as pd

ROUNDS = 5
PYTHON = [sys.executable, '-W', 'ignore']
COMMANDS = {
    'fastai.vision.all': [*PYTHON, '-c', 'from fastai.vision.all import *'],
    'mammo_uda.all': [*PYTHON, '-c', 'from mammo_uda.all import *'],
    'mammo_uda': [*PYTHON, '-c', 'import mammo_uda'],
    'mammo_uda --help': [Path(sys.executable).with_name('mammo_uda'), '--help'],
    'python alone': [*PYTHON, '-c', 'pass']}

def seconds(command):
    "On the clock, and of the processor"
    def used(): return sum(getrusage(RUSAGE_CHILDREN)[:2])
    start, before = perf_counter(), used()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return perf_counter()-start, used()-before

def one_round(): return pd.DataFrame({name: seconds(command) for name, command in COMMANDS.items()}, index=['seconds', 'processor seconds'])

# in turn, so that what else the machine does weighs on all alike; the first round fills the caches
best = pd.concat([one_round() for _ in range(ROUNDS+1)][1:]).groupby(level=0, sort=False).min().T
best['beside fastai'] = best['processor seconds']/best.loc['fastai.vision.all', 'processor seconds']
print(best.round(2).to_string())

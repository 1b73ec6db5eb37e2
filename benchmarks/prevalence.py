"""Do lesions appear or vanish where one domain has more of them? python benchmarks/prevalence.py FOLDER [RECIPE ...]

Film and digital phantoms with as many patients with a lesion in both, or fewer in one; Cycle-GANs at the default's size; the audit's marks."""
import sys
from pathlib import Path

import pandas as pd

from mammo_uda.core.files import whole_folder
from mammo_uda.data.phantom import DOMAINS, phantom_store
from mammo_uda.core.values import as_json
from mammo_uda.experiment.settings import PRESETS
from mammo_uda.experiment.tasks import train_gan
from mammo_uda.translate.recipes import find_recipe
from mammo_uda.translate.audit import Audit
from mammo_uda.translate.translator import load_translator

SHARES, DATA_SEED, AUDIT_SEED, SEEDS = [(.45, .45), (.3, .6), (.6, .3)], 7, 200, 2

def store(folder, domain, share):
    path = folder/f'{domain}-{share:.0%}'
    if not path.exists(): phantom_store(path, domain, PRESETS['default']['patients'], PRESETS['default']['size'], DATA_SEED, share)
    return path

def trained(folder, shares, recipe, seed):
    path = folder/f'{recipe}-{shares[0]:.0%}-{shares[1]:.0%}-{seed}'
    if not path.exists():
        with whole_folder(path) as tmp:
            train_gan(tmp, lambda done, total: None, *[store(folder, d, s) for d, s in zip(DOMAINS, shares)], domains=list(DOMAINS), recipe=as_json(find_recipe(recipe)), seed=seed, **PRESETS['default']['gan'])
    return path

def marks(folder, recipe, shares, seed):
    for a, b in (DOMAINS, DOMAINS[::-1]):
        audit = Audit(load_translator(trained(folder, shares, recipe, seed)/f'{a}-{b}'), patients=40, seed=AUDIT_SEED)
        yield dict(recipe=recipe, way=f'{a} to {b}', film=f'{shares[0]:.0%}', digital=f'{shares[1]:.0%}', **audit.summary.loc['translated'])

folder, recipes = Path(sys.argv[1]), sys.argv[2:] or ['uda-plain', 'uda-matched', 'uda-acquisition']
table = pd.DataFrame([row for recipe in recipes for shares in SHARES for seed in range(SEEDS) for row in marks(folder, recipe, shares, seed)])
print(table.groupby(['recipe', 'way', 'film', 'digital'], sort=False).mean().round(3).to_string())

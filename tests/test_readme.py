"The example of the README runs as it is written"
import os, re, subprocess, sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mammo_uda.data.phantom import acquire

root = Path(__file__).parent.parent
example, = re.findall(r'^```python\n(.*?)^```', (root/'README.md').read_text(), re.M | re.S)

def own_images(folder, domain, patients=20):
    "What a user has: PNG files of 16 bits and a list of them"
    folder.mkdir()
    rows = []
    for patient in range(patients):
        image = acquire(patient, 'L', 'CC', domain, 96)[1]
        Image.fromarray(np.rint(image.clip(0, 1)*65535).astype('uint16')).save(folder/f'{patient}.png')
        rows.append(dict(path=f'{patient}.png', patient=patient, label=patient % 2))
    pd.DataFrame(rows).to_csv(folder/'index.csv', index=False)

def test_ten_lines():
    lines = [line for line in example.splitlines() if line and not re.match('from|import', line)]
    assert len(lines) <= 10

def test_from_two_folders_of_images_to_an_auroc(tmp_path):
    for domain in ('film', 'digital'): own_images(tmp_path/domain, domain)
    (tmp_path/'example.py').write_text(example)
    ran = subprocess.run([sys.executable, 'example.py'], cwd=tmp_path, env=os.environ | dict(MPLBACKEND='agg'), capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert 0 <= float(ran.stdout.splitlines()[-1]) <= 1
    assert len(pd.read_parquet(tmp_path/'stores'/'translated'/'index.parquet')) == 20

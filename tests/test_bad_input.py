"Bad input through the command line: one sentence and nothing lost, or single images left out and the reason written down"
import json
from pathlib import Path

import numpy as np, pandas as pd, pytest
from PIL import Image
from typer.testing import CliRunner

from mammo_uda.cli import app
from mammo_uda.experiment.settings import choose_settings

def table1(*args): return CliRunner().invoke(app, ['table1', '--tiny', *map(str, args)])

def columns(files, first_patient=0):
    "Columns of a good list: a patient each, both labels in both splits"
    n = len(files)
    return dict(path=files, patient=[f'P{first_patient + i}' for i in range(n)], label=[i%2 for i in range(n)], split=['test' if i%6 > 3 else 'train' for i in range(n)])

def write_list(folder, files, **changed):
    "Write index.csv; a changed column that is None is left out"
    rows = {k: v for k,v in (columns(files) | changed).items() if v is not None}
    folder.mkdir(exist_ok=True)
    pd.DataFrame(rows).to_csv(folder/'index.csv', index=False)
    return folder/'index.csv'

def content(folder): return {o.relative_to(folder): o.read_bytes() for o in folder.rglob('*') if o.is_file() and o.name != '.lock'}

def check_refused(result, *words):
    "A code that is not 0, and one sentence that says these words"
    assert result.exit_code == 2 and isinstance(result.exception, SystemExit)
    assert result.stderr.count('\n') == 1 and result.stderr.endswith('.\n')
    for word in words: assert word in result.stderr

# --- refused before any work is done

FILES = [f'{i}.png' for i in range(12)]

@pytest.fixture
def there(tmp_path, monkeypatch):
    "Good lists of both domains, and a run begun with other settings"
    monkeypatch.chdir(tmp_path)
    for domain in ('film','digital'): write_list(Path(domain), [f'{domain}-{o}' for o in FILES])
    Path('begun/steps/gan-uda-0-abc').mkdir(parents=True)
    Path('begun/steps/gan-uda-0-abc/losses.csv').write_text('1,2')
    Path('begun/settings.json').write_text(json.dumps(choose_settings('tiny', data_seed=7)))
    Path('a_file').write_text('mine')
    Path('empty').mkdir()
    return tmp_path

OWN = ['--film', 'film/index.csv', '--digital', 'digital/index.csv']

@pytest.mark.parametrize('args, words', [
    (['--film', 'no.csv', *OWN[2:]],                 ['no.csv does not exist']),
    ([*OWN[:2], '--digital', 'empty'],               ['empty holds no files', 'the folder with the DICOM files']),
    (OWN[:2],                                        ['--film', '--digital']),
    ([*OWN[:2], '--digital', 'film/index.csv'],      ['film and digital hold the same images', 'film/index.csv']),
    (['--size', '7'],                                ['--size is 7']),
    (['--seeds', '0'],                               ['--seeds is 0']),
    (['--workers', '-1'],                            ['--workers is -1']),
    (['--data-seed', '-1'],                          ['--data-seed is -1']),
    (['--weights', 'a_file', '--arch', 'alexnet_bn,resnet50'], ['--weights FILE holds the weights of one network', '--arch']),
    (['--arch', 'vgg16'],                            ['--arch vgg16', 'alexnet_bn, resnet50']),
    (['--device', 'abacus'],                         ['--device abacus']),
    (['--weights', 'no.pth'],                        ['no.pth']),
    (['--out', 'begun', '--data-seed', '8'],         ['--out begun', 'data_seed 7']),
    ([*OWN, '--out', 'begun', '--data-seed', '7'],   ['--out begun', 'holds a run of other images']),
    (['--out', 'a_file'],                            ['--out a_file']),
    (['--out', 'a_file/run'],                        ['--out a_file/run']),
])
def test_bad_option(there, args, words):
    before = content(there)
    check_refused(table1(*([] if '--out' in args else ['--out', 'begun']), *args), *words)
    assert content(there) == before

@pytest.mark.parametrize('changed, words', [
    (dict(label=None),                           ['has no labels', 'its column label']),
    (dict(image_id=['a', *'bcdefghijk', 'a']),   ['row 13', "'a' was used before"]),
    (dict(label=[0]*6 + ['malignant'] + [1]*5),  ['row 8', "'malignant'", '0 or 1']),
    (dict(patient=['P0', *range(10), 'P0']),     ['row 2', 'in two splits']),
    (dict(label=[0]*12),                         ['one class only']),
    (dict(label=[1]*4 + [0]*8),                  ['4 patients of label 1', 'at least 5']),
])
def test_bad_list(there, changed, words):
    write_list(there/'film', FILES, **changed)
    before = content(there)
    check_refused(table1(*OWN, '--out', 'begun'), 'film/index.csv', *words)
    assert content(there) == before

# --- single images

BAD = {'missing.png':   'No such file',
       'truncated.png': 'truncated',
       'text.png':      'not a DICOM, PNG, TIFF, PGM or JPEG file',
       'black.png':     'all black',
       'text.dcm':      'not a DICOM, PNG, TIFF, PGM or JPEG file'}

def make_images(folder):
    "Noisy half discs"
    folder.mkdir()
    y, x = np.mgrid[:64,:64]
    for i,file in enumerate(FILES):
        disc = (1.2 - np.hypot(y-32, x)/(16+i)).clip(0, 1)
        noisy = disc*np.random.default_rng(i).uniform(.8, 1, (64,64))
        Image.fromarray((noisy*65535).astype('uint16')).save(folder/file)

def spoil(folder):
    "The images of `BAD`"
    (folder/'truncated.png').write_bytes((folder/'0.png').read_bytes()[:300])
    for file in ('text.png','text.dcm'): (folder/file).write_text('Dear reader, this is no image.')
    Image.fromarray(np.zeros((64,64), 'uint8')).save(folder/'black.png')

@pytest.fixture
def own(tmp_path, monkeypatch):
    "The user's own images of both domains, all good"
    monkeypatch.chdir(tmp_path)
    for domain in ('film','digital'):
        make_images(Path(domain))
        write_list(Path(domain), FILES, scanner=[domain]*len(FILES))
    return tmp_path

def test_single_bad_images_are_left_out_with_a_reason(own):
    spoil(own/'film')
    good, bad = columns(FILES), columns(list(BAD), first_patient=len(FILES)) | dict(split=['train']*len(BAD))
    pd.DataFrame({k: [*good[k], *bad[k]] for k in good}).to_csv('film/index.csv', index=False)
    result = table1(*OWN, '--out', 'run')
    assert result.exit_code == 0, result.stderr
    rejected = pd.read_csv('run/rejected.csv')
    assert rejected['domain'].tolist() == ['film']*len(BAD)
    assert rejected['row'].tolist() == [14, 15, 16, 17, 18]
    for found, expected in zip(rejected['reason'], BAD.values()): assert expected in found
    said = ' '.join(result.stdout.split())
    assert '5 of 17 images could not be used; see rejected.csv' in said and 'row 14, No such file' in said
    assert str(own) not in said + rejected.to_csv()
    assert Path('run/index.html').exists()

def test_every_image_unreadable(own):
    for file in FILES: (own/'digital'/file).write_text('no image')
    result = table1(*OWN, '--out', 'run', '--workers', '1')
    check_refused(result, 'None of the 12 images', 'digital/index.csv', 'row 2')
    assert list(Path('run/steps').glob('prepare-film-*/store.json'))

"A classifier for a target without labels: what it may know, what it leaves, what it says"
import json, shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from codings import film, save_coded
from mammo_uda.cli import app
from mammo_uda.classify.ensemble import predict_csv, read_ensemble
from mammo_uda.core.files import UserError
from mammo_uda.data.phantom import phantom_store
from mammo_uda.data.store import write_store
from mammo_uda.experiment import adapt as module
from mammo_uda.experiment.adapt import adapt
from mammo_uda.experiment.adapted import Adapted

pytestmark = pytest.mark.usefixtures('small_network')

@pytest.fixture(scope='module')
def stores(tmp_path_factory):
    "Film with labels; digital with, without, and with turned labels"
    tmp = tmp_path_factory.mktemp('adapt')
    labelled, digital = [phantom_store(tmp/d, d, patients=16, size=32, positive=.5) for d in ('film', 'digital')]
    for name, label in dict(none=None, turned=1 - digital.index.label).items():
        write_store(tmp/name, digital[:], digital.index.assign(label=label), 32, key='the-same-images')
    return tmp

TINY = dict(preset='tiny', arch='small', device='cpu')

@pytest.fixture(scope='module')
def model(stores): return adapt(f'film={stores}/film', f'hospital={stores}/none', stores/'model', seeds=2, **TINY)

def test_a_small_folder_with_everything_and_no_pixels(model, stores):
    there = {str(o.relative_to(model.folder)) for o in model.folder.rglob('*') if o.is_file()}
    assert {'adapted.json', 'ensemble.json', 'scores.csv', 'index.html', 'pictures/examples.png', 'pictures/audit.png',
            'classifier-0/classifier.safetensors', 'classifier-1/classifier.json', 'translator-0/translator.safetensors'} <= there
    assert not [o for o in there if o.endswith(('.npy', '.pt', '.parquet', '.tmp'))]
    for name in ('adapted.json', 'index.html', 'scores.csv'): assert str(stores) not in (model.folder/name).read_text()

def test_its_page_stands_alone_and_never_says_how_good_it_is_there(model):
    page = (model.folder/'index.html').read_text()
    assert 'cannot be known without labels there' in page and 'not a medical device' in page and '://' not in page
    assert 'trained on the source alone' in page and page.count('<img') >= 2

def test_scores_are_those_of_the_ensemble_and_predict_agrees(model, stores, tmp_path, monkeypatch):
    assert len(model.scores) == 64 and model.scores.prob.between(0, 1).all()
    logit = np.log(model.scores.prob/(1 - model.scores.prob))
    np.testing.assert_array_equal(model.scores.above, logit > model.about['threshold'])
    folders, threshold = read_ensemble(model.folder)
    assert [o.name for o in folders] == ['classifier-0', 'classifier-1'] and threshold == model.about['threshold']

def test_labels_of_the_target_change_nothing(stores):
    a, b = [adapt(f'film={stores}/film', f'hospital={stores}/{name}', stores/f'm-{name}', **TINY) for name in ('none', 'turned')]
    pd.testing.assert_frame_equal(a.scores, b.scores)
    assert a.about['auroc'] == b.about['auroc'] and a.about['threshold'] == b.about['threshold']

def test_the_same_call_finds_it_done_and_another_is_refused(model, stores, monkeypatch):
    monkeypatch.setattr(module, 'make_missing', None)
    again = adapt(f'film={stores}/film', f'hospital={stores}/none', model.folder, seeds=2, **TINY)
    assert again.about == model.about
    with pytest.raises(UserError, match='was made otherwise: give another folder, or remove it'):
        adapt(f'film={stores}/film', f'hospital={stores}/none', model.folder, seeds=1, **TINY)

def test_more_seeds_extend_its_work(model, stores, tmp_path):
    work = shutil.copytree(stores/'model.work', tmp_path/'more.work')
    before = {o.name for o in (work/'steps').iterdir()}
    more = adapt(f'film={stores}/film', f'hospital={stores}/none', tmp_path/'more', seeds=3, **TINY)
    assert more.about['seeds'] == 3 and before <= {o.name for o in (work/'steps').iterdir()}

@pytest.mark.parametrize('method, translators', [('adabn', 0), ('histmatch', 1)])
def test_other_methods(stores, tmp_path, method, translators):
    found = adapt(f'{stores}/film', f'{stores}/none', tmp_path/'model', method=method, **TINY)
    assert len([*found.folder.glob('translator-*')]) == translators and found.about['source'] == 'source'
    assert ('after' in found.about['apart']) == bool(translators)

def test_a_method_that_is_told_labels_is_refused(stores, tmp_path):
    with pytest.raises(UserError, match='--method oracle is told labels of target'):
        adapt(f'{stores}/film', f'{stores}/none', tmp_path/'model', method='oracle', **TINY)

def test_a_source_without_labels_is_refused(stores, tmp_path):
    with pytest.raises(UserError, match='has no labels, which are needed here'):
        adapt(f'{stores}/none', f'{stores}/film', tmp_path/'model', **TINY)

def test_a_folder_of_dicom_is_a_target(stores, tmp_path):
    (tmp_path/'pacs').mkdir()
    for i in range(8): save_coded(tmp_path/'pacs', 'explicit', film(64, seed=i), PatientID=f'CANARY{i}').rename(tmp_path/'pacs'/f'{i}.dcm')
    found = adapt(f'{stores}/film', tmp_path/'pacs', tmp_path/'model', **TINY)
    assert len(found.scores) == 8 and not [o for o in found.folder.rglob('*.*') if o.is_file() and b'CANARY' in o.read_bytes()]
    new = predict_csv(found.folder, tmp_path/'pacs', tmp_path/'new.csv', 'cpu')
    np.testing.assert_allclose(new.sort_values('row').prob, found.scores.sort_values('row').prob, atol=1e-3)
    assert new.above.dtype == bool or set(new.above) <= {True, False}

def test_command(stores, tmp_path):
    args = ['adapt', '--source', f'film={stores}/film', '--target', f'{stores}/none', '--out', str(tmp_path/'model'),
            '--preset', 'tiny', '--arch', 'small', '--device', 'cpu']
    said = CliRunner().invoke(app, args)
    assert said.exit_code == 0, said.output
    assert 'cannot be known without labels there' in said.stdout and (tmp_path/'model'/'index.html').exists()

@pytest.mark.parametrize('spoil, words', [
    (lambda o: o.update(threshold='high'), 'threshold is'), (lambda o: o.update(method='../x'), 'method is'),
    (lambda o: o.update(auroc={'../x': 1}), 'auroc is'), (lambda o: o.pop('key'), 'key is missing')])
def test_a_folder_from_somebody_else_is_checked(model, tmp_path, spoil, words):
    copy = shutil.copytree(model.folder, tmp_path/'model')
    about = json.loads((copy/'adapted.json').read_text())
    spoil(about)
    (copy/'adapted.json').write_text(json.dumps(about))
    with pytest.raises(UserError, match=words): Adapted(copy)

def test_an_ensemble_leads_nowhere_else(model, tmp_path):
    copy = shutil.copytree(model.folder, tmp_path/'model')
    (copy/'ensemble.json').write_text(json.dumps(dict(classifiers=['../other'], threshold=0.)))
    with pytest.raises(UserError, match='is damaged'): read_ensemble(copy)

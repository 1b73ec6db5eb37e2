"The audit of a run takes what is in its folder and names nobody"
import json, shutil

import numpy as np, pandas as pd, pytest
from typer.testing import CliRunner

from mammo_uda.cli import app
from mammo_uda.data.store import PixelStore
from mammo_uda.experiment import audit as module
from mammo_uda.experiment.audit import answers_table, audit_run, audit_translation, independent_classifier
from mammo_uda.experiment.report import read_manifest
from mammo_uda.experiment.table1 import run_table1

@pytest.fixture(scope='module', autouse=True)
def few_patients():
    module.PATIENTS, usual = 2, module.PATIENTS
    yield
    module.PATIENTS = usual

@pytest.fixture(scope='module')
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp('audited')/'run'
    run_table1(preset='tiny', out=path)
    return path

def test_command(run):
    said = CliRunner().invoke(app, ['audit', str(run)])
    assert said.exit_code == 0, said.output
    answers, known = [pd.read_csv(run/'audit'/f'{name}.csv') for name in ('answers','known')]
    assert len(answers) == 4 and answers[['translated','there_and_back']].stack().between(0, 1).all()
    assert set(known.recipe) == {'uda-acquisition', 'as it is', 'acquired again'} and len(known) == 6
    page = (run/'audit.html').read_text()
    for name in ('uda-acquisition-film-digital', 'uda-acquisition-digital-film'): assert f'src="audit/{name}.png"' in page and (run/'audit'/f'{name}.png').exists()
    assert not any(i in page for d in ('film','digital') for i in PixelStore(run/read_manifest(run)['stores'][d]).index.patient)

def test_only_test_images_are_audited(run):
    manifest = read_manifest(run)
    found = audit_translation(run, manifest, manifest['translations'][0], most=5)
    store = PixelStore(run/manifest['stores'][manifest['translations'][0]['domain']])
    tests = store[store.where(split='test')]
    assert 2 < len(found.table) <= 5 and all(any(np.array_equal(image, o) for o in tests) for image in found.images[0])

def classifiers(folder, *whos):
    for i, (method, domain, seed) in enumerate(whos):
        (folder/str(i)).mkdir()
        about = dict(arch='resnet50', method=method, train_domain=domain, seed=seed)
        (folder/str(i)/'classifier.json').write_text(json.dumps(about))
    return dict(classifiers=[str(i) for i in range(len(whos))])

@pytest.mark.parametrize('whos, chosen', [([('baseline','film',0)], '0'), ([('baseline','film',0), ('baseline','film',1)], '1'),
                                          ([('uda','film',1), ('baseline','digital',1), ('baseline','film',0)], '2')])
def test_who_is_asked(tmp_path, whos, chosen):
    translation = dict(domain='film', seed=0, asked=None)
    assert independent_classifier(tmp_path, classifiers(tmp_path, *whos), translation) == tmp_path/chosen

@pytest.mark.parametrize('whos, chosen', [([('baseline','film',0)], None), ([('baseline','film',0), ('baseline','film',1)], '1')])
def test_who_steered_a_translation_is_never_asked(tmp_path, whos, chosen):
    translation = dict(domain='film', seed=0, asked='resnet50')
    assert independent_classifier(tmp_path, classifiers(tmp_path, *whos), translation) == (chosen and tmp_path/chosen)
    assert independent_classifier(tmp_path, dict(classifiers=['0']), translation | dict(asked='alexnet')) == tmp_path/'0'

def test_a_translation_that_nobody_can_judge_is_named(tmp_path):
    run_table1(preset='tiny', methods=['uda-semantic'], out=tmp_path/'run')
    page = audit_run(tmp_path/'run').read_text()
    assert 'uda-semantic, film to digital, seed 0' in page and not (tmp_path/'run'/'audit'/'answers.csv').exists()

def test_real_images_have_no_known_answers(run, tmp_path, monkeypatch):
    copy = shutil.copytree(run, tmp_path/'run')
    (copy/'manifest.json').write_text(json.dumps(read_manifest(run) | dict(phantoms=False)))
    monkeypatch.setattr(module, 'known_table', None)
    assert 'structural similarity' not in audit_run(copy).read_text()

def test_nothing_to_audit(run, tmp_path):
    (tmp_path/'manifest.json').write_text(json.dumps(read_manifest(run) | dict(translations=[])))
    said = CliRunner().invoke(app, ['audit', str(tmp_path)])
    assert said.exit_code == 2 and 'has no translators to audit' in said.stderr
    assert CliRunner().invoke(app, ['audit', str(tmp_path/'none')]).exit_code == 2

"A whole run: what it must never do; that it goes on where it stopped is in test_resume.py"
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from mammo_uda.classify.networks import ARCHS
from mammo_uda.cli import app
from mammo_uda.core.files import UserError
from mammo_uda.data.phantom import phantom_store
from mammo_uda.data.store import PixelStore, write_store
from mammo_uda.evaluate.scores import read_scores
from mammo_uda.experiment.table1 import run_table1
from mammo_uda.experiment.tasks import score_classifier, start_classifier, synthesise, train_classifier, train_gan
from values import method, network, recipe, who

GAN = recipe('uda') | dict(filters=4, blocks=1, d_filters=4, d_layers=1, epochs=3, steps=2, bs=2, seed=0, device='cpu')
FIT = dict(epochs=1, steps=2, bs=8, seed=0, device='cpu')

def silent(done, total): pass

def folder(path):
    path.mkdir(parents=True)
    return path

@pytest.fixture(scope='module')
def stores(tmp_path_factory):
    tmp = tmp_path_factory.mktemp('stores')
    return {d: phantom_store(tmp/d, d, patients=9, size=32).folder for d in ('film','digital')}

def unlike(store, path):
    "The same store with every label turned round"
    s = PixelStore(store)
    return write_store(path, s[:], s.index.assign(label=1-s.index.label), s.size).folder

def scores_of(stores, out):
    "One classifier, film to digital with uda, on these stores"
    train_gan(folder(out/'gan'), silent, *stores.values(), [*stores], **GAN)
    synthesise(folder(out/'syn'), silent, stores['film'], out/'gan', 'film', 'digital', 'cpu')
    net = network('alexnet_bn')
    start_classifier(folder(out/'start'), silent, stores['film'], weights='none', **net, **FIT)
    rest = {k: v for k, v in FIT.items() if k != 'seed'}
    train_classifier(folder(out/'end'), silent, stores['film'], **method('uda'), **net, **rest, started=out/'start',
                     translated=out/'syn')
    for d, store in stores.items():
        score_classifier(folder(out/d), silent, out/'end', store, who('uda', 'film', 'digital'), **net, device='cpu')
    return pd.concat([read_scores(out/d) for d in stores], ignore_index=True)

def test_target_labels_change_nothing_but_the_score(stores, tmp_path):
    seen = scores_of(stores, tmp_path/'a')
    turned = scores_of(stores | dict(digital=unlike(stores['digital'], tmp_path/'turned')), tmp_path/'b')
    np.testing.assert_array_equal(seen.prob, turned.prob)
    digital = seen.test_domain == 'digital'
    assert (seen.label[digital] != turned.label[digital]).all()

def test_a_loss_that_is_no_number_is_one_sentence(stores, tmp_path, monkeypatch):
    monkeypatch.setitem(ARCHS, 'alexnet_bn', replace(ARCHS['alexnet_bn'], lr=1e30))
    with pytest.raises(UserError, match='The loss became .* try a lower learning rate'):
        start_classifier(folder(tmp_path/'a'), silent, stores['film'], weights='none', **network('alexnet_bn'), **FIT | dict(steps=20))

def sample(data, name, tmp, patients=12):
    "A list of a few patients of each label, with the images linked in"
    rows = pd.read_csv(data/name/'index.csv')
    worst = rows.groupby('patient').label.max()
    keep = [p for label in (0, 1) for p in worst[worst == label].index[:patients]]
    folder(tmp/name)
    os.symlink(data/name/'images', tmp/name/'images')
    rows[rows.patient.isin(keep)].to_csv(tmp/name/'index.csv', index=False)
    return tmp/name/'index.csv', keep

def test_real_mammograms_from_list_to_table(tmp_path):
    if 'MAMMO_UDA_DATA' not in os.environ: pytest.skip('MAMMO_UDA_DATA names no folder of real mammograms')
    data = Path(os.environ['MAMMO_UDA_DATA'])
    (film, names), (digital, more) = [sample(data, n, tmp_path) for n in ('film_ddsm','ffdm_rsna')]
    run = tmp_path/'run'
    table = run_table1(film=film, digital=digital, preset='tiny', out=run)
    assert len(table.cells) == 8 and (run/'index.html').exists()
    for path in [p for p in run.rglob('*') if p.suffix in ('.csv','.json','.html','.md','.parquet','.log')]:
        content = path.read_bytes()
        assert not [n for n in names+more if len(n) > 4 and n.encode() in content], path
        assert str(tmp_path).encode() not in content or path.name == 'settings.json'
    model = next(run.glob('steps/uda-tiny_cnn-film-digital-*'))
    result = CliRunner().invoke(app, ['predict', str(model), str(digital), '--out', str(tmp_path/'scores.csv')])
    assert result.exit_code == 0, result.output
    assert pd.read_csv(tmp_path/'scores.csv').prob.between(0, 1).all()

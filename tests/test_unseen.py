"A reported run asks its classifiers about machines that nothing has seen, and keeps the answers apart"
import json

import pandas as pd
import pytest

from mammo_uda.data.store import PixelStore
from mammo_uda.evaluate.table1 import text_grid
from mammo_uda.experiment.report import read_manifest, run_table
from mammo_uda.experiment.sources import Domain, phantom_domains
from mammo_uda.experiment.settings import choose_settings
from mammo_uda.experiment.study import plan
from mammo_uda.experiment.table1 import run_table1
from mammo_uda.view.table1 import Table1Viewer

pytestmark = pytest.mark.usefixtures('small_network')

@pytest.fixture(scope='module')
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp('reported')/'run'
    run_table1(preset='tiny', arch=['small'], methods=['adabn'], data_seed=110, out=out)
    return out

def test_each_classifier_is_asked_about_the_machine_of_its_target(run):
    scores = pd.read_parquet(run/'scores.parquet')
    asked = set(zip(scores.train_domain, scores.test_domain, scores.method))
    for a, b, machine in (('film', 'digital', 'digital-9'), ('digital', 'film', 'film-9')):
        assert {(a, machine, method) for method in ('baseline', 'adabn')} <= asked
        assert not {(b, machine, 'baseline'), (b, machine, 'adabn')} & asked
    assert read_manifest(run)['unseen'] == ['film-9', 'digital-9']

def test_its_images_are_of_test_patients_and_of_this_machine_alone(run):
    for machine in ('film-9', 'digital-9'):
        index = PixelStore(run/read_manifest(run)['stores'][machine]).index
        assert set(index.split) == {'test'} and set(index.scanner) == {machine}

def test_its_answers_are_no_part_of_what_is_won_back(run):
    table, scores = run_table(run), pd.read_parquet(run/'scores.parquet')
    rows = list(text_grid(table.cells).index)
    assert rows[-2:] == [('digital', 'film-9'), ('film', 'digital-9')] and len(rows) == 6
    apart = scores.test_domain.isin(table.unseen)
    alone = type(table)(scores[~apart])
    found, without = table.summary(), alone.summary()
    assert found['crossing_loss'] == without['crossing_loss']
    assert found['methods']['adabn'].pop('unseen_difference')['n'] == 1
    assert found['methods'] == without['methods']

def test_every_form_of_the_table_shows_them(run):
    table = run_table(run)
    for text in (repr(table), table._repr_html_(), table._repr_markdown_(), (run/'index.html').read_text()): assert 'digital-9' in text
    assert 'digital-9' in json.dumps(json.loads((run/'table1.json').read_text())['cells'])
    viewer = Table1Viewer(run)
    assert 'digital-9' in viewer.stores

def test_a_run_that_develops_has_none():
    domains = phantom_domains()
    assert plan(choose_settings('tiny', domains, data_seed=109), domains).unseen == []

def test_machines_that_a_study_trains_on_are_drawn_whole():
    domains = [Domain('film-1'), Domain('digital-2')]
    stores = plan(choose_settings('tiny', domains, data_seed=110), domains).stores
    assert [s.config['tested'] for s in stores.values()] == [False, False]
    assert [s.config['tested'] for s in plan(choose_settings('tiny', data_seed=110), phantom_domains()).stores.values()] == [False, False, True, True]

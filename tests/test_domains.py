"Domains are the user's: how many, what they are called, where they come from"
import json
from types import SimpleNamespace

import pandas as pd
import pytest

from mammo_uda.core.files import UserError
from mammo_uda.data.phantom import phantom_store
from mammo_uda.data.store import PixelStore, write_store
from mammo_uda.experiment import needs
from mammo_uda.experiment.audit import audit_run
from mammo_uda.experiment.plan import in_order
from mammo_uda.experiment.report import read_manifest
from mammo_uda.experiment.settings import choose_settings
from mammo_uda.experiment.sources import Domain, check_domains, domain_key, open_domain, phantom_domains, split_domain
from mammo_uda.experiment.study import plan
from mammo_uda.experiment.table1 import named_domains, run_table1
from mammo_uda.view.twins import write_twins

pytestmark = pytest.mark.usefixtures('small_network')

@pytest.fixture(scope='module')
def mixed(tmp_path_factory):
    "Three machines in one store, a fourth with too few patients, and an image of none"
    tmp, parts = tmp_path_factory.mktemp('domains'), []
    for seed, (name, machine, patients) in enumerate([('GE Senographe', 'film', 16), ('Hologic-3D', 'digital', 16),
                                                      ('siemens', 'digital', 16), ('Rare', 'film', 3)]):
        store = phantom_store(tmp/f'{seed}', machine, patients, 32, seed=seed, positive=.5)
        mine = lambda column: f'{seed}-' + store.index[column]
        parts.append((store[:], store.index.assign(scanner=name, domain='all', image_id=mine('image_id'), patient=mine('patient'))))
    index = pd.concat([o for _, o in parts], ignore_index=True)
    index.loc[0, 'scanner'] = None
    write_store(tmp/'all', [image for images, _ in parts for image in images], index.drop(columns='phantom_version'), 32)
    return tmp/'all'

NAMES = ['ge-senographe', 'hologic-3d', 'siemens']

@pytest.fixture(scope='module')
def run(mixed, tmp_path_factory):
    out = tmp_path_factory.mktemp('three')/'run'
    run_table1(domains=dict(all=mixed), domain_by='scanner', preset='tiny', arch=['small'], methods=['adabn', 'histmatch'], out=out)
    return out

def test_a_store_is_split_by_its_scanner(mixed):
    whole, left_out = split_domain(mixed, 'scanner')
    assert ([d.name for d in whole], left_out) == (NAMES, ['rare'])
    assert [len(open_domain(d)) for d in whole] == [63, 64, 64]
    assert len({domain_key(d) for d in whole}) == 3

@pytest.mark.parametrize('column', ['spacing', 'colour'])
def test_a_column_that_says_nothing(mixed, column):
    with pytest.raises(UserError, match=f'says nothing in a column {column}'): split_domain(mixed, column)

def test_every_ordered_pair_is_a_row(run):
    scores = pd.read_parquet(run/'scores.parquet')
    assert set(zip(scores.train_domain, scores.test_domain)) == {(a, b) for a in NAMES for b in NAMES}
    table = json.loads((run/'table1.json').read_text())
    assert len(table['cells']) == 9*3 and table['paper_caption'] is None and all(o['n'] == 1 for o in table['cells'])
    ways = {(o['domain'], o['to']) for o in read_manifest(run)['translations']}
    assert ways == {(a, b) for a in NAMES for b in NAMES if a != b}

def test_nothing_crosses_but_what_is_said(run):
    "A network that was carried to one domain is not tested in a third"
    scores = pd.read_parquet(run/'scores.parquet')
    carried = scores[scores.method != 'baseline']
    assert ((carried.test_domain == carried.train_domain) | (carried.test_domain == carried.target_domain)).all()
    assert (scores[scores.method == 'baseline'].target_domain == scores[scores.method == 'baseline'].train_domain).all()

def test_pages_and_audit_of_such_a_run(run):
    page = write_twins(run).read_text()
    for a in NAMES:
        for b in set(NAMES) - {a}: assert f'href="{a}-to-{b}.html"' in page and (run/f'{a}-to-{b}.html').exists()
    audit_run(run)
    assert not (run/'audit'/'known.csv').exists() and len(pd.read_csv(run/'audit'/'answers.csv')) == 12

def test_one_domain_more_leaves_the_others_steps_alone(mixed):
    whole, _ = split_domain(mixed, 'scanner')
    def keys(domains): return {s.key for s in in_order(plan(choose_settings('tiny', domains), domains).scores)}
    assert keys(whole[:2]) < keys(whole)

def test_each_field_of_a_domain_is_in_the_key(mixed):
    whole, _ = split_domain(mixed, 'scanner')
    def prepared(domain): return {s.name: s.key for s in plan(choose_settings('tiny', [domain, whole[1]]), [domain, whole[1]]).stores.values()}
    first = whole[0]
    others = [Domain('other', first.path, first.column, first.value), Domain(first.name, first.path),
              Domain(first.name, first.path, first.column, 'siemens'), Domain(first.name, first.path, 'laterality', 'L')]
    keys = [next(iter(prepared(o).values())) for o in (first, *others)]
    assert len(set(keys)) == 5

def test_a_run_may_move_and_its_images_too(mixed, tmp_path):
    "Where images lie is no part of a key"
    store = PixelStore(mixed)
    copy = write_store(tmp_path/'copy', store[:], store.index, 32, key=store.key)
    assert domain_key(Domain('a', str(copy.folder))) == domain_key(Domain('b', str(mixed)))

@pytest.mark.parametrize('given, words', [
    (dict(film='film.csv'), 'Give both --film and --digital'), (dict(domains=dict(a='a.csv'), by='scanner', film='f', digital='d'), 'splits one store'),
    (dict(domains={'a/b': 'x'}), "'a/b' cannot name a domain")])
def test_what_cannot_be_meant(given, words):
    with pytest.raises(UserError, match=words): named_domains(**given)

def test_one_domain_is_no_study(mixed):
    with pytest.raises(UserError, match='at least two domains, and has 1'): check_domains([Domain('all', str(mixed))])
    with pytest.raises(UserError, match='Two domains are named a'): check_domains([Domain('a', str(mixed))]*2)

def test_stores_are_used_at_their_own_size(mixed):
    whole, _ = split_domain(mixed, 'scanner')
    assert choose_settings('default', whole)['size'] == 32 and choose_settings('default')['size'] == 64
    assert choose_settings('default', phantom_domains(), arch=['efficientnet_lite0'])['size'] == 224
    assert choose_settings('default', phantom_domains(), size=96, arch=['efficientnet_lite0'])['size'] == 96

# --- the disk

def test_a_disk_that_is_too_small_is_said_before_anything_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr(needs.shutil, 'disk_usage', lambda path: SimpleNamespace(free=10**8))
    with pytest.raises(UserError, match=r'needs about 1\.\d GB more, and the disk has 0\.1 GB: make room'):
        run_table1(preset='tiny', arch=['resnet50'], out=tmp_path/'run')
    assert not (tmp_path/'run'/'steps').exists()

def test_what_is_there_is_not_needed_again(run, mixed):
    whole, _ = split_domain(mixed, 'scanner')
    settings = choose_settings('tiny', whole, arch=['small'], methods=['adabn', 'histmatch'])
    steps = plan(settings, whole).scores
    there = sum(o.stat().st_size for o in (run/'steps').rglob('*') if o.is_file())
    assert needs.missing_bytes(steps, run) == 0 and needs.missing_bytes(steps, run/'nowhere') > there

"A probe in a run: its features are kept once a store, and it is trained by every method"
import json

import pytest

from mammo_uda.classify.networks import wheel_file
from mammo_uda.core.files import UserError
from mammo_uda.experiment.plan import in_order
from mammo_uda.experiment.settings import choose_settings
from mammo_uda.experiment.sources import phantom_domains
from mammo_uda.experiment.study import plan
from mammo_uda.experiment.table1 import run_table1

PROBE = 'efficientnet_lite0_probe'

def test_each_store_is_seen_once():
    settings = choose_settings('tiny', arch=[PROBE], methods=['uda', 'oracle', 'adabn'], weights='packaged', seeds=2)
    names = [s.name for s in in_order(plan(settings, phantom_domains()).scores)]
    assert sum(name.startswith('see-') for name in names) == 2 + 2*2 and not any(name.startswith('start-') for name in names)

def test_a_probe_from_random_weights_is_refused():
    with pytest.raises(UserError, match='learns nothing but its last layer: give --weights packaged'): choose_settings('tiny', arch=[PROBE])

@pytest.mark.skipif(not wheel_file(), reason='the packaged weights are not installed')
def test_a_probe_makes_table_1(tmp_path):
    table = run_table1(preset='tiny', weights='packaged', size=32, methods=['uda', 'adabn', 'oracle'], out=tmp_path/'run')
    assert set(table.cells.arch) == {PROBE} and len(table.cells) == 4*4
    about = json.loads(next((tmp_path/'run'/'steps').glob(f'uda-{PROBE}-film-digital-*/classifier.json')).read_text())
    assert about['chosen'].startswith('C ') and len(about['trained_on']) == 2

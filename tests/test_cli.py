"The command line passes on what was typed, and answers in sentences"
import sys
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from typer.testing import CliRunner

from mammo_uda.cli import app
from mammo_uda.core.files import UserError

@pytest.fixture
def table1(monkeypatch):
    "Type `mammo_uda table1 ...`; gives the answer, and what run_table1 was called with"
    def type_in(*args, raises=None):
        called = {}
        def run_table1(**kwargs):
            called.update(kwargs)
            if raises: raise raises
        monkeypatch.setitem(sys.modules, 'mammo_uda.experiment.table1', SimpleNamespace(run_table1=run_table1))
        monkeypatch.setitem(sys.modules, 'mammo_uda.view.twins', SimpleNamespace(write_twins=lambda run: called.update(twins=run)))
        return CliRunner().invoke(app, ['table1', *args]), called
    return type_in

def test_nothing_given(table1):
    res, called = table1()
    assert res.exit_code == 0
    assert called.pop('preset') == 'default' and called.pop('weights') == 'none'
    assert called.pop('out') == called.pop('twins') == Path('runs/default')
    assert called.pop('domains') == {} and all(o is None for o in called.values())

def test_domains_arrive(table1):
    _, called = table1('--domain', 'ge=stores/ge', '--domain', 'hologic=stores/h=2', '--domain-by', 'scanner')
    assert called['domains'] == dict(ge='stores/ge', hologic='stores/h=2') and called['domain_by'] == 'scanner'

@pytest.mark.parametrize('given, words', [(['stores/ge'], '--domain stores/ge names no images'), (['a=1', 'a=2'], '--domain names a twice')])
def test_domains_that_cannot_be_meant(table1, given, words):
    res, called = table1(*[o for name in given for o in ('--domain', name)])
    assert (res.exit_code, called) == (2, {}) and words in res.stderr

def test_options_arrive(table1):
    _, called = table1('--film', 'f/index.csv', '--digital', 'd/index.csv', '--preset', 'paper', '--size', '128', '--seeds', '2', '--data-seed', '100',
                       '--arch', 'alexnet,resnet50', '--arch', 'alexnet_bn', '--methods', 'uda,uda-plain', '--weights', 'imagenet', '--device', 'cpu', '--workers', '1', '--out', 'r')
    assert called == dict(film=Path('f/index.csv'), digital=Path('d/index.csv'), domains={}, domain_by=None, preset='paper', size=128, seeds=2, data_seed=100,
                          arch=['alexnet', 'resnet50', 'alexnet_bn'], methods=['uda', 'uda-plain'], weights='imagenet', device='cpu', workers=1, out=Path('r'), twins=Path('r'))

@pytest.mark.parametrize('name', ['quick', 'tiny'])
def test_short_presets(table1, name):
    assert table1(f'--{name}')[1]['preset'] == name

def test_two_presets_are_refused(table1):
    res, called = table1('--preset', 'paper', '--tiny')
    assert (res.exit_code, called) == (2, {})
    assert '--preset, --quick and --tiny' in res.stderr

def test_user_error_is_one_sentence(table1):
    res, _ = table1(raises=UserError('--seeds must be 1 or more.'))
    assert (res.exit_code, res.stderr, res.stdout) == (2, '--seeds must be 1 or more.\n', '')

def test_ctrl_c(table1):
    res, _ = table1(raises=KeyboardInterrupt())
    assert (res.exit_code, res.stderr) == (130, 'Stopped; table1 and ingest go on from here with the same command.\n')

def test_fault_keeps_its_traceback(table1):
    res, _ = table1(raises=KeyError('colour'))
    assert isinstance(res.exception, KeyError)

@pytest.mark.parametrize('args', [['table1', '--size', 'big'], ['table1', '--sise', '64'], ['tabel1'], ['predict']])
def test_wrong_usage(args):
    res = CliRunner().invoke(app, args)
    assert res.exit_code == 2 and 'Traceback' not in res.output

def test_predict(monkeypatch):
    called = []
    def predict_csv(*args):
        called.extend(args)
        return pd.DataFrame(dict(prob=[.2, .7, None]))
    monkeypatch.setitem(sys.modules, 'mammo_uda.classify.ensemble', SimpleNamespace(predict_csv=predict_csv))
    res = CliRunner().invoke(app, ['predict', 'model', 'new.csv', '--out', 's.csv'])
    assert res.exit_code == 0, res.output
    *given, progress = called
    assert given == [Path('model'), Path('new.csv'), Path('s.csv'), None] and callable(progress)
    assert '2 images scored, 1 could not be read: see s.csv' in res.output

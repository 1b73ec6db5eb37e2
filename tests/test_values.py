"Whatever is changed in a network, a recipe or a method is in the keys of the steps that it has a part in"
import json
from dataclasses import fields, replace

import pytest
import torch
from torch import nn

from mammo_uda.classify.networks import ARCHS, Arch, alexnet, resnet50
from mammo_uda.core.files import UserError
from mammo_uda.core.values import as_json, from_json
from mammo_uda.experiment import table1
from mammo_uda.experiment.methods import METHODS, Method, find_method, measure_batchnorm, sees_labels
from mammo_uda.experiment.steps import Step, in_order
from mammo_uda.experiment.table1 import choose_settings, claim_folder, plan, run_table1
from mammo_uda.translate.recipes import RECIPES, Recipe

REGISTRIES = dict(arch=ARCHS, recipe=RECIPES, method=METHODS)
FIELDS = [(kind, name, f.name) for kind, values in REGISTRIES.items() for name, value in values.items() for f in fields(value)]

def other(value):
    "Another value of the same type"
    if callable(value): return alexnet if value is resnet50 else resnet50
    if isinstance(value, bool): return not value
    if isinstance(value, (int, float)): return value + 1
    if isinstance(value, tuple): return (*value, 'more')
    if isinstance(value, dict): return value | dict(more=1)
    return f'{value} more'

def another(name, field, value):
    "What stands in a method are names of others"
    if field == 'recipe': return 'uda-masked' if value != 'uda-masked' else 'uda-plain'
    if field == 'network': return 'baseline' if name == 'oracle' else 'oracle'
    return other(value)

def keys(methods, arch='alexnet_bn'):
    settings = choose_settings('tiny', arch=[arch], methods=methods)
    return {s.key for s in in_order(plan(settings, {})[2]) if not s.name.startswith('prepare-')}

@pytest.mark.parametrize('kind, name, field', FIELDS, ids=str)
def test_each_field_is_in_the_key(monkeypatch, kind, name, field):
    asked = dict(methods=[name if kind != 'arch' else 'uda'], arch=name if kind == 'arch' else 'alexnet_bn')
    before, value = keys(**asked), REGISTRIES[kind][name]
    changed = replace(value, **{field: another(name, field, getattr(value, field))})
    monkeypatch.setitem(REGISTRIES[kind], name, changed)
    if kind == 'recipe' and field in ('generator', 'name'): monkeypatch.setitem(RECIPES, changed.name, changed)
    assert keys(**asked) != before

def test_where_a_run_computes_is_in_no_key():
    assert 'device' not in choose_settings('tiny', device='cpu')
    steps = in_order(plan(choose_settings('tiny', methods=list(METHODS), arch=list(ARCHS)), {})[2])
    assert not {'device', 'threads', 'workers'} & {k for s in steps for k in s.config}

def test_a_function_of_another_version_is_another_step(monkeypatch):
    before = keys(['uda'])
    monkeypatch.setattr(table1.train_gan, 'version', 2)
    assert keys(['uda']) != before
    assert Step('a', 'm:f', version=2).key != Step('a', 'm:f').key

def test_an_alias_is_the_same_step():
    assert sum('gan' in s.name for s in in_order(plan(choose_settings('tiny', methods=['uda', 'uda-acquisition']), {})[2])) == 1

@pytest.mark.parametrize('kind, name', [(kind, name) for kind, values in REGISTRIES.items() for name in values], ids=str)
def test_a_value_comes_back_from_json(kind, name):
    value, data = REGISTRIES[kind][name], json.loads(json.dumps(as_json(REGISTRIES[kind][name])))
    again = from_json(type(value), data)
    assert as_json(again) == data and (kind != 'arch' or again.build is value.build)

def test_a_folder_of_another_layout_is_refused(tmp_path):
    old = {k: v for k, v in choose_settings('tiny').items() if k != 'layout'} | dict(recipes=['uda'])
    (tmp_path/'settings.json').write_text(json.dumps(old))
    with pytest.raises(UserError, match='^--out .* was made by another version of mammo_uda: give another folder.$'):
        claim_folder(tmp_path, choose_settings('tiny'))

# --- who adds one

def small(): return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 1))

def test_a_network_a_recipe_and_a_method_are_added_in_a_line_each(monkeypatch, tmp_path):
    monkeypatch.setitem(ARCHS, 'small', Arch('a small one', small, epochs=1, cost=1.))
    monkeypatch.setitem(RECIPES, 'light', Recipe('light', 'Cycle-GAN with a light cycle', cycle=1.))
    monkeypatch.setitem(METHODS, 'light-adabn', Method('light with other statistics', network='light', before='batchnorm'))
    table = run_table1(preset='tiny', arch=['small'], methods=['light', 'light-adabn'], out=tmp_path/'run')
    assert set(table.cells.method) == {'baseline', 'light', 'light-adabn'} and len(table.cells) == 12
    assert table.cells['mean'].between(0, 1).all() and 'light: goes on with' in table.caption

def test_who_sees_labels_is_named_for_it():
    assert [name for name in METHODS if sees_labels(name)] == ['oracle']
    assert "with the target's labels" in find_method('oracle').about

# --- batch norm

def test_statistics_are_those_of_all_images_and_weights_stay(tmp_path):
    from mammo_uda.data.phantom import phantom_store
    store, net = phantom_store(tmp_path/'film', 'film', patients=8, size=32), small()
    first = [p.clone() for p in net.parameters()]
    images = torch.from_numpy(store[:])[:,None]
    with torch.no_grad(): seen = net[0](images)
    bn = measure_batchnorm(net, store, list(range(len(store))), bs=len(store))[1]
    torch.testing.assert_close(bn.running_mean, seen.mean((0, 2, 3)))
    torch.testing.assert_close(bn.running_var, seen.var((0, 2, 3)))
    assert all(map(torch.equal, first, net.parameters())) and not net.training and bn.momentum == .1

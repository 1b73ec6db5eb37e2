"Whatever is changed in a network, a recipe or a method is in the keys of the steps that it has a part in"
import json
from dataclasses import fields, replace
from functools import partial

import pytest
import torch
from torch import nn

from mammo_uda.classify.networks import ARCHS, Arch, alexnet, resnet50
from mammo_uda.core.files import UserError
from mammo_uda.core.values import as_json, from_json
from mammo_uda.data.phantom import phantom_store
from mammo_uda.data.store import PixelStore
from mammo_uda.experiment import tasks
from mammo_uda.experiment.methods import METHODS, Method, about_methods, find_method, measure_batchnorm, sees_labels
from mammo_uda.experiment.plan import Step, in_order
from mammo_uda.experiment.settings import choose_settings, claim_folder
from mammo_uda.experiment.sources import phantom_domains
from mammo_uda.experiment.study import plan
from mammo_uda.experiment.table1 import run_table1
from mammo_uda.translate.recipes import RECIPES, Recipe
from mammo_uda.view.twins import write_twins
from values import SMALL, small

REGISTRIES = dict(arch=ARCHS, recipe=RECIPES, method=METHODS)
FIELDS = [(kind, name, f.name) for kind, values in REGISTRIES.items() for name, value in values.items() for f in fields(value)]

def other(value):
    "Another value of the same type"
    if callable(value): return alexnet if value is resnet50 else resnet50
    if isinstance(value, bool): return not value
    if isinstance(value, (int, float)): return value + 1
    if isinstance(value, tuple): return (*value, 'more')
    if isinstance(value, dict): return value | dict(more=1)
    return f'{value}-more'

NEEDS = ('source', 'target images', 'target labels')

def changed(value, field):
    "The value with something else in one field, and in others what that asks for"
    if field == 'size': return replace(value, size=(value.size or 0) + 64)
    if not isinstance(value, Method) or field == 'about': return replace(value, **{field: other(getattr(value, field))})
    if field == 'needs': return replace(value, needs=NEEDS if value.needs != NEEDS else NEEDS[:2])
    if field == 'recipe': return replace(value, recipe='uda-masked', needs=NEEDS[:2], network=None, before=None)
    if field == 'whole': return replace(value, whole=not value.whole, network=None, before=None)
    return replace(value, network='oracle' if value.network or value is METHODS['baseline'] else 'baseline', before='batchnorm', needs=NEEDS[:2],
                   recipe=None, whole=False)

def keys(methods, arch='alexnet_bn'):
    settings = choose_settings('tiny', arch=[arch], methods=methods, weights='packaged')
    return {s.key for s in in_order(plan(settings, phantom_domains()).scores) if not s.name.startswith('prepare-')}

@pytest.mark.parametrize('kind, name, field', FIELDS, ids=str)
def test_each_field_is_in_the_key(monkeypatch, kind, name, field):
    asked = dict(methods=[name if kind != 'arch' else 'uda'], arch=name if kind == 'arch' else 'alexnet_bn')
    before, value = keys(**asked), REGISTRIES[kind][name]
    now = changed(value, field)
    if field == 'generator': now = replace(now, generator='Acquisition' if value.generator != 'Acquisition' else 'Tones', settings={})
    for alias in [o for o, v in REGISTRIES[kind].items() if v is value]: monkeypatch.setitem(REGISTRIES[kind], alias, now)
    assert keys(**asked) != before

def test_where_a_run_computes_is_in_no_key():
    assert 'device' not in choose_settings('tiny', device='cpu')
    every = [*RECIPES, *METHODS]
    steps = in_order(plan(choose_settings('tiny', methods=every, arch=['alexnet_bn', 'resnet50']), phantom_domains()).scores)
    assert not {'device', 'threads', 'workers'} & {k for s in steps for k in s.config}

def test_a_function_of_another_version_is_another_step(monkeypatch):
    before = keys(['uda'])
    monkeypatch.setattr(tasks.train_gan, 'version', 1)
    assert keys(['uda']) != before
    assert Step('a', 'm:f', version=2).key != Step('a', 'm:f').key

def test_an_alias_is_the_same_step():
    steps = in_order(plan(choose_settings('tiny', methods=['uda', 'uda-acquisition']), phantom_domains()).scores)
    assert sum('gan' in s.name for s in steps) == 1

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

def test_a_network_a_recipe_and_a_method_are_added_in_a_line_each(monkeypatch, tmp_path):
    monkeypatch.setitem(ARCHS, 'small', SMALL)
    monkeypatch.setitem(RECIPES, 'light', Recipe('light', 'Cycle-GAN with a light cycle', cycle=1.))
    monkeypatch.setitem(METHODS, 'light-adabn', Method('light with other statistics', network='light', before='batchnorm'))
    table = run_table1(preset='tiny', arch=['small'], methods=['light', 'light-adabn'], out=tmp_path/'run')
    assert set(table.cells.method) == {'baseline', 'light', 'light-adabn'} and len(table.cells) == 12
    assert table.cells['mean'].between(0, 1).all() and 'light: goes on with' in table.caption

def test_who_sees_labels_is_named_for_it():
    assert [name for name in METHODS if sees_labels(name)] == ['oracle']
    assert "with the target's labels" in find_method('oracle').about

def test_who_takes_a_network_that_has_seen_labels_is_named_for_it(monkeypatch):
    monkeypatch.setitem(METHODS, 'mine', Method('other statistics', network='oracle', before='batchnorm'))
    assert sees_labels('mine') and about_methods(['mine']) == "mine: other statistics (told the target's labels)"

@pytest.mark.parametrize('fields, words', [
    (dict(needs=('luck',)), "cannot need 'luck'"), (dict(before='batchnorm'), "takes another's network says what is done"),
    (dict(network='uda'), "takes another's network says what is done"), (dict(network='uda', before='rest'), 'says what is done'),
    (dict(network='uda', before='batchnorm', recipe='uda'), 'has no recipe and no training of its own'),
    (dict(network='uda', before='batchnorm', whole=True), 'no training of its own'),
    (dict(needs=('source',), recipe='uda'), 'needs target images: say so')])
def test_a_method_that_makes_no_sense_is_refused_when_it_is_made(fields, words):
    with pytest.raises(UserError, match=words): Method('mine', **fields)

def methods(monkeypatch, **added):
    for name, method in added.items(): monkeypatch.setitem(METHODS, name, method)
    return choose_settings('tiny', methods=list(added))

def taking(name): return Method('mine', network=name, before='batchnorm')

def test_a_method_that_takes_its_own_network_is_refused(monkeypatch):
    with pytest.raises(UserError, match='The method mine takes its own network'): methods(monkeypatch, mine=taking('mine'))
    with pytest.raises(UserError, match='takes its own network'): methods(monkeypatch, a=taking('b'), b=taking('a'))

def test_a_network_that_was_not_asked_for_is_made_all_the_same(monkeypatch):
    settings = methods(monkeypatch, mine=taking('uda'))
    names = [s.name for s in in_order(plan(settings, phantom_domains()).scores)]
    assert 'uda-tiny_cnn-film-digital-0' in names and 'gan-uda-acquisition-film-digital-0' in names

def test_two_recipes_of_one_name_are_refused(monkeypatch):
    monkeypatch.setitem(RECIPES, 'mine', replace(RECIPES['uda-plain'], cycle=5.))
    for asked in (['mine'], ['uda-plain', 'mine']):
        with pytest.raises(UserError, match='Two recipes are named uda-plain'): choose_settings('tiny', methods=asked)

@pytest.mark.parametrize('asked, words', [
    (dict(methods=['magic']), '--methods magic is unknown: choose from baseline'), (dict(methods=['a b']), "'a b' cannot be the name"),
    (dict(methods=[]), '--methods names nothing'), (dict(arch=['vgg']), '--arch vgg is unknown'),
    (dict(methods=['adabn'], arch=['alexnet']), '--methods adabn changes batch norm, and alexnet has none')])
def test_what_cannot_be_run_is_one_sentence(asked, words):
    with pytest.raises(UserError, match=words): choose_settings('tiny', **asked)

def test_a_generator_that_is_not_there_is_one_sentence(monkeypatch):
    monkeypatch.setitem(RECIPES, 'mine', Recipe('mine', 'a slip', 'Acqusition'))
    with pytest.raises(UserError, match='The generator of the recipe mine, Acqusition is unknown'): choose_settings('tiny', methods=['mine'])

@pytest.mark.parametrize('fn', [partial(resnet50), nn.Linear(3, 1), lambda: None])
def test_a_function_that_others_cannot_find_is_one_sentence(fn):
    with pytest.raises(UserError, match='cannot be found by other processes'): as_json(Arch('mine', fn))

def test_more_methods_extend_a_run(tmp_path):
    claim_folder(tmp_path, choose_settings('tiny', methods=['uda']))
    claim_folder(tmp_path, choose_settings('tiny', methods=['adabn', 'uda']))
    assert json.loads((tmp_path/'settings.json').read_text())['methods'] == ['baseline', 'adabn', 'uda']

def test_a_run_without_a_translator_is_whole(tmp_path):
    run_table1(preset='tiny', arch=['resnet50'], methods=['adabn'], out=tmp_path/'run')
    assert write_twins(tmp_path/'run').exists() and not (tmp_path/'run'/'trainings.html').exists()
    about = json.loads(next((tmp_path/'run'/'steps').glob('adabn-resnet50-film-*/classifier.json')).read_text())
    assert about['statistics_of'] == PixelStore(next((tmp_path/'run'/'steps').glob('prepare-digital-*'))).key

# --- batch norm

def test_statistics_are_those_of_all_images_and_weights_stay(tmp_path):
    store, net = phantom_store(tmp_path/'film', 'film', patients=8, size=32), small()
    first = [p.clone() for p in net.parameters()]
    images = torch.from_numpy(store[:])[:,None]
    with torch.no_grad(): seen = net[0](images)
    bn = measure_batchnorm(net, store, list(range(len(store))), bs=5)[1]
    torch.testing.assert_close(bn.running_mean, seen.mean((0, 2, 3)))
    torch.testing.assert_close(bn.running_var, seen.var((0, 2, 3)), rtol=.1, atol=0)
    assert all(map(torch.equal, first, net.parameters())) and not net.training and bn.momentum == .1

"What a step of a run is told of its network, recipe and method"
from mammo_uda.classify.networks import ARCHS
from mammo_uda.core.values import as_json
from mammo_uda.experiment.methods import carried_to, find_method
from mammo_uda.translate.recipes import find_recipe

def recipe(name): return dict(recipe=as_json(find_recipe(name)))
def network(arch): return dict(arch=arch, network=as_json(ARCHS[arch]))
def method(name, source='film', target='digital', seed=0):
    "Whose classifier it is, and how it is made"
    return dict(who=who(name, source, carried_to(name, source, target), seed), how=as_json(find_method(name)))

def who(name, source, target, seed=0): return dict(train_domain=source, target_domain=target, method=name, seed=seed)

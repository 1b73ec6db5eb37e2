"What a step of a run is told of its network, recipe and method"
from mammo_uda.classify.networks import ARCHS
from mammo_uda.core.values import as_json
from mammo_uda.experiment.methods import find_method
from mammo_uda.translate.recipes import find_recipe

def recipe(name): return dict(recipe=as_json(find_recipe(name)))
def network(arch): return dict(arch=arch, network=as_json(ARCHS[arch]))
def method(name): return dict(method=name, how=as_json(find_method(name)))

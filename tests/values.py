"What a step of a run is told of its network, recipe and method"
from torch import nn

from mammo_uda.classify.networks import ARCHS, Arch
from mammo_uda.core.values import as_json
from mammo_uda.experiment.methods import carried_to, find_method
from mammo_uda.translate.recipes import find_recipe

def recipe(name): return dict(recipe=as_json(find_recipe(name)))
def network(arch): return dict(arch=arch, network=as_json(ARCHS[arch]))
def method(name, source='film', target='digital', seed=0):
    "Whose classifier it is, and how it is made"
    return dict(who=who(name, source, carried_to(name, source, target), seed), how=as_json(find_method(name)))

def who(name, source, target, seed=0): return dict(train_domain=source, target_domain=target, method=name, seed=seed)

def small():
    "A network that is quick to make, to keep and to read"
    layers = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 1)
    return nn.Sequential(*layers)

SMALL = Arch('a small one', small, epochs=1, cost=1.)

"A small network that looks for the label in phantoms, for tests and for benchmarks/leak.py"
import numpy as np
from torch import nn

from mammo_uda.classify.learner import classifier_learner, predict
from mammo_uda.core.training import seed_all
from mammo_uda.data.blocks import labelled_dls, shots
from mammo_uda.data.leak import auroc_error
from mammo_uda.data.phantom import phantom_index, phantom_store
from mammo_uda.data.store import write_store


def labelled_store(folder, domain, patients, size, positive):
    "Phantoms with the labels of their draws; with `positive=0` their lesions are left out"
    drawn = phantom_store(folder/f'{domain}-drawn', domain, patients, size, positive=positive)
    labels = phantom_index(domain, patients)['label']
    return write_store(folder/domain, drawn[:], drawn.index.assign(label=labels), size)


def small_network():
    layers, widths = [], [1, 16, 32, 64]
    for a, b in zip(widths, widths[1:]):
        layers += [nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4*widths[-1], 1))


def network_leaks(store, epochs):
    "Trained on two thirds of the patients, tested on the others: view, what, auROC, its standard error"
    seed_all(0)
    learn = classifier_learner(labelled_dls(shots(store, split='train'), bs=32, augment=False), net := small_network())
    with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(epochs, 3e-3)
    rows = store.where(split='test')
    tested = store.index.iloc[rows].assign(prob=predict(net, store, rows))
    return [(f'{side} {view}', f"{o.domain.iloc[0]}: network", *auroc_error(o.label.to_numpy(bool), o.prob.to_numpy()))
            for (side, view), o in tested.groupby(['laterality', 'view'])]

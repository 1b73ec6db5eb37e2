"The measures know the answers that are known, watching changes nothing, and a training that has failed is stopped in time"
import random

import numpy as np
import pandas as pd
import pytest
import torch
from fastai.callback.core import Callback
from matplotlib import pyplot as plt
from torch import nn

from mammo_uda.core.files import UserError
from mammo_uda.core.training import Resume, seed_all
from mammo_uda.data.blocks import shots, unpaired_dls
from mammo_uda.data.phantom import phantom_store
from mammo_uda.translate.acquisition import Acquisition
from mammo_uda.translate.cyclegan import TERMS
from mammo_uda.translate.recipes import translation_learner
from mammo_uda.translate.watch import *
from mammo_uda.translate.watch import PANELS

WAYS = ['film-digital', 'digital-film']

def breasts(n, seed=0, size=64):
    "Half-discs of smooth noise around 0.5, with background 0"
    rng, (y, x) = np.random.default_rng(seed), np.mgrid[:size,:size]
    disc = np.hypot(y-size/2, x) < .45*size
    noise = rng.standard_normal((n, size, size))
    noise = noise + np.roll(noise, 1, 1) + np.roll(noise, 1, 2)
    return np.where(disc, (.5 + .05*noise).clip(.1, .9), 0).astype(np.float32)

def on(x, y): return np.where(x > 0, y, 0).astype(np.float32)

@pytest.fixture(scope='module')
def x(): return breasts(24)

def test_change_counts_the_breast_alone(x):
    assert change(x, x) == 0
    assert change(x, np.where(x > 0, x+.1, .7)) == pytest.approx(.1, rel=1e-4)

def test_tone_distance_is_the_shift(x):
    assert tone_distance(x, x[::-1]) == 0
    assert tone_distance(x, on(x, x+.1)) == pytest.approx(.1, rel=1e-4) == tone_distance(on(x, x+.1), x)

def test_spectrum_distance_is_the_log_of_the_power(x):
    mean = (x.sum((1, 2))/(x > 0).sum((1, 2)))[:,None,None]
    half = on(x, mean + (x-mean)/2)
    assert spectrum_distance(x, x) == 0
    assert spectrum_distance(x, half) == pytest.approx(np.log10(4), rel=1e-3) == spectrum_distance(half, x)
    assert np.isfinite(spectrum_distance(on(x, .5), x))

def test_what_is_alike_cannot_be_told_apart(x): assert abs(told_apart(x, breasts(24, seed=1)) - .5) < .05

@pytest.mark.parametrize('spoil', [lambda x: .7*x, lambda x: .5 + 1.3*(x-.5), lambda x: (x+np.roll(x, 1, 1))/2], ids=['darker','more contrast','smoother'])
def test_what_differs_can_be_told_apart(x, spoil): assert told_apart(x, on(x, spoil(breasts(24, seed=1)))) > .75

def test_telling_apart_takes_no_turn_for_the_score(x):
    "a classifier that is asked about what it was trained on would tell noise from noise"
    scores = [told_apart(breasts(4, seed=i), breasts(4, seed=100+i)) for i in range(12)]
    assert abs(np.mean(scores) - .5) < .03

def test_breasts_too_small_for_a_patch_cannot_be_told_apart():
    tiny = np.zeros((4, 32, 32), np.float32)
    tiny[:,3:8,3:8] = .5
    assert told_apart(tiny, tiny/2) == .5

def test_agreement_has_the_sign_of_the_contrast(x):
    assert agreement(x, .2+.5*x) == pytest.approx(1)
    assert agreement(x, on(x, 1-x)) == pytest.approx(-1)
    assert agreement(x, on(x, .3)) == 0
    odd = on(x, 1-x)
    odd[1:] = x[1:]
    assert agreement(x, odd) == pytest.approx(1) # the median, not the mean

def test_spread_is_the_contrast_that_is_left(x):
    assert spread(x, x) == 1
    assert spread(on(x, .5 + .3*(x-.5)), x) == pytest.approx(.3, rel=1e-4)
    assert spread(on(x, .3), x) == pytest.approx(0, abs=1e-6)

def test_an_image_is_laid_into_its_breast(x):
    black = x.copy()
    black[:,32,4] = 0 # one pixel inside
    laid = in_breast(np.full_like(x, -.2), black)
    assert ((laid > 0) == (x > 0)).all() and laid.max() < 1e-4 and laid.dtype == np.float32
    assert in_breast(x+1, x).max() == 1

def test_measures_draw_nothing(x):
    before = random.getstate(), np.random.get_state()[1].copy(), torch.random.get_rng_state()
    assert look(x, 1-x, x) == look(x, 1-x, x)
    assert random.getstate() == before[0] and (np.random.get_state()[1] == before[1]).all() and (torch.random.get_rng_state() == before[2]).all()

def test_faults_are_found_and_nothing_else(x):
    nan = x.copy()
    nan[3,32,5] = np.nan
    assert 'not a number' in fault(x, nan, x) and all(np.isnan(v) for v in look(x, nan, x).values())
    assert 'collapsed' in fault(x, on(x, .5 + .09*(x-.5)), x) and 'collapsed' in fault(x, on(x, .5), x)
    assert 'contrast round' in fault(x, on(x, 1-x), x)
    assert not fault(x, on(x, .5 + .11*(x-.5)), x) and not fault(x, x, breasts(24, seed=1))

class Net(nn.Module):
    "Makes what it is told to; one layer is in training mode and one is not"
    def __init__(self, make):
        super().__init__()
        self.make, self.frozen, self.layer = make, nn.BatchNorm2d(1).eval(), nn.Dropout()
        self.weight = nn.Parameter(torch.zeros(1))
    def forward(self, x): return self.make(self.layer(x))

def test_a_network_is_used_in_evaluation_mode_and_put_back(x):
    net = Net(lambda x: -x)
    np.testing.assert_allclose(translated(net, x), in_breast(1-x, x), atol=1e-6)
    assert net.training and net.layer.training and not net.frozen.training

def test_a_network_that_adds_noise_in_training_draws_none_when_it_is_watched(x):
    net = Acquisition().train()
    before = torch.random.get_rng_state()
    assert (translated(net, x) == translated(net, x)).all() and (torch.random.get_rng_state() == before).all()

@pytest.mark.parametrize('value', [float('nan'), float('inf'), -float('inf')])
def test_what_is_not_finite_is_not_clipped_to_a_grey(x, value):
    assert np.isnan(translated(Net(lambda x: x+value), x)[x > 0]).all()

# a whole training

@pytest.fixture(scope='module')
def stores(tmp_path_factory):
    tmp = tmp_path_factory.mktemp('stores')
    return [phantom_store(tmp/d, d, patients=6, size=32) for d in ('film','digital')]

def train(stores, folder, *cbs, watch=True, epochs=4, recipe='uda-matched'):
    "A short training; what it leaves is in `folder`"
    seed_all(0)
    dls = unpaired_dls(*map(shots, stores), bs=2, steps=3, device='cpu')
    folder.mkdir(exist_ok=True)
    cbs = [Resume(folder/'checkpoint.pt'), *([Watch(folder/'watch.csv', n=8, settle=0)] if watch is True else [watch] if watch else []), *cbs]
    learn = translation_learner(dls, recipe, filters=4, blocks=1, d_filters=4, d_layers=1, cbs=cbs)
    with learn.no_bar(), learn.no_logging(): learn.fit_flat_lin(epochs)
    return learn

def same(a, b): return all((p == q).all() for p, q in zip(a.model.state_dict().values(), b.model.state_dict().values()))

def do(what, epoch=3, order=20, when='after_train'):
    "A callback that does something to the learner at one event of one epoch; at order 20 the watch, at 60, comes later"
    def act(self):
        if self.epoch+1 == epoch: what(self.learn)
    cb = Callback(**{when: act})
    cb.order = order
    return cb

def stop(learn): raise KeyboardInterrupt

@pytest.fixture(scope='module')
def whole(stores, tmp_path_factory):
    "A training that nothing disturbed, and its folder"
    folder = tmp_path_factory.mktemp('whole')
    return train(stores, folder, KeepLosses(folder/'losses.csv')), folder

def test_the_table_has_a_row_an_epoch_and_way(whole):
    table = pd.read_csv(whole[1]/'watch.csv')
    assert table.columns.tolist() == ['epoch', 'way', *PANELS]
    assert list(zip(table.epoch, table.way)) == [(e, w) for e in range(5) for w in WAYS]
    assert np.isfinite(table[list(PANELS)]).all(axis=None)
    assert (table.change[:2] == 0).all() and (table.agreement[:2] == 1).all() and (table.change[2:] > .01).all()

@pytest.mark.parametrize('recipe', ['uda-matched','uda-plain','uda-acquisition','uda-fastcut'])
def test_a_watched_training_is_the_same_training(stores, tmp_path, recipe):
    watched, unwatched = [train(stores, tmp_path/name, watch=watch, recipe=recipe)
                          for name, watch in (('watched', Watch(tmp_path/'watch.csv', n=8)), ('unwatched', False))]
    assert same(watched, unwatched) and watched.resume.history == unwatched.resume.history
    assert len(pd.read_csv(tmp_path/'watch.csv')) == 10

def test_two_identical_runs_see_the_same(whole, stores, tmp_path):
    train(stores, tmp_path)
    assert (tmp_path/'watch.csv').read_bytes() == (whole[1]/'watch.csv').read_bytes()

@pytest.mark.parametrize('order', [65, 75], ids=['before the checkpoint','after it'])
def test_a_killed_training_sees_each_epoch_once(whole, stores, tmp_path, order):
    with pytest.raises(KeyboardInterrupt): train(stores, tmp_path, do(stop, order=order, when='after_epoch'), KeepLosses(tmp_path/'losses.csv'))
    assert pd.read_csv(tmp_path/'watch.csv').epoch.max() == 3 and len(pd.read_csv(tmp_path/'losses.csv')) == 2
    seen = []
    again = train(stores, tmp_path, KeepLosses(tmp_path/'losses.csv'), Callback(before_train=lambda self: seen.append(self.epoch+1)))
    assert seen == ([3, 4] if order == 65 else [4]) and same(again, whole[0])
    for name in ('watch.csv','losses.csv'): assert (tmp_path/name).read_bytes() == (whole[1]/name).read_bytes()

def test_a_new_training_replaces_the_table(whole, stores, tmp_path):
    train(stores, tmp_path)
    (tmp_path/'checkpoint.pt').unlink()
    train(stores, tmp_path, epochs=1)
    assert pd.read_csv(tmp_path/'watch.csv').epoch.tolist() == [0, 0, 1, 1]

def turn_round(learn): learn.model.G_BA.start.curve.neg_()
def flatten(learn): learn.model.G_BA.start.curve.fill_(.1)
@torch.no_grad()
def break_generator(learn): learn.model.G_BA.layers[-1].bias.fill_(torch.nan)
@torch.no_grad()
def break_judge(learn): learn.model.D_B[0].bias.fill_(torch.inf)

@pytest.mark.parametrize('spoil, says, every', [(turn_round, 'digital-film turns the contrast round', 1), (turn_round, 'digital-film turns the contrast round', 2),
                                                (flatten, 'digital-film has collapsed', 1), (break_generator, 'digital-film is not a number', 1),
                                                (break_judge, 'weights D_B.0.bias are not finite', 1)])
def test_a_training_that_failed_stops_and_its_last_good_state_is_kept(whole, stores, tmp_path, spoil, says, every):
    with pytest.raises(UserError, match=f'^Training stopped after epoch 3, which was not kept: .*{says}') as e:
        train(stores, tmp_path, do(spoil), watch=Watch(tmp_path/'watch.csv', every, n=8, settle=0))
    assert str(e.value).count('. ') == 0
    state = torch.load(tmp_path/'checkpoint.pt', weights_only=True)
    assert state['epoch'] == 2 and all(v.isfinite().all() for v in state['model'].values())
    assert pd.read_csv(tmp_path/'watch.csv').epoch.max() == 3 # the row that says why
    assert same(train(stores, tmp_path), whole[0])

def test_random_weights_get_some_steps_to_find_their_contrast(stores, tmp_path):
    with pytest.raises(UserError, match='after epoch 3, .* contrast round'):
        train(stores, tmp_path, do(turn_round, epoch=1), watch=Watch(tmp_path/'watch.csv', n=8, settle=9))
    table = pd.read_csv(tmp_path/'watch.csv')
    assert (table.agreement[(table.way == WAYS[1]) & (table.epoch > 0)] < 0).sum() == 3

def test_a_loss_that_is_no_number_leaves_the_last_whole_epoch(whole, stores, tmp_path):
    with pytest.raises(UserError, match='^The loss became nan in epoch 3.* holds epoch 2'): train(stores, tmp_path, do(break_generator, when='before_train'))
    state = torch.load(tmp_path/'checkpoint.pt', weights_only=True)
    assert state['epoch'] == 2 and all(v.isfinite().all() for v in state['model'].values())
    assert same(train(stores, tmp_path), whole[0])

def test_losses_are_there_after_each_epoch(stores, tmp_path):
    rows = []
    def count(self): rows.append(len(pd.read_csv(tmp_path/'losses.csv')))
    counter = Callback(after_epoch=count)
    counter.order = 90
    learn = train(stores, tmp_path, KeepLosses(tmp_path/'losses.csv'), counter, watch=False)
    assert rows == [1, 2, 3, 4]
    losses = pd.read_csv(tmp_path/'losses.csv')
    assert losses.columns.tolist() == ['train_loss', *TERMS] and losses.values.tolist() == learn.resume.history

def test_the_figure_shows_every_measure_both_ways(whole):
    fig = draw_watch(pd.read_csv(whole[1]/'watch.csv'))
    assert [ax.get_title() for ax in fig.axes] == [title for title, _ in PANELS.values()]
    for ax in fig.axes: assert [line.get_label() for line in ax.lines[1:]] == WAYS and len(ax.lines[1].get_xdata()) == 5
    assert not plt.get_fignums()

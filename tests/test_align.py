"Features of the target brought to the moments of the source's"
import numpy as np
import pytest
import torch

from mammo_uda.classify.align import align, coloured, same_moments, unfitted
from mammo_uda.classify.networks import ARCHS
from mammo_uda.classify.probe import features, last_layer
from mammo_uda.data.phantom import phantom_store
from mammo_uda.experiment.settings import choose_settings
from mammo_uda.experiment.table1 import run_table1

RNG = np.random.default_rng(0)
X, Y = RNG.normal(1, 2, (90, 7)) @ RNG.normal(size=(7, 7)), RNG.normal(-3, .5, (110, 7)) @ RNG.normal(size=(7, 7))
WEIGHT = RNG.normal(size=7)

def logits(x, weight, bias): return x @ weight + bias

@pytest.mark.parametrize('whole', [False, True])
def test_the_mean_logit_is_the_sources(whole):
    np.testing.assert_allclose(logits(Y, *same_moments(WEIGHT, .3, X, Y, whole)).mean(), logits(X, WEIGHT, .3).mean())

def test_zscore_is_its_formula():
    moved = (Y - Y.mean(0))/Y.std(0)*X.std(0) + X.mean(0)
    np.testing.assert_allclose(logits(Y, *same_moments(WEIGHT, .3, X, Y)), logits(moved, WEIGHT, .3))

def power(matrix, p):
    values, vectors = np.linalg.eigh(matrix)
    return vectors @ np.diag(values**p) @ vectors.T

def test_coral_is_its_formula():
    zx, zy = [(o - o.mean(0))/o.std(0) for o in (X, Y)]
    moved = zy @ power(np.cov(zy.T, ddof=0) + np.eye(7), -.5) @ power(np.cov(zx.T, ddof=0) + np.eye(7), .5)*X.std(0) + X.mean(0)
    np.testing.assert_allclose(logits(Y, *same_moments(WEIGHT, .3, X, Y, whole=True)), logits(moved, WEIGHT, .3))

@pytest.fixture(scope='module')
def stores(tmp_path_factory):
    tmp = tmp_path_factory.mktemp('stores')
    return [phantom_store(tmp/o, o, patients=8, size=64) for o in ('film', 'digital')]

def test_a_feature_that_is_dead_in_the_target_stays_small():
    dead = np.c_[Y, np.zeros(len(Y))]
    alive = np.c_[X, RNG.normal(size=len(X))]
    weight, _ = same_moments(np.r_[WEIGHT, 1.], .3, alive, dead)
    assert abs(weight[-1]) <= 10.01

def test_the_source_is_seen_on_images_that_were_not_fitted(stores):
    assert set(stores[0].index.split.iloc[unfitted(stores[0])]) == {'valid'}

def test_fewer_images_than_features():
    z = RNG.normal(size=(3, 7))
    np.testing.assert_allclose(coloured(z, WEIGHT, -.5), power(z.T @ z/3 + np.eye(7), -.5) @ WEIGHT)

@pytest.mark.parametrize('arch', [o for o in ARCHS if o != 'alexnet_bn']) # which is as large as alexnet
@torch.no_grad()
def test_every_network_takes_it(stores, arch):
    torch.manual_seed(0)
    net = ARCHS[arch].new().eval()
    rows = unfitted(stores[0]), stores[1].where(split='train')
    seen = [features(net, *o) for o in zip(stores, rows)]
    before, layer = {k: v.clone() for k, v in net.state_dict().items()}, last_layer(net)
    old = layer.weight[0].double().numpy().copy(), float(layer.bias)
    align(net, *stores, whole=True)
    changed = {k for k, v in net.state_dict().items() if not torch.equal(v, before[k])}
    name = next(k for k, o in net.named_modules() if o is layer)
    assert f'{name}.weight' in changed <= {f'{name}.weight', f'{name}.bias'}
    new = layer.weight[0].double().numpy(), float(layer.bias)
    np.testing.assert_allclose(logits(seen[1], *new).mean(), logits(seen[0], *old).mean(), atol=1e-3)

def test_a_run_has_them_and_leaves_home_alone(tmp_path):
    table = run_table1(preset='tiny', methods=['zscore', 'coral'], out=tmp_path/'run')
    found = table.aurocs.pivot_table(index='method', columns=['train_domain', 'test_domain'], values='auroc')
    for domain in ('film', 'digital'):
        assert found[domain, domain].nunique() == 1
    rows = table.scores.query('train_domain == "film" and test_domain == "digital"')
    means = rows.groupby('method').logit.mean()
    assert means.nunique() == 3

def test_a_network_without_batch_norm_may_be_aligned():
    assert choose_settings('tiny', arch=['alexnet'], methods=['zscore', 'coral'])['methods'] == ['baseline', 'zscore', 'coral']

"One training step of the learner equals the published equations, written out here in plain PyTorch, in float64"
import copy
from functools import partial

import pytest, torch
import torch.nn.functional as F
from fastai.callback.core import Callback

from mammo_uda.core.training import seed_all
from mammo_uda.data.blocks import shots, unpaired_dls
from mammo_uda.data.phantom import phantom_store
from mammo_uda.translate.cyclegan import TERMS
from mammo_uda.translate.networks import Generator, n_params, patch_discriminator
from mammo_uda.translate.recipes import translation_learner

BLOCKS, LR, CYCLE, IDENTITY = 2, 2e-4, 10., .5

def norm(x):
    "Instance norm (Ulyanov et al. 2016), no affine parameters"
    mean, var = x.mean((2, 3), keepdim=True), x.var((2, 3), unbiased=False, keepdim=True)
    return (x-mean)/(var + 1e-5).sqrt()

def reflect(x, n): return F.pad(x, (n,)*4, mode='reflect')

def generator(weights, x):
    "ResNet generator of Johnson et al. (2016) as Zhu et al. (2017) use it; image in -1..1"
    w = iter(weights)
    def conv(x, **kwargs): return F.conv2d(x, next(w), next(w), **kwargs)
    def up(x): return F.conv_transpose2d(x, next(w), next(w), stride=2, padding=1, output_padding=1)
    x = norm(conv(reflect(x, 3))).relu()
    for _ in range(2): x = norm(conv(x, stride=2, padding=1)).relu()
    for _ in range(BLOCKS):
        y = norm(conv(reflect(x, 1))).relu()
        x = x + norm(conv(reflect(y, 1)))
    for _ in range(2): x = norm(up(x)).relu()
    return conv(reflect(x, 3)).tanh()

def discriminator(weights, x):
    "PatchGAN of 70 x 70 px (Isola et al. 2017)"
    w = iter(weights)
    def conv(x, stride): return F.conv2d(x, next(w), next(w), stride=stride, padding=1)
    x = F.leaky_relu(conv(x, 2), .2)
    for stride in (2, 2, 1): x = F.leaky_relu(norm(conv(x, stride)), .2)
    return conv(x, 1)

def adam(weights, grads):
    "First step of Adam (Kingma and Ba 2015): the corrected moments are the gradient and its square"
    return [w - LR*g/(g.abs() + 1e-8) for w, g in zip(weights, grads)]

def mse(x, target): return ((x-target)**2).mean()
def l1(x, y): return (x-y).abs().mean()

def published_step(nets, a, b):
    "Losses, gradients and new weights; generators first, then discriminators on the images from before, pools empty"
    w = {name: [p.detach().clone().requires_grad_() for p in net.parameters()] for name, net in nets.items()}
    G_AB, G_BA = partial(generator, w['G_AB']), partial(generator, w['G_BA'])
    D_A, D_B = partial(discriminator, w['D_A']), partial(discriminator, w['D_B'])
    a, b = 2*a-1, 2*b-1
    fake_b, fake_a = G_AB(a), G_BA(b)
    losses = dict(gan_ab=mse(D_B(fake_b), 1.), gan_ba=mse(D_A(fake_a), 1.),
                  cycle_a=CYCLE*l1(G_BA(fake_b), a), cycle_b=CYCLE*l1(G_AB(fake_a), b),
                  identity_a=CYCLE*IDENTITY*l1(G_BA(a), a), identity_b=CYCLE*IDENTITY*l1(G_AB(b), b),
                  d_a=.5*(mse(D_A(a), 1.) + mse(D_A(fake_a.detach()), 0.)), d_b=.5*(mse(D_B(b), 1.) + mse(D_B(fake_b.detach()), 0.)))
    grads = {}
    for names, mine in ((('G_AB', 'G_BA'), TERMS[:6]), (('D_A',), ('d_a',)), (('D_B',), ('d_b',))):
        weights = [p for name in names for p in w[name]]
        found = iter(torch.autograd.grad(sum(losses[term] for term in mine), weights, retain_graph=True))
        grads |= {name: [next(found) for _ in w[name]] for name in names}
    return losses, grads, {name: adam(w[name], grads[name]) for name in w}

class Witness(Callback):
    "Keeps the batch, the weights before the step, and the gradients"
    order = 100
    def before_batch(self):
        self.learn.xb = tuple(torch.as_tensor(x).as_subclass(torch.Tensor).double() for x in self.xb)
        self.batch, self.before = self.xb, copy.deepcopy(self.model)
    def before_step(self): self.grads = {name: [p.grad.clone() for p in net.parameters()] for name, net in nets_of(self.model).items()}
    def after_step(self): self.learn.loss = self.loss.float() # fastai's running mean of the loss is float32

def nets_of(model): return {name: getattr(model, name) for name in ('G_AB', 'G_BA', 'D_A', 'D_B')}

def same(ours, theirs): torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-8)

@pytest.mark.parametrize('bs', [1, 3])
def test_a_step_of_the_reference_recipe(tmp_path, bs):
    stores = [phantom_store(tmp_path/d, d, patients=2, size=64) for d in ('film', 'digital')]
    seed_all(0)
    dls = unpaired_dls(*map(shots, stores), bs=bs, steps=1)
    witness = Witness()
    learn = translation_learner(dls, 'uda-plain', filters=4, blocks=BLOCKS, d_filters=4, cbs=witness)
    learn.model.double()
    with learn.no_bar(), learn.no_logging(): learn.fit(1, LR)
    losses, grads, after = published_step(nets_of(witness.before), *witness.batch)
    for term in TERMS: same(learn.loss_func.terms[term], losses[term].detach())
    for name, net in nets_of(learn.model).items():
        for ours, theirs in zip(witness.grads[name], grads[name]): same(ours, theirs)
        for ours, theirs, before, grad in zip(net.parameters(), after[name], nets_of(witness.before)[name].parameters(), witness.grads[name]):
            same(ours.detach(), adam([before.detach()], [grad])[0])
            # A bias before an instance norm has no effect; Adam makes a step of the rounding that is its gradient.
            felt = grad.abs() > 1e-7
            same(ours.detach()[felt], theirs.detach()[felt])
            assert felt.all() or before.ndim == 1

@pytest.mark.parametrize('channels, G, D', [(3, 11_378_179, 2_764_737), (1, 11_365_633, 2_762_689)])
def test_networks_have_the_reference_s_parameter_counts(channels, G, D):
    assert (n_params(Generator(channels, how='transposed')), n_params(patch_discriminator(channels))) == (G, D)

"""Seconds of a training step, ours beside the reference's loop: python benchmarks/gan.py [--device cuda] [--rounds N] [--curves]

Both run in turn in one process, on the same images, with the same architecture, batch and size. `plain` is written here after the
published code of Zhu et al. (2017): two optimizers, generators first, then discriminators. It computes in float32, TF32 off on a GPU.
Ours trains in bfloat16 where the device multiplies it natively, and translates in float32. `--curves` compares losses over 500 steps."""
import argparse, itertools, statistics, tempfile, time
from pathlib import Path

import pandas as pd
import torch
import torch.nn.functional as F
from torch import nn
from fastai.callback.core import Callback

from mammo_uda.core.training import Precision, native_bfloat16, seed_all
from mammo_uda.data.blocks import shots, unpaired_dls
from mammo_uda.data.phantom import DOMAINS, phantom_store
from mammo_uda.translate.losses import HistoryPool
from mammo_uda.translate.recipes import translation_learner
from mammo_uda.translate.translator import Translator

class Block(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.layers = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(n, n, 3), nn.InstanceNorm2d(n), nn.ReLU(True),
                                    nn.ReflectionPad2d(1), nn.Conv2d(n, n, 3), nn.InstanceNorm2d(n))
    def forward(self, x): return x + self.layers(x)

def plain_generator(f, blocks, how):
    def down(n): return [nn.Conv2d(n, 2*n, 3, 2, 1), nn.InstanceNorm2d(2*n), nn.ReLU(True)]
    def up(n):
        if how == 'transposed': return [nn.ConvTranspose2d(n, n//2, 3, 2, 1, 1), nn.InstanceNorm2d(n//2), nn.ReLU(True)]
        return [nn.Upsample(scale_factor=2), nn.ReflectionPad2d(1), nn.Conv2d(n, n//2, 3), nn.InstanceNorm2d(n//2), nn.ReLU(True)]
    return nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(1, f, 7), nn.InstanceNorm2d(f), nn.ReLU(True), *down(f), *down(2*f),
                         *[Block(4*f) for _ in range(blocks)], *up(4*f), *up(2*f), nn.ReflectionPad2d(3), nn.Conv2d(f, 1, 7), nn.Tanh())

def plain_discriminator(f, layers):
    widths = [f*min(2**i, 8) for i in range(layers+1)]
    body = [l for i, (a, b) in enumerate(zip(widths, widths[1:]), 1)
            for l in (nn.Conv2d(a, b, 4, 2 if i < layers else 1, 1), nn.InstanceNorm2d(b), nn.LeakyReLU(.2, True))]
    return nn.Sequential(nn.Conv2d(1, f, 4, 2, 1), nn.LeakyReLU(.2, True), *body, nn.Conv2d(widths[-1], 1, 4, 1, 1))

def published_init(net):
    for m in net.modules():
        if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d)): nn.init.normal_(m.weight, 0, .02); nn.init.zeros_(m.bias)
    return net

class Plain:
    "The reference's loop"
    def __init__(self, device, how, filters, blocks, d_filters, d_layers):
        self.G_AB, self.G_BA = [published_init(plain_generator(filters, blocks, how)).to(device) for _ in 'AB']
        self.D_A, self.D_B = [published_init(plain_discriminator(d_filters, d_layers)).to(device) for _ in 'AB']
        self.pool_a, self.pool_b = HistoryPool().to(device), HistoryPool().to(device)
        self.opt_G, self.opt_D = [torch.optim.Adam(itertools.chain(*[n.parameters() for n in nets]), 2e-4, (.5, .999))
                                  for nets in ((self.G_AB, self.G_BA), (self.D_A, self.D_B))]

    def step(self, a, b):
        a, b = a*2-1, b*2-1
        fake_b, fake_a = self.G_AB(a), self.G_BA(b)
        rec_a, rec_b = self.G_BA(fake_b), self.G_AB(fake_a)
        for D in (self.D_A, self.D_B): D.requires_grad_(False)
        self.opt_G.zero_grad()
        def real(D, x):
            verdict = D(x)
            return F.mse_loss(verdict, torch.ones_like(verdict))
        terms = dict(gan_ab=real(self.D_B, fake_b), gan_ba=real(self.D_A, fake_a), cycle_a=10*F.l1_loss(rec_a, a), cycle_b=10*F.l1_loss(rec_b, b),
                     identity_a=5*F.l1_loss(self.G_BA(a), a), identity_b=5*F.l1_loss(self.G_AB(b), b))
        sum(terms.values()).backward()
        self.opt_G.step()
        for D in (self.D_A, self.D_B): D.requires_grad_(True)
        self.opt_D.zero_grad()
        for name, D, x, fake, pool in (('d_a', self.D_A, a, fake_a, self.pool_a), ('d_b', self.D_B, b, fake_b, self.pool_b)):
            verdict = D(pool(fake.detach()))
            terms[name] = .5*(real(D, x) + F.mse_loss(verdict, torch.zeros_like(verdict)))
            terms[name].backward()
        self.opt_D.step()
        return terms

def wait(device):
    if device.type == 'cuda': torch.cuda.synchronize()

class Clock(Callback):
    "Seconds from the first to the last step of each fit, the waits for the device included"
    def before_fit(self): self.start = None
    def after_batch(self):
        if self.iter == 1: wait(self.dls.device); self.start = time.perf_counter()
        if self.iter == self.n_iter-1: wait(self.dls.device); self.seconds = (time.perf_counter()-self.start)/(self.n_iter-2)

def ours(learn, steps):
    learn.dls.train.steps = steps+2
    with learn.no_bar(), learn.no_logging(): learn.fit(1)
    return learn.clock.seconds

def plainly(plain, dls, steps):
    dls.train.steps = steps+2
    for i, (a, b) in enumerate(dls.train):
        plain.step(torch.Tensor(a), torch.Tensor(b))
        if i == 1: wait(dls.device); start = time.perf_counter()
    wait(dls.device)
    return (time.perf_counter()-start)/steps

@torch.no_grad()
def seconds_to_translate(G, x):
    for _ in range(2): G(x)
    wait(x.device); start = time.perf_counter()
    for _ in range(5): G(x)
    wait(x.device)
    return (time.perf_counter()-start)/5/len(x)

def compare(stores, device, recipe, size, bs, filters, blocks, d_filters, d_layers, rounds, steps):
    "Median over the rounds of both, and of the ratio within a round"
    def dls(): return unpaired_dls(*map(shots, stores), bs=bs, steps=2, device=device)
    seed_all(0)
    plain = Plain(device, 'transposed' if recipe == 'uda-plain' else 'resize', filters, blocks, d_filters, d_layers)
    learn = translation_learner(dls(), recipe, filters, blocks, d_filters, d_layers, cbs=Clock())
    plainly(plain, dls(), 1); ours(learn, 1)
    pairs = [(plainly(plain, dls(), steps), ours(learn, steps)) for _ in range(rounds)]
    a, b, ratio = [statistics.median(o) for o in zip(*[(p, o, p/o) for p, o in pairs])]
    x = torch.from_numpy(stores[0][:bs])[:,None].to(device)*2-1
    learn.model.eval()
    turns = [(seconds_to_translate(plain.G_AB, x), seconds_to_translate(learn.model.G_AB, x)) for _ in range(rounds)]
    c, d, faster = [statistics.median(o) for o in zip(*[(p, o, p/o) for p, o in turns])]
    print(f'| {recipe} | {filters} filters, {blocks} blocks | {size} px, batch {bs} | {a:.3f} | {b:.3f} | {ratio:.2f} | {c:.4f} | {d:.4f} | {faster:.2f} |', flush=True)
    return b

def paper_hours(step, bs, images=4600, epochs=200):
    "How long the paper's training would take: every image of the larger set once an epoch"
    return step*-(-images//bs)*epochs/3600

def curves(stores, device, steps=500, last=100, seeds=3):
    "Mean of each loss over the last steps, by seed"
    net, rows = dict(filters=16, blocks=3, d_filters=32, d_layers=2), []
    for seed in range(seeds):
        for name in ('plain', 'ours, float32', 'ours, bfloat16'):
            seed_all(seed)
            dls = unpaired_dls(*map(shots, stores), bs=2, steps=steps, device=device)
            if name == 'plain':
                plain = Plain(device, 'transposed', **net)
                terms = [plain.step(torch.Tensor(a), torch.Tensor(b)) for a, b in dls.train]
            else:
                log = Terms()
                learn = translation_learner(dls, 'uda-plain', **net, cbs=log)
                if name == 'ours, float32': learn.remove_cb(Precision)
                with learn.no_bar(), learn.no_logging(): learn.fit(1)
                terms = log.terms
            rows += [dict(what=name, seed=seed) | {k: float(v.detach()) for k, v in step.items()} for step in terms[-last:]]
    return pd.DataFrame(rows).groupby(['what', 'seed'], sort=False).mean().groupby('what', sort=False).agg(['mean', 'std'])

class Terms(Callback):
    "Keeps all losses of all steps"
    def before_fit(self): self.terms = []
    def after_loss(self): self.terms.append({k: v.detach() for k, v in self.loss_func.terms.items()})

if __name__ == '__main__':
    p = argparse.ArgumentParser()
    p.add_argument('--device', default='cpu'); p.add_argument('--rounds', type=int, default=5); p.add_argument('--steps', type=int, default=5)
    p.add_argument('--curves', action='store_true')
    args = p.parse_args()
    device = torch.device(args.device)
    def stores(size, patients=8): return [phantom_store(Path(tempfile.mkdtemp(dir=folder))/d, d, patients, size) for d in DOMAINS]
    small, large = dict(filters=16, blocks=3, d_filters=32, d_layers=2), dict(filters=64, blocks=9, d_filters=64, d_layers=3)
    cases = [(small, 64, 4), (small, 128, 4), (large, 128, 1)] if device.type == 'cpu' else [(large, 256, 1), (large, 256, 4), (large, 256, 16), (large, 512, 1), (large, 512, 4)]
    print(f'{torch.get_num_threads()} threads, bfloat16 native: {native_bfloat16(device)}')
    with tempfile.TemporaryDirectory() as folder:
        if args.curves: print(curves(stores(64, 100), device).T.unstack().round(3).to_string())
        else:
            print('| recipe | networks | images | step, plain, s | ours, s | ratio | an image, plain, s | ours, s | ratio |\n|---|---|---|---|---|---|---|---|---|')
            seconds = {(recipe, size, bs): compare(stores(size), device, recipe, size, bs, **net, rounds=args.rounds, steps=args.steps)
                       for net, size, bs in cases for recipe in ('uda-plain', 'uda-masked')}
            hours = {bs: paper_hours(step, bs) for (recipe, size, bs), step in seconds.items() if (recipe, size) == ('uda-plain', 256)}
            if hours: print(f'4,600 + 4,250 images of 256 px, 200 epochs: {min(hours.values()):.1f} h at batch {min(hours, key=hours.get)}, which is the fastest of {sorted(hours)}')

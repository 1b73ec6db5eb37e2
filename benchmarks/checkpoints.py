"""Share of a training's time that goes into checkpoints, at the default's sizes: python benchmarks/checkpoints.py"""
import tempfile, time
from pathlib import Path

from mammo_uda.classify.learner import classifier_learner
from mammo_uda.classify.networks import make_net
from mammo_uda.core.training import Resume, seed_all
from mammo_uda.data.blocks import labelled_dls, shots, unpaired_dls
from mammo_uda.data.phantom import DOMAINS, phantom_store
from mammo_uda.experiment.settings import PRESETS
from mammo_uda.translate.recipes import translation_learner

class Timed(Resume):
    "Counts the seconds it takes"
    seconds = 0.
    def after_epoch(self):
        start = time.perf_counter()
        super().after_epoch()
        self.seconds += time.perf_counter()-start

def share(learn, epochs, resume):
    start = time.perf_counter()
    with learn.no_bar(), learn.no_logging(): learn.fit(epochs)
    total = time.perf_counter()-start
    return f'{resume.seconds:.2f} s of {total:.1f} s, {resume.seconds/total:.1%}'

settings = PRESETS['default']
gan, fit, size = settings['gan'], settings['classifier'], settings['size']
with tempfile.TemporaryDirectory() as tmp:
    tmp = Path(tmp)
    film, digital = [shots(phantom_store(tmp/d, d, 50, size)) for d in DOMAINS]
    seed_all(0)
    resume = Timed(tmp/'gan.pt', 0)
    dls = unpaired_dls(film, digital, bs=gan['bs'], steps=gan['steps'])
    nets = {k: gan[k] for k in ('filters','blocks','d_filters','d_layers')}
    print('Cycle-GAN:', share(translation_learner(dls, **nets, cbs=resume), 4, resume))
    for arch in settings['archs']:
        resume = Timed(tmp/f'{arch}.pt', 0)
        dls = labelled_dls(film, bs=fit['bs'], steps=fit['steps'])
        print(f'{arch}:', share(classifier_learner(dls, make_net(arch, 'none'), cbs=resume), fit['start'][arch], resume))

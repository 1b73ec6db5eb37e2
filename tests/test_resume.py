"Every kind of training that is killed ends as if nothing had been, to the bit; a checkpoint that is of no use says why"
import errno, json, os, pickle, resource, signal, subprocess, sys
from pathlib import Path

import numpy as np
import pytest
import torch
from fastcore.foundation import L
from fastai.callback.core import Callback
from fastai.callback.tracker import EarlyStoppingCallback, SaveModelCallback
from torch import nn

from mammo_uda.classify.learner import classifier_learner, save_classifier
from mammo_uda.classify.networks import ARCHS, Arch, make_net
from mammo_uda.core import training
from mammo_uda.core.files import UserError
from mammo_uda.core.training import Resume, read_checkpoint, seed_all, write_checkpoint
from mammo_uda.data.blocks import labelled_dls, shots
from mammo_uda.data.phantom import phantom_store
from mammo_uda.data.store import PixelStore
from mammo_uda.experiment import tasks
from mammo_uda.experiment.methods import METHODS
from mammo_uda.experiment.plan import in_order
from mammo_uda.experiment.settings import choose_settings, claim_folder
from mammo_uda.experiment.sources import phantom_domains
from mammo_uda.experiment.study import plan
from mammo_uda.experiment.table1 import run_table1
from mammo_uda.translate.recipes import RECIPES
from mammo_uda.translate.translator import load_translator
from values import method, network, recipe as by_recipe

GAN = dict(filters=4, blocks=1, d_filters=4, d_layers=1, epochs=3, bs=2, seed=0, device='cpu')
FIT = dict(epochs=2, bs=8, seed=0, device='cpu')

def silent(done, total): pass

def unseeded(settings): return {k: v for k, v in settings.items() if k != 'seed'}

def pair(stores): return dict(a=stores['film'], b=stores['digital'], domains=['film', 'digital'])

@pytest.fixture(scope='module', autouse=True)
def one_thread():
    "Sums depend on the number of threads"
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)

@pytest.fixture(scope='module')
def stores(tmp_path_factory):
    tmp = tmp_path_factory.mktemp('stores')
    return {d: phantom_store(tmp/d, d, patients=6, size=32).folder for d in ('film','digital')}

@pytest.fixture(scope='module')
def started(tmp_path_factory):
    "A classifier of each network to go on from"
    seed_all(0)
    tmp = tmp_path_factory.mktemp('started')
    for arch in ARCHS: save_classifier(make_net(arch), tmp/arch, arch, 32, precision='float32')
    return tmp

# --- trainings in a process of their own, which is killed

NURSERY = """
import os, pickle, signal, sys, torch
from mammo_uda.experiment import tasks
from mammo_uda.experiment.methods import METHODS
torch.set_num_threads(1)
signal.signal(signal.SIGINT, signal.default_int_handler) # in the background of a shell it would be deaf to it

def die(sig, at, when):
    "A progress that dies at a step; or before or after a file gets its name"
    count, move = [0], os.replace
    def reached():
        count[0] += 1
        if count[0] == at: os.kill(os.getpid(), sig)
    def replace(*args):
        if when == 'before a move': reached()
        move(*args)
        if when == 'after a move': reached()
    os.replace = replace
    return lambda done, total: reached() if when == 'at a step' else None

while True:
    name, kwargs, death = pickle.load(sys.stdin.buffer)
    if not (pid := os.fork()): # nothing has been computed yet, so there are no threads to lose
        try: getattr(tasks, name)(progress=die(**death), **kwargs)
        except KeyboardInterrupt: # as Python ends, unless a library has had a word at its end
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""

@pytest.fixture(scope='module')
def kill():
    "A function that starts a step and kills it"
    command = [sys.executable, '-W', 'ignore', '-c', NURSERY]
    nursery = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    def kill(name, at, sig=signal.SIGKILL, when='at a step', **kwargs):
        pickle.dump((name, kwargs, dict(sig=sig, at=at, when=when)), nursery.stdin)
        nursery.stdin.flush()
        assert int(nursery.stdout.readline()) == -sig
    yield kill
    nursery.kill()
    nursery.communicate()

def content(folder): return {str(o.relative_to(folder)): o.read_bytes() for o in folder.rglob('*') if o.is_file()}

def differences(a, b):
    "Names of files that are not the same in both folders"
    a, b = content(a), content(b)
    return [name for name in a.keys() | b.keys() if a.get(name) != b.get(name)]

@pytest.fixture(scope='module')
def unbroken(tmp_path_factory):
    "A function that gives the folder of a step that nothing disturbed"
    made = {}
    def unbroken(name, **kwargs):
        key = repr((name, sorted(kwargs.items())))
        if key not in made:
            made[key] = tmp_path_factory.mktemp('unbroken')
            getattr(tasks, name)(out=made[key], progress=silent, **kwargs)
        return made[key]
    return unbroken

def go_on(name, out, **kwargs):
    "Starts a step again, as `Child` does; the first step that it trains"
    for old in out.rglob('*.tmp'): old.unlink()
    steps = []
    getattr(tasks, name)(out=out, progress=lambda done, total: steps.append(done), **kwargs)
    return steps[0]

@pytest.fixture
def survives(kill, unbroken, tmp_path):
    "A function that kills a step, starts it again and compares all that it leaves with that of an unbroken one"
    def survives(name, at, sig=signal.SIGKILL, when='at a step', **kwargs):
        kill(name, at, sig, when, out=tmp_path, **kwargs)
        begun = (tmp_path/'checkpoint.pt').exists()
        assert begun == (go_on(name, tmp_path, **kwargs) > 1)
        assert differences(unbroken(name, **kwargs), tmp_path) == []
    return survives

@pytest.mark.parametrize('steps', [2, None])
@pytest.mark.parametrize('recipe', [name for name, o in RECIPES.items() if o.trained and name == o.name])
def test_every_recipe_goes_on(survives, stores, started, tmp_path, recipe, steps):
    judge = dict(classifier=started/'alexnet_bn', network=network('alexnet_bn')['network'], source='film') if RECIPES[recipe].answers else {}
    each = steps or len(shots(PixelStore(stores['film']), split='train'))//GAN['bs']
    survives('train_gan', 2*each + 1, **pair(stores), **GAN, **judge, **by_recipe(recipe), steps=steps)
    assert len((tmp_path/'losses.csv').read_text().splitlines()) == 1 + GAN['epochs']
    assert list(tmp_path.glob('sample-*.png'))

@pytest.mark.parametrize('arch', ARCHS)
def test_the_start_of_every_network_goes_on(survives, stores, arch):
    survives('start_classifier', 3, **FIT, store=stores['film'], **network(arch), weights='none', steps=2)

@pytest.mark.parametrize('arch', ARCHS)
def test_the_end_of_every_network_goes_on(survives, stores, started, tmp_path, arch):
    each = len(shots(PixelStore(stores['film']), split='train'))//FIT['bs']
    where = dict(started=started/arch, source=stores['film']) | method('baseline') | network(arch)
    survives('train_classifier', each+1, **unseeded(FIT), **where, steps=None)
    assert (tmp_path/'classifier.json').exists()

SHORT = GAN | by_recipe('uda') | dict(steps=2)

@pytest.mark.parametrize('when', ['before a move', 'after a move'])
@pytest.mark.parametrize('at', range(2, 14, 4))
def test_files_that_are_just_being_written(survives, stores, when, at):
    survives('train_gan', at, when=when, **pair(stores), **SHORT)

@pytest.mark.parametrize('sig', [signal.SIGTERM, signal.SIGINT])
def test_a_signal_that_is_heard(survives, stores, sig): survives('train_gan', 5, sig, **pair(stores), **SHORT)

def test_a_training_that_is_killed_in_each_epoch(kill, unbroken, stores, tmp_path):
    for at in (1, 4, 3): kill('train_gan', at, out=tmp_path, **pair(stores), **SHORT) # counted from where it goes on
    assert go_on('train_gan', tmp_path, **pair(stores), **SHORT) == 5
    assert differences(unbroken('train_gan', **pair(stores), **SHORT), tmp_path) == []

# --- learners in fastai's ways

class Stop(Exception): pass

def stop_in(epoch):
    def stop(self):
        if self.training and self.epoch == epoch and self.iter == 1: raise Stop('here')
    return Callback(after_batch=stop)

def small():
    "All that has a state: weights, batch norm, dropout"
    layers = nn.Linear(64, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 1)
    return nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), *layers)

def fitted(stores, folder, fit, *cbs):
    "A classifier with a validation set, trained by `fit`"
    seed_all(0)
    items = shots(PixelStore(stores['film']), split='train')
    dls = labelled_dls(items[8:], items[:8], bs=4, device='cpu')
    learn = classifier_learner(dls, small(), cbs=[Resume(folder/'checkpoint.pt'), *cbs])
    learn.path = folder
    folder.mkdir(exist_ok=True)
    with learn.no_bar(), learn.no_logging(): fit(learn)
    return learn

FITS = dict(
    one_cycle=lambda learn: learn.fit_one_cycle(4, 1e-2),
    flat_lin=lambda learn: learn.fit_flat_lin(4),
    flat_cos=lambda learn: learn.fit_flat_cos(4),
    plain=lambda learn: learn.fit(4),
    sgdr=lambda learn: learn.fit_sgdr(2, 1),
    fine_tune=lambda learn: learn.fine_tune(3, freeze_epochs=2))

def same(a, b):
    a, b = [learn.model.state_dict().values() for learn in (a, b)]
    return all(torch.equal(p, q) for p, q in zip(a, b))

def best(): return [SaveModelCallback(fname='best'), EarlyStoppingCallback(patience=9)]

def known(learn):
    "All that is the same in a training that was not stopped"
    seen = learn.recorder
    return dict(history=learn.resume.history, lrs=seen.lrs, iters=seen.iters, losses=[o.item() for o in seen.losses],
                best=learn.save_model.best, wait=learn.early_stopping.wait, train_iter=learn.train_iter,
                opt=training.plain(learn.opt.state_dict()['param_groups']))

@pytest.mark.parametrize('name', FITS)
@pytest.mark.parametrize('epoch', [1, 2])
def test_every_schedule_goes_on_with_all_that_a_learner_knows(stores, tmp_path, capsys, name, epoch):
    whole = fitted(stores, tmp_path/'whole', FITS[name], *best())
    with pytest.raises(Stop): fitted(stores, tmp_path/'broken', FITS[name], *best(), stop_in(epoch))
    again = fitted(stores, tmp_path/'broken', FITS[name], *best())
    assert same(whole, again)
    assert known(whole) == known(again)

def test_what_is_done_after_a_training_leaves_its_weights_and_its_checkpoint(stores, tmp_path):
    learn = fitted(stores, tmp_path, FITS['one_cycle'])
    weights, kept = [p.clone() for p in learn.model.parameters()], (tmp_path/'checkpoint.pt').read_bytes()
    with learn.no_bar(), learn.no_logging():
        learn.validate()
        learn.lr_find(show_plot=False, num_it=8)
        learn.validate(dl=learn.dls.train)
    assert all(torch.equal(p, q) for p, q in zip(weights, learn.model.parameters()))
    assert (tmp_path/'checkpoint.pt').read_bytes() == kept

def test_a_second_fit_begins_where_the_first_has_ended(stores, tmp_path):
    once = fitted(stores, tmp_path, lambda learn: learn.fit(2))
    twice = fitted(stores, tmp_path/'twice', lambda learn: [learn.fit(2), learn.fit(2)])
    assert not same(once, twice)
    again = fitted(stores, tmp_path/'twice', lambda learn: [learn.fit(2), learn.fit(2)]) # goes on in the second
    assert same(twice, again)

# --- checkpoints that cannot be used

@pytest.fixture(scope='module')
def checkpoint(stores, tmp_path_factory):
    "Of a training that was stopped in its third epoch"
    folder = tmp_path_factory.mktemp('stopped')
    with pytest.raises(Stop): fitted(stores, folder, FITS['one_cycle'], stop_in(2))
    return (folder/'checkpoint.pt').read_bytes()

def turned(data, at): return data[:at] + bytes([data[at] ^ 1]) + data[at+1:]

DAMAGE = dict(
    nothing=lambda data: b'',
    beginning=lambda data: data[:100],
    shortened=lambda data: data[:-1],
    end=lambda data: data[len(data)//3:],
    zeros=lambda data: bytes(len(data)),
    a_bit_of_a_name=lambda data: turned(data, data.index(b'epoch')),
    a_bit_of_a_weight=lambda data: turned(data, len(data)//2),
    text=lambda data: b'Dear reader,')

@pytest.mark.parametrize('damage', DAMAGE)
def test_damage_is_called_damage(stores, tmp_path, checkpoint, damage):
    (tmp_path/'checkpoint.pt').write_bytes(DAMAGE[damage](checkpoint))
    with pytest.raises(UserError, match='^checkpoint.pt in .* is damaged: remove it, and the training begins again.$'):
        fitted(stores, tmp_path, FITS['one_cycle'])

def other_net(state): state['model'] = nn.Linear(3, 3).state_dict()
def other_opt(state): state['opt']['param_groups'] *= 2
def other_seed(state): state['about']['seed'] = 3
def other_length(state): state['about']['epochs'] = 9
def other_precision(state):
    about = state['about']
    about['precision'] = 'float32' if about['precision'] == 'bfloat16' else 'bfloat16'
def other_version(state): state.pop('about')

@pytest.mark.parametrize('spoil, words', [
    (other_net,       'is of another network'),
    (other_opt,       'is of another network or optimizer'),
    (other_seed,      'was begun with seed 3, and this training has 0: go on with 3, or'),
    (other_length,    'was begun with epochs 9, and this training has 4'),
    (other_precision, 'was begun with precision '),
    (other_version,   'was written by another version of mammo_uda')])
def test_other_reasons_have_their_own_sentence(stores, tmp_path, checkpoint, spoil, words):
    path = tmp_path/'checkpoint.pt'
    path.write_bytes(checkpoint)
    state = read_checkpoint(path)
    spoil(state)
    write_checkpoint(path, state)
    with pytest.raises(UserError) as e: fitted(stores, tmp_path, FITS['one_cycle'])
    said = str(e.value)
    assert words in said and 'damaged' not in said and str(tmp_path) not in said
    assert said.endswith('remove it, and the training begins again.')

class Evil:
    def __reduce__(self): return os.mkdir, ('ran',)

def test_nothing_in_a_checkpoint_can_run(stores, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(Evil(), tmp_path/'checkpoint.pt')
    with pytest.raises(UserError, match='holds more than numbers and tensors: remove it'):
        fitted(stores, tmp_path, FITS['one_cycle'])
    assert not (tmp_path/'ran').exists()

def test_what_cannot_be_read_is_found_when_it_is_written(tmp_path):
    path = tmp_path/'a.pt'
    write_checkpoint(path, dict(a=1))
    with pytest.raises(UserError, match='^a.pt in .* cannot be written: what was written holds more than numbers'):
        write_checkpoint(path, dict(a=Path('b')))
    assert read_checkpoint(path) == dict(a=1) and [o.name for o in tmp_path.iterdir()] == ['a.pt']

def test_a_full_disk_costs_the_new_checkpoint_only(tmp_path):
    path = tmp_path/'a.pt'
    write_checkpoint(path, dict(a=1))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1])) # as a disk with so much room
    try:
        with pytest.raises(UserError, match=rf'^a.pt in .* cannot be written .{os.strerror(errno.EFBIG)}.: make'):
            write_checkpoint(path, dict(a=torch.zeros(10**6)))
    finally: resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert read_checkpoint(path) == dict(a=1) and [o.name for o in tmp_path.iterdir()] == ['a.pt']

def test_a_checkpoint_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr(os, 'fsync', lambda f: done.append('synced'))
    move = os.replace
    monkeypatch.setattr(os, 'replace', lambda *args: (done.append('moved'), move(*args)))
    write_checkpoint(tmp_path/'a.pt', dict(a=1))
    assert done == ['synced', 'moved', 'synced']

def test_a_checkpoint_that_is_half_written_is_not_taken_for_whole(stores, tmp_path, monkeypatch):
    settings = pair(stores) | SHORT
    def stop(done, total):
        if done == 3: raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt): tasks.train_gan(tmp_path, stop, **settings)
    before = (tmp_path/'checkpoint.pt').read_bytes()
    def cut(state, f):
        f.write(before[:100])
        raise KeyboardInterrupt
    monkeypatch.setattr(torch, 'save', cut)
    with pytest.raises(KeyboardInterrupt): tasks.train_gan(tmp_path, silent, **settings)
    assert (tmp_path/'checkpoint.pt').read_bytes() == before

# --- precision

@pytest.fixture
def in_bfloat16(monkeypatch):
    "A processor that multiplies bfloat16"
    monkeypatch.setattr(training, 'native_bfloat16', lambda device: True)

def precisions(folder): return {o.name: json.loads(o.read_text())['precision'] for o in folder.rglob('translator.json')}

def test_the_precision_of_a_training_is_written_down(stores, tmp_path, monkeypatch, in_bfloat16):
    monkeypatch.setitem(ARCHS, 'small', Arch('a small one', small))
    for k in ('gan','start','end'): (tmp_path/k).mkdir()
    tasks.train_gan(tmp_path/'gan', silent, **pair(stores), **SHORT | dict(epochs=1))
    tasks.start_classifier(tmp_path/'start', silent, stores['film'], weights='none', **network('small'), **FIT, steps=1,
                            precision='float32')
    train = dict(**unseeded(FIT), **method('baseline'), **network('small'), source=stores['film'], steps=1)
    tasks.train_classifier(tmp_path/'end', silent, started=tmp_path/'start', **train)
    about = json.loads((tmp_path/'end'/'classifier.json').read_text())
    assert precisions(tmp_path/'gan') == {'translator.json': 'bfloat16'}
    assert load_translator(tmp_path/'gan'/'film-digital', 'cpu').precision == 'bfloat16'
    assert (about['started_in'], about['precision']) == ('float32', 'bfloat16')

def test_a_training_is_not_continued_in_another_precision(stores, tmp_path, monkeypatch, in_bfloat16):
    def stop(done, total):
        if done == 3: raise Stop('here')
    with pytest.raises(Stop): tasks.train_gan(tmp_path, stop, **pair(stores), **SHORT)
    assert read_checkpoint(tmp_path/'checkpoint.pt')['about']['precision'] == 'bfloat16'
    monkeypatch.setattr(training, 'native_bfloat16', lambda device: False)
    with pytest.raises(UserError, match='was begun with precision bfloat16, and this training has float32: go on with'):
        tasks.train_gan(tmp_path, silent, **pair(stores), **SHORT)
    tasks.train_gan(tmp_path, silent, **pair(stores), **SHORT, precision='bfloat16')
    assert precisions(tmp_path) == {'translator.json': 'bfloat16'}

def test_a_run_that_was_begun_in_float32_stays_in_it_on_any_machine(unbroken, stores, tmp_path, in_bfloat16):
    assert choose_settings('tiny')['precision'] == 'bfloat16'
    tasks.train_gan(tmp_path, silent, **pair(stores), **SHORT, precision='float32')
    assert differences(unbroken('train_gan', **pair(stores), **SHORT, precision='float32'), tmp_path) == []

@pytest.mark.parametrize('precision', ['float32','bfloat16'])
def test_every_training_of_a_plan_has_the_precision_of_the_run(precision):
    archs, methods = [o for o in ARCHS if not ARCHS[o].probe], [*RECIPES, *(m for m, o in METHODS.items() if not o.network)]
    wanted = plan(choose_settings('tiny', methods=methods, arch=archs) | dict(precision=precision), phantom_domains())
    steps = [s for s in in_order(wanted.scores) if s.fn.split(':')[1].startswith(('train', 'start'))]
    assert len(steps) > 20 and {s.config['precision'] for s in steps} == {precision}

def test_a_run_that_was_begun_in_bfloat16_says_so_where_there_is_none(tmp_path, monkeypatch):
    monkeypatch.setattr(training, 'native_bfloat16', lambda device: False)
    claim_folder(tmp_path, choose_settings('tiny') | dict(precision='bfloat16'))
    with pytest.raises(UserError, match='begun in bfloat16, which this processor .*: go on on a machine that does, or'):
        run_table1(preset='tiny', out=tmp_path)
    assert not (tmp_path/'steps').exists()

# --- plain numbers

@pytest.mark.parametrize('value, made', [
    (np.float64(.5), .5),
    (np.arange(2), [0, 1]),
    ((np.int64(1), [np.bool_(True)]), (1, [True])),
    (L(np.float32(2), None), [2., None]),
    ({np.str_('a'): L(np.array(3))}, {'a': [3]})])
def test_what_others_leave_becomes_plain(value, made): assert repr(training.plain(value)) == repr(made)

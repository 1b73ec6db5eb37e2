"fastai's TensorBoard callback keeps what a translator's training says"
import pytest
from fastai.callback.tensorboard import TensorBoardCallback
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mammo_uda.data.blocks import shots, unpaired_dls
from mammo_uda.data.phantom import phantom_store
from mammo_uda.translate.recipes import translation_learner

EPOCHS, STEPS, LR = 2, 3, 1e-3

@pytest.fixture(scope='module')
def dls(tmp_path_factory):
    stores = [phantom_store(tmp_path_factory.mktemp('stores')/domain, domain, 2, 32) for domain in ('film', 'digital')]
    return unpaired_dls(*map(shots, stores), bs=2, steps=STEPS)

@pytest.fixture(scope='module', params=['uda', 'uda-fastcut'])
def trained(request, dls, tmp_path_factory):
    "A learner after its training, and what TensorBoard reads of it"
    log = tmp_path_factory.mktemp('log')
    learn = translation_learner(dls, request.param, filters=4, blocks=1, d_filters=4, d_layers=1)
    with learn.no_bar(), learn.no_logging():
        learn.fit_flat_lin(EPOCHS, LR, cbs=TensorBoardCallback(log, trace_model=False, log_preds=False))
    events = EventAccumulator(str(log))
    events.Reload()
    return learn, lambda name: [(e.step, e.value) for e in events.Scalars(name)]

def test_every_loss_of_every_epoch(trained):
    learn, read = trained
    names = learn.recorder.metric_names[2:-1]
    assert len(names) >= 6
    for i, name in enumerate(names, 1):
        steps, values = zip(*read(name))
        assert steps == (STEPS, 2*STEPS)
        assert values == pytest.approx([epoch[i] for epoch in learn.recorder.values])

def test_loss_and_rate_of_every_step(trained):
    learn, read = trained
    assert [step for step, _ in read('train_loss')] == list(range(1, EPOCHS*STEPS+1))
    assert read('train_loss')[-1][1] == pytest.approx(float(learn.smooth_loss))
    for group in (0, 1): # generators and discriminators
        rates = [value for _, value in read(f'lr_{group}')]
        assert rates[0] == pytest.approx(LR) and sorted(rates, reverse=True) == rates and rates[-1] < LR/2

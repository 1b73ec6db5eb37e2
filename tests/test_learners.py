"Both learners are fastai's: what one calls on a learner every day works, or says in a sentence why it makes no sense"
import os
from pathlib import Path

import matplotlib, numpy as np, pytest, torch, torchvision
from fastai.callback.tracker import EarlyStoppingCallback, SaveModelCallback
from fastai.interpret import ClassificationInterpretation, Interpretation
from fastai.learner import load_learner
from fastai.metrics import RocAucBinary
from torch import nn

from mammo_uda.classify.learner import BalancedLoss, classifier_learner, negatives_per_positive, predict
from mammo_uda.classify.networks import imagenet_weights
from mammo_uda.core.files import UserError
from mammo_uda.core.training import seed_all
from mammo_uda.data.blocks import labelled_dls, shots, unpaired_dls
from mammo_uda.data.phantom import phantom_store
from mammo_uda.data.store import PixelStore, write_store
from mammo_uda.translate.recipes import translation_learner

matplotlib.use('Agg')

@pytest.fixture(scope='module')
def stores(tmp_path_factory):
    tmp = tmp_path_factory.mktemp('stores')
    return [phantom_store(tmp/d, d, patients=6, size=32, seed=1) for d in ('film','digital')]

def net():
    return nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 1))

def quiet(learn, path):
    learn.path = path
    learn.remove_cb(learn.progress)
    learn.logger = lambda *args: None
    return learn

@pytest.fixture
def learn(stores, tmp_path):
    seed_all(0)
    items = shots(stores[0], split='train')
    return quiet(classifier_learner(labelled_dls(items[8:], items[:8], bs=4, device='cpu'), net()), tmp_path)

@pytest.fixture
def gan(stores, tmp_path):
    seed_all(0)
    dls = unpaired_dls(*[shots(s, split='train') for s in stores], bs=2, steps=2, device='cpu')
    return quiet(translation_learner(dls, 'uda', d_filters=4, d_layers=1), tmp_path)

def held_out(learn): return learn.dls.valid.items

def whole_batches(learn):
    probs, labels = learn.get_preds()
    assert probs.shape == (8, 1) and labels.tolist() == [s.store.index.label[s.at] for s in held_out(learn)]
    again = predict(learn.model, held_out(learn)[0].store, [s.at for s in held_out(learn)])
    assert np.allclose(probs[:,0], again, atol=1e-5)

def with_all(learn):
    inputs, probs, labels, decoded, losses = learn.get_preds(with_input=True, with_loss=True, with_decoded=True)
    assert inputs.shape == (8, 1, 32, 32) and decoded.tolist() == (probs[:,0] > .5).long().tolist()
    assert losses.shape == (8,) and losses.mean().item() == pytest.approx(learn.validate()[0], rel=1e-5)

def of_training_images(learn): assert len(learn.get_preds(ds_idx=0)[0]) == len(learn.dls.train_ds)

def one(learn):
    name, label, probs = learn.predict(held_out(learn)[0])
    assert name == ['negative','positive'][label]
    assert probs.item() == pytest.approx(learn.get_preds()[0][0].item(), abs=1e-5)

def worst(learn):
    seen = Interpretation.from_learner(learn)
    losses, at = seen.top_losses(3)
    assert len(at) == 3 and losses[0] == learn.get_preds(with_loss=True)[2].max()
    seen.plot_top_losses(3)

def confused(learn):
    seen = ClassificationInterpretation.from_learner(learn)
    labels = [s.store.index.label[s.at] for s in held_out(learn)]
    assert seen.confusion_matrix().sum(1).tolist() == [labels.count(0), labels.count(1)]
    seen.plot_confusion_matrix()

def shown(learn):
    learn.show_results()
    learn.dls.show_batch()

def validated(learn): assert np.isfinite(learn.validate()).all() and len(learn.validate(ds_idx=0)) == 1

def measured(learn):
    learn.metrics = [RocAucBinary()]
    learn.fit(1)
    assert 0 <= learn.recorder.values[-1][2] <= 1

def searched(learn):
    before = [p.clone() for p in learn.model.parameters()]
    learn.fit(1)
    trained = [p.clone() for p in learn.model.parameters()]
    assert learn.lr_find(num_it=20, show_plot=True).valley > 0
    assert all(torch.equal(p, q) for p, q in zip(trained, learn.model.parameters()))
    assert not all(torch.equal(p, q) for p, q in zip(before, trained))

def tracked(learn):
    learn.fit(3, cbs=[SaveModelCallback(), EarlyStoppingCallback(patience=1)])
    best = min(loss for _, loss in learn.recorder.values)
    assert (learn.path/'models'/'model.pth').exists() and learn.validate()[0] == pytest.approx(best, rel=1e-5)

def kept(learn):
    learn.fit(1)
    before = [p.clone() for p in learn.model.parameters()]
    learn.save('one')
    learn.fit(1)
    learn.load('one')
    assert all(torch.equal(p, q) for p, q in zip(before, learn.model.parameters()))

def exported(learn):
    learn.fit(1)
    said = learn.predict(held_out(learn)[0])
    learn.export('all.pkl')
    again = load_learner(learn.path/'all.pkl')
    assert again.predict(held_out(learn)[0])[2].item() == pytest.approx(said[2].item(), abs=1e-6)

def augmented(learn): assert learn.tta(n=2)[0].shape == (8, 1)
def summed_up(learn): assert 'BatchNorm1d' in str(learn.summary())
def fine_tuned(learn): learn.fine_tune(1)
def fitted(learn): [fit(1) for fit in (learn.fit, learn.fit_one_cycle, learn.fit_flat_lin, learn.fit_flat_cos)]

EVERY_DAY = [whole_batches, with_all, of_training_images, one, worst, confused, shown, validated, measured, searched,
             tracked, kept, exported, augmented, summed_up, fine_tuned, fitted]

@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('call', EVERY_DAY)
def test_calls_on_a_classifier(learn, call):
    call(learn)
    matplotlib.pyplot.close('all')

def pairs(gan): gan.dls.show_batch()
def loop(gan): gan.show_training_loop()

@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('call', [searched, kept, fitted, pairs, loop])
def test_calls_on_a_cyclegan(gan, call):
    call(gan)
    matplotlib.pyplot.close('all')

@pytest.mark.parametrize('call', [
    lambda gan: gan.validate(),
    lambda gan: gan.get_preds(with_loss=True),
    lambda gan: gan.predict(gan.dls.images[0][0]),
    lambda gan: gan.show_results(),
    lambda gan: gan.tta(),
    lambda gan: gan.summary(),
    lambda gan: gan.fine_tune(1),
    lambda gan: Interpretation.from_learner(gan)])
def test_calls_that_make_no_sense_for_a_cyclegan(gan, call):
    with pytest.raises(UserError, match='^learn.[a-z_]+ makes no sense for translations, which have no right answer: '):
        call(gan)

def test_an_unreduced_loss_is_that_of_each_image():
    logits, labels = torch.randn(5, 1), torch.tensor([0, 1, 1, 0, 1])
    each = BalancedLoss(2., 'none')(logits, labels)
    assert each.shape == (5,) and torch.allclose(each.mean(), BalancedLoss(2.)(logits, labels))

@pytest.mark.parametrize('label', [0, 1])
def test_one_class_is_one_sentence(stores, label):
    items = shots(stores[0], label=label)
    with pytest.raises(UserError, match=f'^Of {len(items)} images to train on .* negative and .* positive: give some of both.$'):
        negatives_per_positive(items)

def test_a_missing_label_is_one_sentence(stores, tmp_path):
    index = stores[0].index.astype(dict(label='Int8'))
    index.loc[3, 'label'] = None
    store = write_store(tmp_path/'store', stores[0][:], index, 32)
    with pytest.raises(UserError, match=f"^The image {index.image_id[3]} has no label"):
        negatives_per_positive(shots(store))

class Evil:
    def __reduce__(self): return os.mkdir, ('ran',)

WRITE = [lambda path: torch.save(Evil(), path), lambda path: path.write_bytes(b''), lambda path: path.write_text('no')]

@pytest.mark.parametrize('write', WRITE)
def test_nothing_in_downloaded_weights_can_run(tmp_path, monkeypatch, write):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    monkeypatch.chdir(tmp_path)
    path = tmp_path/'hub'/'checkpoints'/Path(torchvision.models.get_model_weights('alexnet').DEFAULT.url).name
    path.parent.mkdir(parents=True)
    write(path)
    with pytest.raises(UserError, match='cannot be read as weights .*: remove it, and it is downloaded again.$'):
        imagenet_weights('alexnet')
    assert not (tmp_path/'ran').exists()

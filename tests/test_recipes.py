"Every recipe gives a learner with the same interface, and no recipe lets a target's label into its training"
import numpy as np, pytest, torch
from torch import nn

from mammo_uda.core.training import Resume, seed_all
from mammo_uda.data.blocks import shots, unpaired_dls
from mammo_uda.data.phantom import DOMAINS, phantom_store
from mammo_uda.experiment.settings import choose_settings
from mammo_uda.experiment.sources import phantom_domains
from mammo_uda.experiment.study import plan
from mammo_uda.translate.fastcut import Recognise, encode
from mammo_uda.translate.networks import Generator, breast_area
from mammo_uda.translate.recipes import RECIPES, translation_learner
from mammo_uda.translate.translator import Translator, load_translator, save_translator

NAMES = [name for name, recipe in RECIPES.items() if recipe.trained and name == recipe.name]
NET = dict(filters=4, blocks=1, d_filters=4, d_layers=1)

@pytest.fixture(scope='module')
def stores(tmp_path_factory): return [phantom_store(tmp_path_factory.mktemp('s')/d, d, patients=4, size=32) for d in DOMAINS]

def judge(): return nn.Sequential(nn.AdaptiveAvgPool2d(8), nn.Flatten(), nn.Linear(64, 1))

def trained(stores, recipe, epochs=2, cbs=(), bs=2, **more):
    seed_all(0)
    dls = unpaired_dls(*map(shots, stores), bs=bs, steps=2)
    learn = translation_learner(dls, recipe, **NET, classifier=(judge(), 'film'), cbs=list(cbs), **more)
    with learn.no_bar(), learn.no_logging(): learn.fit_flat_lin(epochs)
    return learn

def weights(learn): return [p.detach().clone() for p in learn.model.parameters()]

@pytest.mark.parametrize('recipe', NAMES)
def test_two_equal_trainings_are_equal_and_learn_something(stores, recipe):
    first, second = [trained(stores, recipe) for _ in '12']
    assert first.recorder.values == second.recorder.values
    assert all(torch.equal(p, q) for p, q in zip(weights(first), weights(second)))
    assert any(not torch.equal(p, q) for p, q in zip(weights(first), untrained(stores, recipe)))
    assert np.isfinite(first.recorder.values[-1]).all()

def untrained(stores, recipe):
    seed_all(0)
    learn = translation_learner(unpaired_dls(*map(shots, stores), bs=2, steps=2), recipe, **NET, classifier=(judge(), 'film'))
    return weights(learn)

@pytest.mark.parametrize('recipe', NAMES)
def test_a_translator_is_the_same_after_it_was_kept(stores, recipe, tmp_path):
    translator = Translator(trained(stores, recipe, epochs=1).model.G_AB, 'film', 'digital', 32)
    save_translator(translator, tmp_path/'t')
    images = stores[0][:4]
    assert np.array_equal(translator(images), load_translator(tmp_path/'t', 'cpu')(images))
    assert np.allclose(translator(images)[2:3], translator(images[2:3]), atol=1e-5)

@pytest.mark.parametrize('recipe', [n for n in NAMES if n != 'uda-plain'])
def test_the_background_stays_exactly_air(stores, recipe):
    images = stores[0][:4]
    outside = ~breast_area(torch.from_numpy(images)[:,None]*2-1)[:,0].numpy()
    assert (Translator(trained(stores, recipe).model.G_AB, 'film', 'digital', 32)(images)[outside] == 0).all()

@pytest.mark.parametrize('recipe', ['uda-acquisition', 'uda-fastcut', 'uda-semantic'])
def test_a_training_goes_on_from_its_checkpoint(stores, recipe, tmp_path):
    whole = trained(stores, recipe, 3, [Resume(tmp_path/'whole.pt')])
    class Stop(Exception): pass
    class StopAfter(Resume):
        def save(self):
            super().save()
            if self.epoch == 1: raise Stop('here')
    with pytest.raises(Stop): trained(stores, recipe, 3, [StopAfter(tmp_path/'part.pt')])
    after = trained(stores, recipe, 3, [Resume(tmp_path/'part.pt')])
    assert all(torch.equal(p, q) for p, q in zip(weights(whole), weights(after)))

def test_the_classifier_pulls_on_the_way_out_of_its_domain_only(stores):
    learn = trained(stores, 'uda-semantic')
    learn.model.zero_grad()
    learn.pred = learn.model(*learn.dls.one_batch())
    learn.loss_grad = torch.zeros(())
    learn.keep_answers.after_loss()
    learn.loss_grad.backward()
    G_AB, G_BA = learn.model.G_AB.layers, learn.model.G_BA.layers
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in G_AB.parameters())
    assert all(p.grad is None for p in G_BA.parameters())
    assert all(p.grad is None for p in learn.keep_answers.classifier.parameters())

def test_a_classifier_that_is_asked_knows_no_label_of_the_target():
    settings = choose_settings('tiny', methods=['uda', 'uda-semantic'])
    wanted = plan(settings, phantom_domains())
    for (recipe, source, _, _), step in wanted.translations.items():
        gan, there = step.inputs['gan'], wanted.translations[recipe, 'film', 'digital', 0].inputs['gan']
        if recipe != 'uda-semantic': assert 'classifier' not in gan.inputs and gan.key == there.key
        else: assert gan.inputs['classifier'].inputs['store'] is wanted.stores[source] and gan.config['source'] == source

def test_patches_are_recognised_in_a_perfect_translation_only():
    seed_all(0)
    G = Generator(filters=4, blocks=1, masked=True)
    lost = Recognise(G.layers)
    x = torch.rand(2, 1, 64, 64)
    with torch.no_grad(): same, other = lost(G.layers, x, x), lost(G.layers, x, x.flip(-1))
    assert same < .8*other

def test_levels_of_the_encoder_are_those_of_the_generator():
    G = Generator(filters=4, blocks=9)
    sizes = [tuple(o.shape[1:]) for o in encode(G.layers, torch.zeros(1, 1, 64, 64))]
    assert sizes == [(4, 64, 64), (8, 32, 32), (16, 16, 16), (16, 16, 16), (16, 16, 16)]

@pytest.mark.parametrize('size', [60, 68, 100])
def test_sizes_that_are_multiples_of_4(size):
    for settings in (dict(how='transposed'), dict(residual=True)):
        assert Generator(filters=4, blocks=1, **settings)(torch.zeros(1, 1, size, size+4)).shape == (1, 1, size, size+4)

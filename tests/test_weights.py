"What is kept of a network: half as large, and its answers the same to a thousandth"
import numpy as np, pytest, torch
from safetensors.torch import load_file, save_file
from torch import nn

from mammo_uda.classify.learner import classifier_learner, load_classifier, predict, save_classifier
from mammo_uda.classify.networks import Arch, make_net
from mammo_uda.core import training
from mammo_uda.core.training import LARGE, halved, read_weights, seed_all, write_weights
from mammo_uda.data.blocks import labelled_dls, shots, unpaired_dls
from mammo_uda.data.phantom import phantom_store
from mammo_uda.translate.recipes import translation_learner
from mammo_uda.translate.translator import Translator, load_translator, save_translator

@pytest.fixture(scope='module')
def stores(tmp_path_factory):
    tmp = tmp_path_factory.mktemp('stores')
    return [phantom_store(tmp/d, d, patients=6, size=32) for d in ('film','digital')]

@pytest.fixture
def every_network(monkeypatch):
    "As if it were worth it for any"
    monkeypatch.setattr(training, 'WORTH_IT', 0)

def small():
    layers = nn.Linear(1024, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1)
    return nn.Sequential(nn.Flatten(), *layers)

def fit(learn, epochs):
    with learn.no_bar(), learn.no_logging(): learn.fit(epochs)

def kinds(path): return {name: o.dtype for name, o in load_file(path).items()}

def test_the_scores_of_a_classifier_stay(stores, tmp_path, every_network):
    seed_all(0)
    film = stores[0]
    fit(classifier_learner(labelled_dls(shots(film), bs=8, steps=20, device='cpu'), net := small()), 3)
    before = predict(net, film, [*range(len(film))])
    save_classifier(net, tmp_path, 'small', 32)
    back, _ = load_classifier(tmp_path, 'cpu', Arch('small', small))
    after = predict(back, film, [*range(len(film))])
    assert np.ptp(before) > .3 and 0 < np.abs(np.subtract(before, after)).max() < 1e-3
    found = kinds(tmp_path/'classifier.safetensors')
    assert [name for name, kind in found.items() if kind == torch.float16] == ['1.weight']
    assert all(o.dtype == torch.float32 for name, o in back.state_dict().items() if 'num_batches' not in name)

def test_the_translations_of_a_translator_stay(stores, tmp_path, every_network):
    seed_all(0)
    dls = unpaired_dls(*map(shots, stores), bs=2, steps=10, device='cpu')
    learn = translation_learner(dls, 'uda-plain', filters=16, blocks=1, d_filters=4, d_layers=1)
    fit(learn, 2)
    images, translator = stores[0][:], Translator(learn.model.G_AB, 'film', 'digital', 32)
    save_translator(translator, tmp_path)
    before, after = translator(images), load_translator(tmp_path, 'cpu')(images)
    assert np.ptp(before) > .3 and 0 < np.abs(before-after).max() < 1e-3
    assert torch.float16 in kinds(tmp_path/'translator.safetensors').values()

@pytest.mark.parametrize('arch', ['alexnet_bn', 'resnet50'])
def test_a_classifier_takes_half_the_room(tmp_path, arch):
    save_classifier(net := make_net(arch), tmp_path, arch, 64)
    whole = 4*sum(o.numel() for o in net.parameters())
    assert (tmp_path/'classifier.safetensors').stat().st_size < .53*whole

def test_a_small_network_is_kept_as_it_is(tmp_path):
    save_classifier(net := make_net('efficientnet_lite0'), tmp_path, 'efficientnet_lite0', 64)
    back, _ = load_classifier(tmp_path, 'cpu')
    assert all(map(torch.equal, net.state_dict().values(), back.state_dict().values()))

def test_what_was_halved_stays_as_it_is(tmp_path, every_network):
    net, paths = small(), [tmp_path/'first', tmp_path/'second']
    for path in paths:
        write_weights(net, path)
        net.load_state_dict(read_weights(small(), path))
    assert paths[0].read_bytes() == paths[1].read_bytes()

SPREAD = torch.randn(LARGE, generator=torch.Generator().manual_seed(0))

@pytest.mark.parametrize('factor', [1e-7, 1e-5, 1e5, torch.inf])
def test_what_half_precision_cannot_hold_is_kept_as_it_is(factor):
    assert torch.equal(halved(SPREAD*factor), SPREAD*factor)

@pytest.mark.parametrize('factor', [1e-2, 1., 1e4])
def test_what_it_can_hold_is_halved_if_it_is_large(factor):
    assert halved(SPREAD*factor).dtype == torch.float16 and halved(SPREAD[1:]*factor).dtype == torch.float32

def test_no_value_becomes_infinite():
    one = SPREAD.clone()
    one[7] = 1e6
    assert halved(one).dtype == torch.float32

def test_weights_of_before_are_read(tmp_path):
    net = small()
    save_file(net.state_dict(), tmp_path/'old')
    state = read_weights(small(), tmp_path/'old')
    assert all(torch.equal(state[name], o) for name, o in net.state_dict().items())

@pytest.mark.parametrize('kind', [torch.bfloat16, torch.float64, torch.int32])
def test_numbers_of_another_kind_are_refused(tmp_path, kind):
    save_file({name: o.to(kind) for name, o in small().state_dict().items()}, tmp_path/'other')
    with pytest.raises(ValueError, match='^its weights .* are of the type'): read_weights(small(), tmp_path/'other')

def test_a_network_does_not_hang_on_its_file(tmp_path):
    "A file that is mapped into memory ends whoever reads from it after it became shorter"
    net = small()
    save_file(net.state_dict(), tmp_path/'net')
    state = read_weights(small(), tmp_path/'net')
    (tmp_path/'net').write_bytes(b'')
    assert all(torch.equal(state[name], o) for name, o in net.state_dict().items())

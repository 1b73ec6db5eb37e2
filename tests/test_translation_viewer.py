"The translation viewer shows what the run holds, and warns where it should"
import gc, io, json, re, shutil, tracemalloc
import numpy as np, pytest
from phantoms import phantom_run
from matplotlib import pyplot
from PIL import Image
from mammo_uda.core.files import UserError
from mammo_uda.data.phantom import DOMAINS
from mammo_uda.experiment.report import read_manifest, sample_run
from mammo_uda.translate.audit import known_cases
from mammo_uda.view.pictures import known_answers
from mammo_uda.view.translation import TranslationViewer, swiped, true_image, warning

@pytest.fixture(scope='module')
def run(tmp_path_factory): return sample_run(tmp_path_factory.mktemp('translation')/'run', size=32)

@pytest.fixture(scope='module')
def phantoms(tmp_path_factory): return phantom_run(tmp_path_factory.mktemp('phantoms'))

def pixels(picture): return np.asarray(Image.open(io.BytesIO(picture.png)))

def with_translations(run, folder, change):
    "A copy of a run with other translations in its manifest"
    other, manifest = shutil.copytree(run, folder), read_manifest(run)
    (other/'manifest.json').write_text(json.dumps(manifest | dict(translations=change(manifest['translations']))))
    return other

def test_pages_through_a_choice(run):
    viewer = TranslationViewer(run)
    viewer.menus['view'].value, viewer.menus['label'].value = 'CC', 0
    seen = []
    for page in range(1, int(viewer.page.max)+1):
        viewer.page.value = page
        seen.append(viewer.text.value)
    assert len(set(seen))==4 and all('CC negative' in s for s in seen)

def test_shows_the_images_of_one_breast(run):
    viewer = TranslationViewer(run)
    viewer.direction.value, viewer.page.value = ('digital', 'film'), 3
    images = viewer.triplets[('digital', 'film'), 'uda', 0][2]
    for name, image in zip(['real', 'synthesised', 'reconstructed'], images):
        np.testing.assert_array_equal(pixels(viewer.pictures[name]), np.rint(image*255))
        assert viewer.pictures[name].alt.startswith(name) and viewer.shown.index.image_id[2] in viewer.pictures[name].alt
    assert 'truth' not in viewer.pictures and pixels(viewer.pictures['difference']).shape==(32, 32, 3)

def test_swipe_moves_the_line(run):
    viewer = TranslationViewer(run)
    real, synthesised, _ = viewer.shown[0]
    for at in (0, 0.25, 1):
        viewer.swipe.value = at
        np.testing.assert_array_equal(pixels(viewer.pictures['swipe']), np.rint(swiped(real, synthesised, at)*255))
    np.testing.assert_array_equal(swiped(real, synthesised, 0), synthesised)
    np.testing.assert_array_equal(swiped(real, synthesised, 1), real)

def test_a_shorter_choice_starts_again(run):
    viewer = TranslationViewer(run)
    viewer.page.value = 16
    viewer.menus['label'].value = 1
    assert (viewer.page.value, viewer.page.max)==(1, 8) and 'positive' in viewer.text.value

def test_seed_that_has_no_such_direction(run, tmp_path):
    viewer = TranslationViewer(with_translations(run, tmp_path/'run', lambda o: o + [o[0] | {'seed': 1}]))
    viewer.seed.value, viewer.direction.value = 1, ('digital', 'film')
    assert viewer.text.value=='no such image' and not any(o.png for o in viewer.pictures.values())
    viewer.greys.level.value, viewer.swipe.value = 0.3, 0.7
    with pytest.raises(UserError, match='no such image'): viewer.save(tmp_path/'page.html')
    viewer.direction.value = 'film', 'digital'
    assert viewer.shown.index.image_id[0] in viewer.text.value and all(o.png for o in viewer.pictures.values())

def test_run_without_translations(run, tmp_path):
    with pytest.raises(UserError, match='no translated images'): TranslationViewer(with_translations(run, tmp_path/'run', lambda o: []))

def test_truth_and_warning_on_phantoms(phantoms):
    viewer = TranslationViewer(phantoms)
    warned = []
    for page in range(1, 25):
        viewer.page.value = page
        warned.append(bool(viewer.warning.value))
        row = viewer.shown.index.iloc[page-1]
        truth = true_image(known_answers(row, 64), viewer.images['synthesised'])
        np.testing.assert_array_equal(pixels(viewer.pictures['truth']), np.rint(truth*255))
    ill = viewer.shown.index.label==1
    assert warned==[bool(i % 2 and o) for i, o in enumerate(ill)] and sum(warned)
    viewer.page.value = warned.index(True) + 1
    assert 'role="alert"' in viewer.warning.value and 'Lesion lost' in viewer.warning.value

def test_window_moves_the_truth_too(phantoms):
    viewer = TranslationViewer(phantoms)
    viewer.greys.width.value = 0.2
    np.testing.assert_allclose(pixels(viewer.pictures['truth']), ((viewer.images['truth'] - 0.4)/0.2).clip(0, 1)*255, atol=0.51)

def test_epochs(phantoms, run):
    viewer = TranslationViewer(phantoms)
    assert (viewer.epoch.min, viewer.epoch.max, viewer.epoch.step, viewer.epoch.value)==(2, 6, 2, 6)
    viewer.epoch.value = 4
    assert (pixels(viewer.grid)==80).all() and pixels(viewer.grid).shape==(96, 96) and 'epoch 4' in viewer.grid.alt
    assert TranslationViewer(run).training.layout.display=='none'

@pytest.mark.parametrize('size', [64, 128])
def test_right_translations_are_not_warned_of(size):
    for domain in DOMAINS:
        for case in known_cases(domain, 2, size, seed=7):
            assert not warning(case.source[0], case.repeat[0], case)

def test_answers_lie_over_the_images_of_the_store(phantoms):
    triplets = TranslationViewer(phantoms).shown
    for i in range(0, 24, 5):
        np.testing.assert_allclose(known_answers(triplets.index.iloc[i], 64).source[0], triplets[i][0], atol=1e-4)

def test_the_truth_of_a_large_image_is_of_the_same_breast(tmp_path):
    viewer = TranslationViewer(phantom_run(tmp_path/'run', size=160))
    answer = viewer._answer(viewer.shown.index.iloc[0])
    np.testing.assert_allclose(answer.source[0], viewer.images['real'], atol=1e-4)
    off = np.abs(viewer.images['truth'] - viewer.images['synthesised'])
    assert viewer.images['truth'].shape == (160, 160) and off.mean() < .01

def test_page_holds_what_was_chosen(phantoms, tmp_path):
    viewer = TranslationViewer(phantoms)
    viewer.menus['label'].value = 1
    text = viewer.save(tmp_path/'page.html', n=5).read_text()
    data = json.loads(re.search('id="data">(.*?)</script>', text, re.S)[1])
    assert len(data['images'])==5 and all('positive' in o['text'] and 'truth' in o for o in data['images'])
    assert list(data['epochs'])==['2', '4', '6'] and str(phantoms) not in text

def test_a_thousand_updates_leave_nothing_behind(run):
    viewer = TranslationViewer(run)
    def move(n):
        for i in range(n): viewer.swipe.value, viewer.page.value = 0.3 + i%50/100, 1 + i//20%16
        gc.collect()
        return tracemalloc.get_traced_memory()[0]
    tracemalloc.start()
    before = move(50)
    after = move(1000)
    tracemalloc.stop()
    assert after - before < 100_000 and not pyplot.get_fignums()

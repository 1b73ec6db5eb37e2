"The widgets show what the run holds"
import io, json
import numpy as np, pytest
from matplotlib import pyplot
from PIL import Image
from mammo_uda.core.files import UserError
from mammo_uda.experiment.report import read_manifest, sample_run
from mammo_uda.view.viewers import Table1Widget, TranslationViewer, image_png

@pytest.fixture(scope='module')
def run(tmp_path_factory): return sample_run(tmp_path_factory.mktemp('viewers')/'run', size=32)

def pixels(widget): return np.asarray(Image.open(io.BytesIO(widget.value)))

def test_png_keeps_the_fixed_scale():
    image = np.array([[-1, 0, 0.5, 1, 2]], dtype='float32')
    assert np.asarray(Image.open(io.BytesIO(image_png(image)))).tolist()==[[0, 0, 128, 255, 255]]

def test_pages_through_a_choice(run):
    viewer = TranslationViewer(run)
    viewer.view.value, viewer.label.value = 'CC', 0
    seen = []
    for page in range(1, viewer.page.max+1):
        viewer.page.value = page
        seen.append(viewer.text.value)
    assert len(set(seen))==4 and all('CC negative' in s for s in seen)

def test_shows_the_three_images(run):
    viewer = TranslationViewer(run)
    viewer.domain.value, viewer.page.value = 'digital', 3
    for widget, image in zip(viewer.pictures, viewer.triplets['digital', 'uda', 0][2]):
        np.testing.assert_array_equal(pixels(widget), np.rint(image*255))

def test_a_shorter_choice_starts_again(run):
    viewer = TranslationViewer(run)
    viewer.page.value = 16
    viewer.label.value = 1
    assert (viewer.page.value, viewer.page.max)==(1, 8) and 'positive' in viewer.text.value

def test_seed_that_has_no_such_domain(run, tmp_path):
    manifest = read_manifest(run)
    film = manifest['translations'][0]
    other = sample_run(tmp_path/'run', size=32)
    (other/'manifest.json').write_text(json.dumps(manifest | {'translations': manifest['translations'] + [film | {'seed': 1}]}))
    viewer = TranslationViewer(other)
    viewer.seed.value, viewer.domain.value = 1, 'digital'
    assert viewer.text.value=='no such image' and viewer.pictures[0].value==b''
    viewer.domain.value = 'film'
    assert 'film → digital' in viewer.text.value

def test_run_without_translations(run, tmp_path):
    other = sample_run(tmp_path/'run', size=32)
    (other/'manifest.json').write_text(json.dumps(read_manifest(run) | {'translations': []}))
    with pytest.raises(UserError, match='no translated images'): TranslationViewer(other)

def test_every_cell_draws_and_no_figure_stays_open(run):
    widget, drawn = Table1Widget(run), set()
    for _, cell in widget.cell.options[:4]:
        widget.cell.value = cell
        drawn.add(widget.roc.value)
    assert len(widget.cell.options)==16 and len(drawn)==4 and not pyplot.get_fignums()

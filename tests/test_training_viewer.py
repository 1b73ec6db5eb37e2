"What a training has written so far, and nothing that it has not"
import gc, json, re, shutil
from pathlib import Path
import pandas as pd, pytest
from ipywidgets.widgets.widget import _instances # all that were ever made
from matplotlib import pyplot
from matplotlib.figure import Figure
from phantoms import trained_run
from mammo_uda.core.files import UserError
from mammo_uda.experiment.trainings import Training, draw_losses, read_training, training_folders
from mammo_uda.experiment.work import held
from mammo_uda.view.training import TrainingViewer, curves_html

@pytest.fixture(scope='module')
def trained(tmp_path_factory): return trained_run(tmp_path_factory.mktemp('training')/'run')

@pytest.fixture
def run(trained, tmp_path): return shutil.copytree(trained, tmp_path/'run')

def folder(run): return next(run.glob('steps/gan-*'))

def go_back(run, epochs):
    "Make the training look as it did after so many epochs"
    whole = folder(run)
    partial = Path(f'{whole}.partial')
    partial.mkdir()
    out = whole.rename(partial/'out')
    for o in sorted(out.glob('sample-*.png'))[epochs:]: o.unlink()
    for name in ['losses.csv', 'watch.csv']:
        if epochs: pd.read_csv(out/name).head(epochs).to_csv(out/name, index=False)
        else: (out/name).unlink()
    return partial

def test_names_say_recipe_and_seed(run):
    (run/'steps'/'gan-uda-plain-0-abcdef.partial').mkdir()
    assert list(training_folders(run))==['uda-plain-0', 'uda-semantic-film-1']

def test_folder_without_trainings(tmp_path):
    with pytest.raises(UserError, match='no training'): TrainingViewer(tmp_path)

def test_losses_are_drawn_as_they_were_written(run):
    training = read_training(folder(run))
    drawn = {tuple(line.get_ydata()) for ax in draw_losses(training).axes for line in ax.lines}
    assert drawn=={tuple(v) for _, v in training.losses.items() if v.any()}

def test_every_loss_of_every_recipe_has_a_panel():
    names = ['train_loss', 'gan_ab', 'gan_ba', 'cycle_a', 'cycle_b', 'identity_a', 'identity_b', 'nce_ab', 'nce_ba', 'd_a', 'd_b', 'answers']
    assert sum(len(ax.lines) for ax in draw_losses(Training(True, ['A', 'B'], pd.DataFrame(1., index=[1, 2], columns=names), None, {})).axes)==len(names)

def test_before_the_first_epoch(run):
    go_back(run, 0)
    viewer = TrainingViewer(run)
    assert viewer.sample.value=='' and viewer.curves.value=='<p>Not ended yet after 0 epochs.</p>'

def test_a_training_at_work_says_how_far_it_is(run):
    "The files are those of `work`"
    partial, attempt = go_back(run, 2), 'a'*32
    (partial/'step.json').write_text(json.dumps(dict(attempt=attempt)))
    (partial/'progress.json').write_text(json.dumps(dict(attempt=attempt, done=.43)))
    viewer = TrainingViewer(run)
    assert 'Not ended yet after 2 epochs: stopped, 43% done, last heard of' in viewer.curves.value
    with held(partial/'step.json'): viewer.refresh()
    assert 'after 2 epochs: at work, 43% done' in viewer.curves.value
    (partial/'progress.json').write_text('{"attempt": "b", "done": "<b>"}')
    viewer.refresh()
    assert 'Not ended yet after 2 epochs.' in viewer.curves.value

def test_follows_a_training_to_its_end(run, trained):
    partial = go_back(run, 2)
    viewer = TrainingViewer(run)
    assert 'After epoch 2' in viewer.sample.value and 'Not ended yet after 2' in viewer.curves.value
    shutil.rmtree(partial)
    shutil.copytree(folder(trained), run/'steps'/folder(trained).name)
    viewer.again.click()
    assert 'After epoch 4' in viewer.sample.value and 'Ended after 4' in viewer.curves.value

def test_an_older_epoch_stays_on_show(run):
    viewer = TrainingViewer(run)
    viewer.epoch.value = 1
    viewer.refresh()
    assert 'After epoch 1' in viewer.sample.value

def test_a_new_training_is_offered_and_the_choice_stays(run):
    viewer = TrainingViewer(run)
    (run/'steps'/'gan-uda-plain-0-abcdef.partial').mkdir()
    viewer.refresh()
    assert viewer.training.options==('uda-plain-0', 'uda-semantic-film-1') and viewer.training.value=='uda-semantic-film-1'
    viewer.training.value = 'uda-plain-0'
    assert viewer.sample.value=='' and '<img' not in viewer.curves.value
    viewer.training.value = 'uda-semantic-film-1'
    assert 'After epoch 4' in viewer.sample.value

def test_a_screen_reader_hears_the_last_numbers(run):
    last = read_training(folder(run)).watch.iloc[-1]
    assert f'change {last.change:.3g}' in curves_html(read_training(folder(run)))

def test_a_thousand_epochs_leave_nothing_behind(run):
    viewer = TrainingViewer(run)
    def move(n):
        for i in range(n): viewer.epoch.value = 1 + i % 4
        viewer.refresh()
        gc.collect()
        return len(_instances), sum(type(o) is Figure for o in gc.get_objects())
    assert move(4)==move(1000) and not pyplot.get_fignums()

def test_page_is_one_small_file(run, tmp_path):
    text = TrainingViewer(run).save(tmp_path/'trainings.html').read_text()
    assert len(text) < 300_000 and not re.search(r'(src|href)="(?!data:)', text) and str(run) not in text

def test_choices_on_the_page(browser, run, tmp_path):
    (run/'steps'/'gan-uda-plain-0-abcdef.partial').mkdir()
    tab = browser.new_page()
    tab.goto(TrainingViewer(run).save(tmp_path/'trainings.html').as_uri())
    assert tab.get_by_text('Not ended yet after 0 epochs').is_visible() and not tab.get_by_label('epoch').is_visible()
    tab.get_by_label('training').select_option('uda-semantic-film-1')
    text, img = tab.locator('figcaption'), tab.locator('figure img')
    before = img.get_attribute('src')
    assert text.inner_text().startswith('After epoch 4') and tab.get_by_text('Ended after 4 epochs').is_visible()
    tab.get_by_label('epoch').press('ArrowLeft')
    assert text.inner_text().startswith('After epoch 3') and img.get_attribute('src')!=before

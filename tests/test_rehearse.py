"How long a run will take is measured on what it will do"
import pytest
from PIL import Image

from mammo_uda.classify.networks import wheel_file
from mammo_uda.data.phantom import phantom_store
from mammo_uda.experiment import rehearse
from mammo_uda.experiment.adapt import plan_adaptation
from mammo_uda.experiment.adapted import all_steps
from mammo_uda.experiment.plan import in_order
from mammo_uda.experiment.rehearse import Clock, add_up, pieces, rehearsal, tell_time, training_steps, with_rehearsals
from mammo_uda.experiment.settings import choose_settings
from mammo_uda.experiment.sources import Domain, phantom_domains
from mammo_uda.experiment.study import plan

pytestmark = pytest.mark.usefixtures('small_network')

def steps_of(preset='tiny', domains=None, **options):
    return in_order(plan(choose_settings(preset, domains, **options), domains or phantom_domains()).scores)

def kinds(steps): return {o.key: o for o in map(rehearsal, steps) if o}

@pytest.fixture
def always(monkeypatch): monkeypatch.setattr(rehearse, 'ENOUGH', 0)

def test_a_short_run_is_not_timed(tmp_path):
    steps = steps_of(arch=['small'])
    assert f'have {training_steps(with_rehearsals(steps))} steps in all' in tell_time(steps, tmp_path, 1) and not [*tmp_path.iterdir()]

def test_what_is_timed_is_said_and_leaves_nothing_behind(tmp_path, always, capsys):
    steps = steps_of(arch=['small'], methods=['uda', 'uda-semantic', 'adabn', 'uda-untrained'])
    assert tell_time(steps, tmp_path, 2).startswith('The whole run will take about ')
    assert capsys.readouterr().out.count('rehearse-') == len(kinds(steps)) == 5
    assert not [*(tmp_path/'steps').iterdir()]

def test_lists_are_timed_and_stores_need_not_be(tmp_path, always):
    store = phantom_store(tmp_path/'film', 'film', patients=15, size=32)
    table = store.index.assign(path='none.png')
    listed = [Domain('listed', str(tmp_path/'list.csv')), Domain('kept', str(tmp_path/'film'))]
    for i, image in enumerate(store[:]): Image.fromarray((image*255).astype('uint8')).save(tmp_path/f'{i}.png')
    table.assign(path=[f'{i}.png' for i in range(len(table))]).to_csv(tmp_path/'list.csv', index=False)
    steps = steps_of(domains=listed, size=32, arch=['small'])
    prepared = {o.name: rehearsal(o) for o in steps if o.name.startswith('prepare-')}
    assert prepared['prepare-kept'] is None and prepared['prepare-listed'].name == 'rehearse-images'
    assert 'about' in tell_time(steps, tmp_path, 2)

@pytest.mark.skipif(not wheel_file(), reason='the packaged weights are not installed')
def test_a_frozen_network_is_timed(tmp_path, always):
    steps = steps_of(arch=['efficientnet_lite0_probe'], weights='packaged', size=32)
    assert 'rehearse-features' in {o.name for o in kinds(steps).values()} and 'about' in tell_time(steps, tmp_path, 1)

@pytest.mark.parametrize('seen', [[(3., 1)], [(3., 1), (5., 2)]])
def test_a_target_of_one_or_two_images_has_a_pace(seen):
    clock = Clock()
    clock.begun, clock.seen = 1., seen
    assert clock.pace() == dict(each=2., before=0.)

def test_trainings_alike_are_timed_once():
    one, more = [kinds(steps_of('default', seeds=n, methods=m)) for n, m in [(1, ['uda']), (3, ['uda', 'oracle', 'uda-scratch'])]]
    assert one.keys() == more.keys()

def trainings(**options):
    return {key for key, o in kinds(steps_of(**options)).items() if o.name in ('rehearse-classifier', 'rehearse-gan')}

def test_other_trainings_are_timed_anew():
    before = trainings(preset='default')
    assert len(before) == 3 and before == trainings(preset='quick')
    assert not before & trainings(preset='default', size=96)
    assert len(before & trainings(preset='default', arch=['small'])) == 1 # the Cycle-GAN

def test_what_is_there_is_not_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(rehearse, 'measure_paces', lambda todo, *_: {o.key: dict(each=1., before=0.) for o in todo})
    steps = steps_of('default', arch=['small'])
    def said(): return tell_time(steps, tmp_path, 1)
    whole = said()
    for step in steps:
        if step.name.startswith('prepare-'): step.folder(tmp_path).mkdir(parents=True)
    assert said() != whole
    for step in steps: step.folder(tmp_path).mkdir(exist_ok=True)
    assert said() == 'Its trainings have 0 steps in all: too few to time first.'

def test_the_sum_counts_pieces_and_beginnings():
    pairs = with_rehearsals(steps_of('default', arch=['small']))
    steps = [o for o, _ in pairs]
    paces = {key: dict(each=2., before=3.) for key in kinds(steps)}
    assert add_up(pairs, paces, 1) == 2*sum(map(pieces, steps)) + 3*len(steps) == 2*add_up(pairs, paces, 2)

def test_an_epoch_without_a_length_goes_once_through_the_images():
    gan = next(o for o in steps_of('paper', arch=['small']) if o.name.startswith('gan-'))
    assert gan.config['steps'] is None and pieces(gan) == 200*round(1000*4*2/3*4/5 + .5)

def test_what_a_killed_rehearsal_left_is_no_measurement(tmp_path, always):
    steps = steps_of(arch=['small'])
    for step in kinds(steps).values():
        (step.partial(tmp_path)/'out'/'store').mkdir(parents=True)
        step.folder(tmp_path).mkdir()
    assert 'about' in tell_time(steps, tmp_path, 2)

def test_what_a_killed_rehearsal_left_is_cleared_where_none_follows(tmp_path):
    steps = steps_of(arch=['small'])
    for step in kinds(steps).values(): (step.partial(tmp_path)/'out').mkdir(parents=True)
    assert 'too few' in tell_time(steps, tmp_path, 2) and not [*(tmp_path/'steps').iterdir()]

@pytest.mark.skipif(not wheel_file(), reason='the packaged weights are not installed')
def test_questions_about_every_image_are_timed(tmp_path, always):
    settings = choose_settings('tiny', arch=['efficientnet_lite0_probe'], weights='packaged', size=32, methods=['adabn'])
    wanted = all_steps(plan_adaptation(settings, *phantom_domains()))
    assert 'rehearse-answers' in {o.name for o in kinds(in_order(wanted)).values()} and 'about' in tell_time(wanted, tmp_path, 2)

"Steps under ill treatment: kills, faults, Ctrl-C, two starts at once"
import json, os, random, signal, subprocess, sys, time, warnings
from pathlib import Path

import psutil, pytest
from fastcore.basics import num_cpus

from mammo_uda.core.files import UserError
from mammo_uda.experiment.engine import Local, Place, Worker, run_lock, run_steps
from mammo_uda.experiment.plan import Step, fingerprint, hand_out, in_order
from mammo_uda.experiment.status import run_status
from mammo_uda.experiment.work import Attempt, do_step

# --- the work of the steps; the children find this module through sys.path

imported_by = os.getpid()

def write(out, progress, text):
    (out/'text.txt').write_text(text)
    progress(1, 1)

def join(out, progress, **inputs):
    (out/'text.txt').write_text(' '.join((o/'text.txt').read_text() for _,o in sorted(inputs.items())))

def environment(out, progress):
    (out/'threads.txt').write_text(os.environ['OMP_NUM_THREADS'] + os.environ['MKL_NUM_THREADS'])

def processes(out, progress): (out/'pids.txt').write_text(f'{imported_by} {os.getpid()}')

def warn(out, progress):
    import mammo_uda.core.training # which needs fastai
    warnings.warn('`torch.other` is deprecated.', FutureWarning)

def user_error(out, progress): raise UserError('row 7 of film.csv has no label.')
def fault(out, progress): raise KeyError('colour')
def leave(out, progress): os._exit(0)
def die(out, progress, sig): os.kill(os.getpid(), sig)

def chatty(out, progress):
    for i in range(20000): progress(i, 20000)

def slow(out, progress, grandchild=False):
    "Counts its starts, then waits long enough to be stopped"
    starts = len(list(out.glob('start-*')))
    (out/f'start-{starts}.txt').touch()
    (out/'half.txt.123.tmp').touch()
    if starts: return
    if grandchild: (out/'pid').write_text(str(subprocess.Popen(['sleep', '60']).pid))
    (out/'ready').touch()
    time.sleep(60)

def spoil(out, progress):
    "Changes all that a later step could find changed"
    import numpy as np, torch
    from fastcore.basics import defaults
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    torch.set_num_threads(7)
    torch.set_flush_denormal(True)
    torch.set_default_dtype(torch.float64)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.mkldnn.enabled = False
    defaults.callbacks = ['another']
    os.environ['SPOILT'] = 'yes'
    os.chdir('/')

def find(out, progress):
    "Writes down what it finds, and what a small training makes of it"
    import torch
    from fastcore.basics import defaults
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.Flatten(), torch.nn.Linear(4*30*30, 2))
    opt = torch.optim.SGD(net.parameters(), lr=.01)
    for _ in range(3):
        net(torch.randn(4, 1, 32, 32)).square().mean().backward()
        opt.step()
    (out/'net.txt').write_text(repr({k: v.tolist() for k, v in net.state_dict().items()}))
    found = [torch.get_num_threads(), str(torch.get_default_dtype()), torch.are_deterministic_algorithms_enabled(),
             torch.backends.mkldnn.enabled, hasattr(defaults, 'callbacks'), os.getcwd(), os.environ.get('SPOILT')]
    (out/'found.txt').write_text(repr(found))

def look(out, progress, text): (out/'seen.txt').write_text(repr(list(out.iterdir())))

def talk(out, progress):
    "Prints, reads what is not for it, and leaves somebody behind"
    print('{"code": 0}', flush=True)
    os.write(1, b'x')
    (out/'read.txt').write_text(sys.stdin.read())
    (out/'pid.txt').write_text(str(subprocess.Popen(['sleep', '60']).pid))

def wait_and_write(out, progress, file, other):
    "Waits for another step, so that both have to be at work at once"
    (out.parents[1]/file).touch()
    for _ in range(300):
        if (out.parents[1]/other).exists(): return
        time.sleep(.05)
    raise TimeoutError

def step(fn, name=None, inputs=None, **config): return Step(name or fn.__name__, f'test_steps:{fn.__name__}', config, inputs or {})

# --- names

def test_key_follows_content(tmp_path):
    csv = tmp_path/'a.csv'
    csv.write_text('path,label\n')
    first = step(write, inputs=dict(csv=csv), text='a')
    assert first.key == step(write, inputs=dict(csv=csv), text='a').key
    assert first.key != step(write, inputs=dict(csv=csv), text='b').key
    csv.write_text('path,label\nx.png,1\n')
    assert first.key != step(write, inputs=dict(csv=csv), text='a').key

def test_key_of_a_running_step_stays(tmp_path):
    csv = tmp_path/'a.csv'
    csv.write_text('one')
    s = step(write, inputs=dict(csv=csv), text='a')
    before = s.key
    csv.write_text('two')
    assert s.key == before

def test_folder_fingerprint(tmp_path):
    (tmp_path/'a').mkdir()
    (tmp_path/'a/x.dcm').write_text('12')
    before = fingerprint(tmp_path/'a')
    (tmp_path/'a/y.dcm').write_text('3')
    assert before != fingerprint(tmp_path/'a')

def test_inputs_come_first_and_once():
    a = step(write, text='a')
    b = step(join, 'b', inputs=dict(x=a))
    c = step(join, 'c', inputs=dict(x=a, y=b))
    assert [o.name for o in in_order([c, b, a])] == ['write', 'b', 'c']

# --- work

def test_runs_only_what_is_missing(tmp_path, capsys):
    a, b = (step(write, name, text=name) for name in 'ab')
    both, done = step(join, 'both', inputs=dict(a=a, b=b)), []
    run_steps([both], tmp_path/'run', workers=2, on_done=lambda s: done.append(s.name))
    assert (both.folder(tmp_path/'run')/'text.txt').read_text() == 'a b'
    assert sorted(done[:2]) == ['a', 'b'] and done[2] == 'both'
    assert len(capsys.readouterr().out.splitlines()) == 3
    run_steps([both], tmp_path/'run', on_done=lambda s: done.append(s.name))
    assert len(done) == 3
    assert capsys.readouterr().out == '3 of 3 steps are there already\n'

def test_workers_work_at_once(tmp_path):
    steps = [step(wait_and_write, 'a', file='one', other='two'), step(wait_and_write, 'b', file='two', other='one')]
    run_steps(steps, tmp_path, workers=2)

def test_threads_are_shared(tmp_path, monkeypatch):
    monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
    s = step(environment)
    before = os.environ.copy()
    for workers, threads in ((64, 1), (1, num_cpus())):
        run = tmp_path/str(workers)
        run_steps([s], run, workers=workers)
        assert (s.folder(run)/'threads.txt').read_text() == f'{threads}{threads}'
    assert os.environ == before

@pytest.mark.parametrize('workers', [1, 2])
def test_threads_can_be_given(tmp_path, monkeypatch, workers):
    monkeypatch.setenv('OMP_NUM_THREADS', '3')
    s = step(environment)
    run_steps([s], tmp_path, workers=workers)
    assert (s.folder(tmp_path)/'threads.txt').read_text() == '33'

def test_a_script_needs_no_guard(tmp_path):
    script = tmp_path/'script.py'
    script.write_text("print('once')\nfrom mammo_uda.experiment.engine import run_steps\nfrom mammo_uda.experiment.plan import Step\n"
                      "run_steps([Step('write', 'test_steps:write', dict(text='a'))], 'run')\n")
    env = os.environ | dict(PYTHONPATH=os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1])]))
    done = subprocess.run([sys.executable, str(script)], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('once') == 1 and len(list(tmp_path.glob('run/steps/write-*/text.txt'))) == 1

def test_modules_are_imported_once(tmp_path):
    steps = [step(processes, name) for name in 'ab']
    run_steps(steps, tmp_path)
    (server_a, a), (server_b, b) = ((s.folder(tmp_path)/'pids.txt').read_text().split() for s in steps)
    assert server_a == server_b and len({server_a, a, b, str(os.getpid())}) == 4
    assert not psutil.pid_exists(int(server_a))

def test_a_step_warns_of_its_own_matters_and_not_of_fastais(tmp_path, capfd):
    run_steps([step(warn)], tmp_path)
    err = capfd.readouterr().err
    assert '`torch.other` is' in err and 'torch.jit' not in err

def test_many_progress_calls(tmp_path):
    run_steps([step(chatty)], tmp_path)

# --- failure

def test_missing_input_is_found_before_anything_is_made(tmp_path):
    with pytest.raises(UserError, match='film.csv is not there'):
        run_steps([step(write, inputs=dict(csv=tmp_path/'film.csv'), text='a')], tmp_path/'run')
    assert not (tmp_path/'run').exists()

def test_user_error_comes_back_as_it_is(tmp_path):
    with pytest.raises(UserError, match='^row 7 of film.csv has no label.$'): run_steps([step(user_error)], tmp_path)

def test_fault_keeps_its_traceback(tmp_path):
    s = step(fault)
    with pytest.raises(UserError, match="Step fault failed with KeyError: 'colour'") as e: run_steps([s], tmp_path)
    assert str(tmp_path) not in str(e.value)
    assert 'in fault' in (s.partial(tmp_path)/'error.log').read_text()

@pytest.mark.parametrize('sig,why', [(signal.SIGKILL, 'memory'), (signal.SIGBUS, 'disk'), (signal.SIGSEGV, 'SIGSEGV')])
def test_killed_step_is_named(tmp_path, sig, why):
    with pytest.raises(UserError, match=f'Step die was killed by {sig.name}.*') as e: run_steps([step(die, sig=int(sig))], tmp_path)
    assert why in str(e.value)

def test_step_that_leaves_early_is_not_whole(tmp_path):
    with pytest.raises(UserError, match='Step leave ended too early'): run_steps([step(leave)], tmp_path)

def test_failure_stops_the_others_and_keeps_what_is_whole(tmp_path):
    quick, long = step(write, text='a'), step(slow, grandchild=True)
    bad = step(fault, inputs=dict(quick=quick))
    start = time.monotonic()
    with pytest.raises(UserError): run_steps([long, bad], tmp_path, workers=2)
    assert time.monotonic() - start < 30
    assert quick.folder(tmp_path).exists() and long.partial(tmp_path).exists()
    pid = long.partial(tmp_path)/'out'/'pid'
    if pid.exists(): wait_for(lambda: not alive(int(pid.read_text())))

def test_error_in_on_done_stops_the_run(tmp_path):
    def fail(step): raise RuntimeError('no room')
    with pytest.raises(RuntimeError): run_steps([step(write, text='a')], tmp_path, on_done=fail)
    assert not step(slow).folder(tmp_path).exists()

# --- stops

@pytest.mark.parametrize('fault, words', [('1/0', 'failed with ZeroDivisionError'), ('import os; os._exit(3)', 'ended too early'),
                                          ('import os; os.kill(os.getpid(), 9)', 'was killed by SIGKILL')])
def test_a_module_that_cannot_be_imported(tmp_path, monkeypatch, capfd, fault, words):
    (tmp_path/'broken_steps.py').write_text(fault)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UserError, match=f'Step broken {words}'): run_steps([Step('broken', 'broken_steps:work')], tmp_path/'run')
    run_steps([step(write, text='a')], tmp_path/'run')
    assert 'Traceback' not in capfd.readouterr().err

def alive(pid):
    try: return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess: return False

HEAR = 'signal.signal(signal.SIGINT, signal.default_int_handler)' # tests that run in the background of a shell would be deaf to it

def start_slow(run):
    "A run with one slow step, in a process of its own, once the step is at work"
    code = f"from test_steps import *\n{HEAR}\nrun_steps([step(slow, grandchild=True)], {str(run)!r})"
    runner = subprocess.Popen([sys.executable, '-c', code], stderr=subprocess.PIPE, env=os.environ | dict(PYTHONPATH=os.pathsep.join(sys.path)))
    wait_for((step(slow, grandchild=True).partial(run)/'out'/'ready').exists)
    return runner

def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, 'waited too long'
        time.sleep(.05)

@pytest.mark.parametrize('sig', [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_stopped_run_leaves_no_orphans_and_goes_on(tmp_path, sig):
    runner = start_slow(tmp_path)
    s = step(slow, grandchild=True)
    child = psutil.Process(runner.pid).children(recursive=True)
    runner.send_signal(sig)
    runner.communicate(timeout=30)
    assert runner.returncode
    wait_for(lambda: not any(alive(o.pid) for o in child))
    run_steps([s], tmp_path)
    assert sorted(o.name for o in s.folder(tmp_path).glob('start-*')) == ['start-0.txt', 'start-1.txt']

def test_ctrl_c_while_a_worker_starts_stops_it(tmp_path, monkeypatch):
    start, started = Worker.start, []
    def interrupted(self):
        start(self)
        started.append(self.process)
        os.kill(os.getpid(), signal.SIGINT)
    monkeypatch.setattr(Worker, 'start', interrupted)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with pytest.raises(KeyboardInterrupt): run_steps([step(slow)], tmp_path)
    assert [o.returncode for o in started] == [-signal.SIGKILL]

def test_a_worker_that_loads_ends_with_its_run(tmp_path):
    (tmp_path/'slow_steps.py').write_text('import time\nfor _ in range(600): time.sleep(.1)')
    code = ("from mammo_uda.experiment.engine import *\nfrom mammo_uda.experiment.plan import *\n"
            "run_steps([Step('slow', 'slow_steps:work')], 'run')")
    runner = subprocess.Popen([sys.executable, '-c', code], cwd=tmp_path, env=os.environ | dict(PYTHONPATH=os.pathsep.join([str(tmp_path), *sys.path])))
    wait_for(lambda: [o for o in psutil.Process(runner.pid).children() if 'mammo_uda.experiment.work' in ' '.join(o.cmdline())])
    family = psutil.Process(runner.pid).children(recursive=True)
    time.sleep(.5) # so that it is at it
    runner.kill()
    runner.wait()
    wait_for(lambda: not any(alive(o.pid) for o in family))

def test_a_worker_that_was_killed_is_replaced(tmp_path):
    a, b = step(processes, 'a'), step(processes, 'b')
    (tmp_path/'steps').mkdir()
    engine = Local(tmp_path, [Place(1)])
    try:
        engine.submit(a).result()
        (worker,) = engine.workers
        worker.process.kill()
        worker.process.wait()
        engine.submit(b).result()
    finally: engine.close()
    with pytest.raises(RuntimeError): engine.submit(a)

def test_a_worker_killed_at_work_takes_its_step_along(tmp_path):
    (tmp_path/'steps').mkdir()
    engine, s = Local(tmp_path, [Place(1)]), step(slow, grandchild=True)
    try:
        future = engine.submit(s)
        wait_for((s.partial(tmp_path)/'out'/'ready').exists)
        family = psutil.Process(engine.workers[0].process.pid).children(recursive=True)
        assert len(family) == 2
        engine.workers[0].process.kill()
        with pytest.raises(UserError, match='was killed by SIGKILL'): future.result(timeout=30)
    finally: engine.close()
    wait_for(lambda: not any(alive(o.pid) for o in family))

# --- one step after the other in a worker

def made(s, run): return {o.name: o.read_bytes() for o in s.folder(run).iterdir()}

def test_a_step_finds_nothing_of_the_steps_before_it(tmp_path, monkeypatch):
    monkeypatch.setenv('OMP_NUM_THREADS', '1')
    first, second = step(spoil), step(find)
    run_steps([second], tmp_path/'fresh')
    run_steps([first, second], tmp_path/'after')
    run = tmp_path/'alone'
    do = "import sys; from mammo_uda.experiment.work import do_step; do_step(sys.argv[1])"
    subprocess.run([sys.executable, '-c', do, hand_out(second, run)], check=True, env=os.environ | Place(1).environment | dict(PYTHONPATH=os.pathsep.join(sys.path)))
    assert made(second, tmp_path/'fresh') == made(second, tmp_path/'after') == made(second, run)

def test_what_a_step_prints_and_reads_is_not_for_the_engine(tmp_path, capfd):
    s = step(talk)
    run_steps([s, step(write, text='a')], tmp_path)
    assert (s.folder(tmp_path)/'read.txt').read_text() == ''
    wait_for(lambda: not alive(int((s.folder(tmp_path)/'pid.txt').read_text())))
    assert 'x' in capfd.readouterr().err

def test_a_path_can_have_any_name(tmp_path):
    s = step(write, text='a')
    run = tmp_path/'two\nlines \udc80'
    run_steps([s], run)
    assert (s.folder(run)/'text.txt').exists()

# --- attempts

def test_an_attempt_that_was_thought_dead_cannot_finish(tmp_path):
    s = step(write, text='a')
    old = Attempt(hand_out(s, tmp_path))
    old.begin()
    new = Attempt(hand_out(s, tmp_path))
    new.begin()
    (new.out/'text.txt').write_text('of the new one')
    with pytest.raises(UserError, match='begun again elsewhere'): old.finish()
    assert not s.folder(tmp_path).exists() and not (new.partial/'error.log').exists()
    old.last = -10
    with pytest.raises(UserError, match='begun again elsewhere'): old.progress(1, 2)
    new.finish()
    assert [o.name for o in s.folder(tmp_path).iterdir()] == ['text.txt']
    with pytest.raises(UserError, match='begun again elsewhere'): old.check()
    assert [o.name for o in (tmp_path/'steps').iterdir()] == [s.folder(tmp_path).name]

def test_a_fault_in_an_old_attempt_leaves_the_new_one_alone(tmp_path, monkeypatch):
    s = step(fault)
    path = hand_out(s, tmp_path)
    old = path.read_text()
    def another(name):
        hand_out(s, tmp_path)
        return fault
    monkeypatch.setattr('mammo_uda.experiment.work.by_name', another)
    with pytest.raises(UserError, match='Step fault failed with KeyError'): do_step(path)
    assert not (s.partial(tmp_path)/'error.log').exists() and path.read_text() != old

@pytest.mark.parametrize('change, words', [
    (dict(fn='os.system'), 'not .module:function.'), (dict(fn='os:system:x'), 'not .module:function.'), (dict(version='1'), 'version'),
    (dict(attempt='1'), 'attempt'), (dict(folder='/elsewhere'), 'has not the name'), (dict(config=[]), 'config'),
    (dict(inputs=dict(a=1)), 'inputs'), (dict(key='../../x'), 'key'), (dict(name='../a'), 'name')])
def test_a_damaged_order_is_refused(tmp_path, change, words):
    path = hand_out(step(write, text='a'), tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UserError, match=words): do_step(path)

def test_a_folder_for_the_function_alone(tmp_path):
    "Stores are made whole in a folder that must be empty"
    s = step(look, text='a')
    run_steps([s], tmp_path)
    assert [o.name for o in s.folder(tmp_path).iterdir()] == ['seen.txt']
    assert (s.folder(tmp_path)/'seen.txt').read_text() == '[]'

def test_a_kill_behind_the_name_leaves_no_scrap(tmp_path):
    s = step(write, text='a')
    run_steps([s], tmp_path)
    hand_out(s, tmp_path)
    run_steps([s], tmp_path)
    assert [o.name for o in (tmp_path/'steps').iterdir()] == [s.folder(tmp_path).name]

def test_a_function_that_does_no_step_is_not_called(tmp_path):
    s = Step('make', 'os:mkdir', dict(path=str(tmp_path/'made')))
    with pytest.raises(UserError, match='does no step'): do_step(hand_out(s, tmp_path))
    assert not (tmp_path/'made').exists()

def test_the_status_follows_a_run(tmp_path):
    runner = start_slow(tmp_path)
    assert [o.state for o in run_status(tmp_path).steps] == ['at work']
    runner.kill()
    runner.communicate()
    wait_for(lambda: [o.state for o in run_status(tmp_path).steps] == ['stopped'])
    run_steps([step(slow, grandchild=True)], tmp_path)
    assert [o.state for o in run_status(tmp_path).steps] == ['whole']
    assert run_status(tmp_path).summary == '1 steps: 1 whole; 100% done'

def test_leftover_temporary_files_go(tmp_path):
    s = step(write, text='a')
    s.partial(tmp_path).mkdir(parents=True)
    for name in ('error.log', 'net.pt.77.tmp'): (s.partial(tmp_path)/name).touch()
    run_steps([s], tmp_path)
    assert [o.name for o in s.folder(tmp_path).iterdir()] == ['text.txt']

def test_second_start_is_refused_and_the_lock_dies_with_its_holder(tmp_path):
    runner = start_slow(tmp_path)
    try:
        with pytest.raises(UserError, match='Another run is at work'): run_steps([step(write, text='a')], tmp_path)
    finally:
        runner.kill()
        runner.communicate()
    with run_lock(tmp_path): pass

def test_import_is_light():
    code = "import sys, mammo_uda.experiment.plan; assert not {'torch', 'numpy', 'pandas'} & set(sys.modules)"
    code += "; import mammo_uda.experiment.engine; assert not {'torch', 'fastai'} & set(sys.modules)"
    subprocess.run([sys.executable, '-c', code], check=True, env=os.environ | dict(PYTHONPATH=os.pathsep.join(sys.path)))

def test_imports_leave_the_gpu_alone():
    "A forked process cannot use a GPU that its worker has looked at"
    code = ("import torch\ndef look(*args): raise AssertionError('the GPU was looked at')\n"
            "torch._C._cuda_getDeviceCount = torch.cuda._lazy_init = torch.cuda.is_available = look\n"
            "import mammo_uda.experiment.table1")
    subprocess.run([sys.executable, '-W', 'ignore', '-c', code], check=True)

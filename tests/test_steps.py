"Steps under ill treatment: kills, faults, Ctrl-C, two starts at once"
import os, signal, subprocess, sys, time, warnings
from pathlib import Path

import psutil, pytest
from fastcore.basics import num_cpus

from mammo_uda.core.files import UserError
from mammo_uda.experiment.steps import Child, Step, fingerprint, in_order, run_lock, run_steps

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

def wait_and_write(out, progress, file, other):
    "Waits for another step, so that both have to be at work at once"
    (out.parent/file).touch()
    for _ in range(300):
        if (out.parent/other).exists(): return
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
    script.write_text("print('once')\nfrom mammo_uda.experiment.steps import Step, run_steps\n"
                      "run_steps([Step('write', 'test_steps:write', dict(text='a'))], 'run')\n")
    env = os.environ | dict(PYTHONPATH=os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1])]))
    done = subprocess.run([sys.executable, str(script)], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('once') == 1 and len(list(tmp_path.glob('run/steps/write-*/text.txt'))) == 1

def test_modules_are_imported_once(tmp_path, monkeypatch):
    monkeypatch.setenv('PYTHONPATH', os.path.dirname(__file__))
    steps = [step(processes, name) for name in 'ab']
    run_steps(steps, tmp_path, workers=2)
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
    pid = long.partial(tmp_path)/'pid'
    if pid.exists(): wait_for(lambda: not alive(int(pid.read_text())))

def test_error_in_on_done_stops_the_run(tmp_path):
    def fail(step): raise RuntimeError('no room')
    with pytest.raises(RuntimeError): run_steps([step(write, text='a')], tmp_path, on_done=fail)
    assert not step(slow).folder(tmp_path).exists()

# --- stops

def test_dead_fork_server(tmp_path, monkeypatch):
    (tmp_path/'broken_steps.py').write_text('1/0')
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))
    with pytest.raises(UserError, match='Step broken could not be started'): run_steps([Step('broken', 'broken_steps:work')], tmp_path/'run')
    run_steps([step(write, text='a')], tmp_path/'run')

def alive(pid):
    try: return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess: return False

HEAR = 'signal.signal(signal.SIGINT, signal.default_int_handler)' # tests that run in the background of a shell would be deaf to it

def start_slow(run):
    "A run with one slow step, in a process of its own, once the step is at work"
    code = f"from test_steps import *\n{HEAR}\nrun_steps([step(slow, grandchild=True)], {str(run)!r})"
    runner = subprocess.Popen([sys.executable, '-c', code], stderr=subprocess.PIPE, env=os.environ | dict(PYTHONPATH=os.pathsep.join(sys.path)))
    wait_for((step(slow, grandchild=True).partial(run)/'ready').exists)
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

def test_ctrl_c_while_a_step_starts_stops_it(tmp_path, monkeypatch):
    start, started = Child._start, []
    def interrupted(self):
        start(self)
        started.append(self.process)
        os.kill(os.getpid(), signal.SIGINT)
    monkeypatch.setattr(Child, '_start', interrupted)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with pytest.raises(KeyboardInterrupt): run_steps([step(slow)], tmp_path)
    assert [o.exitcode for o in started] == [-signal.SIGKILL]

def test_a_fork_server_that_loads_ends_with_its_run(tmp_path):
    (tmp_path/'slow_steps.py').write_text('import time\nfor _ in range(600): time.sleep(.1)')
    code = "from mammo_uda.experiment.steps import *\nrun_steps([Step('slow', 'slow_steps:work')], 'run')"
    runner = subprocess.Popen([sys.executable, '-c', code], cwd=tmp_path, env=os.environ | dict(PYTHONPATH=os.pathsep.join([str(tmp_path), *sys.path])))
    wait_for(lambda: [o for o in psutil.Process(runner.pid).children() if 'forkserver' in ' '.join(o.cmdline())])
    family = psutil.Process(runner.pid).children(recursive=True)
    time.sleep(.5) # so that it is at it
    runner.kill()
    runner.wait()
    wait_for(lambda: not any(alive(o.pid) for o in family))

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
    code = "import sys, mammo_uda.experiment.steps; assert not {'torch', 'numpy', 'pandas'} & set(sys.modules)"
    subprocess.run([sys.executable, '-c', code], check=True, env=os.environ | dict(PYTHONPATH=os.pathsep.join(sys.path)))

def test_imports_leave_the_gpu_alone():
    "A forked child cannot use a GPU that the fork server has looked at"
    code = ("import torch\ndef look(*args): raise AssertionError('the GPU was looked at')\n"
            "torch._C._cuda_getDeviceCount = torch.cuda._lazy_init = torch.cuda.is_available = look\n"
            "import mammo_uda.experiment.table1")
    subprocess.run([sys.executable, '-W', 'ignore', '-c', code], check=True)

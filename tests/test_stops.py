"Stopped at any moment, started twice, killed from outside: one sentence, nothing left, the same results"
import errno, os, signal, subprocess, sys, threading, time
from pathlib import Path
from types import SimpleNamespace

import psutil, pytest
from jobs import ended_once, square
from typer.testing import CliRunner

from mammo_uda import cli
from mammo_uda.core.files import UserError, clear_scraps, only_one, whole_folder
from mammo_uda.core.stops import SENTENCE, hold_stops
from mammo_uda.core.workers import run_apart
from mammo_uda.experiment.engine import run_lock
from mammo_uda.experiment.settings import choose_settings, claim_folder
from mammo_uda.experiment.table1 import run_table1

ENV = os.environ | dict(PYTHONPATH=os.pathsep.join([str(Path(__file__).parents[1]), *sys.path]))

def start(code, folder, *args):
    "A program in a process and a group of its own"
    return subprocess.Popen([sys.executable, '-c', code, *map(str, args)], cwd=folder, env=ENV, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)

def wait_for(condition, seconds=300):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, 'waited too long'
        time.sleep(.02)

# --- one at a time

HOLD = """
import sys, time
from mammo_uda.core.files import whole_folder
with whole_folder(sys.argv[1], go_on=True) as tmp:
    (tmp/'begun').write_text('work')
    print('ready', flush=True)
    time.sleep(60)
"""

def test_the_second_maker_is_refused_and_the_first_unharmed(tmp_path):
    first = start(HOLD, tmp_path, 'store')
    assert first.stdout.readline() == 'ready\n'
    with pytest.raises(UserError, match='Another process is making .*store'):
        with whole_folder(tmp_path/'store'): pytest.fail('the block must not run')
    assert (tmp_path/'store.making'/'begun').exists()
    first.kill()
    first.communicate()
    with whole_folder(tmp_path/'store', go_on=True) as tmp: assert (tmp/'begun').exists()
    assert [o.name for o in tmp_path.iterdir()] == ['store']

def test_a_folder_that_became_whole_meanwhile_is_not_made_again(tmp_path, monkeypatch):
    from mammo_uda.core import files
    locked = files._locked
    def late(path, busy):
        (tmp_path/'store').mkdir(exist_ok=True)
        (tmp_path/'store'/'index.txt').write_text('precious')
        return locked(path, busy)
    monkeypatch.setattr(files, '_locked', late)
    with pytest.raises(UserError, match='already holds files'):
        with whole_folder(tmp_path/'store'): pytest.fail('the block must not run')
    assert [o.name for o in tmp_path.iterdir()] == ['store']

def test_a_lock_on_a_file_that_was_removed_does_not_count(tmp_path, monkeypatch):
    import fcntl
    flock, removed = fcntl.flock, []
    def remove_first(f, how):
        if not removed: removed.append((tmp_path/'.lock').unlink())
        return flock(f, how)
    monkeypatch.setattr(fcntl, 'flock', remove_first)
    with only_one(tmp_path/'.lock', 'wait'):
        with pytest.raises(UserError, match='wait'):
            with only_one(tmp_path/'.lock', 'wait'): pass

def test_only_what_a_killed_process_left_is_cleared(tmp_path):
    for name in ('a.csv.12.tmp', 'b.csv.12.tmp', 'a.csv', 'mine.tmp', '12.tmp'): (tmp_path/name).touch()
    clear_scraps(tmp_path, {'a.csv'})
    assert not (tmp_path/'a.csv.12.tmp').exists() and (tmp_path/'b.csv.12.tmp').exists()
    clear_scraps(tmp_path)
    assert sorted(o.name for o in tmp_path.iterdir()) == ['12.tmp', 'a.csv', 'mine.tmp']

def test_a_second_run_changes_nothing(tmp_path):
    claim_folder(tmp_path, choose_settings('tiny'))
    before = (tmp_path/'settings.json').read_bytes()
    with run_lock(tmp_path):
        with pytest.raises(UserError, match='Another run is at work'): run_table1(preset='tiny', seeds=5, out=tmp_path)
    assert (tmp_path/'settings.json').read_bytes() == before
    assert [o.name for o in tmp_path.iterdir()] == ['settings.json']

# --- disks

TROUBLE = [(errno.ENOSPC, 'is full'), (errno.EROFS, 'can only be read'), (errno.EACCES, 'may not be used')]

@pytest.mark.parametrize('no, words', TROUBLE)
def test_a_disk_in_trouble_is_one_sentence(monkeypatch, no, words):
    def write_twins(run): raise OSError(no, os.strerror(no), 'run/table1.csv')
    monkeypatch.setitem(sys.modules, 'mammo_uda.experiment.table1', SimpleNamespace(run_table1=lambda *args, **options: None))
    monkeypatch.setitem(sys.modules, 'mammo_uda.view.twins', SimpleNamespace(write_twins=write_twins))
    res = CliRunner().invoke(cli.app, ['table1'])
    assert res.exit_code == 2 and res.stderr.count('\n') == 1 and words in res.stderr

def test_a_full_disk_keeps_what_was_read(tmp_path):
    with pytest.raises(OSError):
        with whole_folder(tmp_path/'store', go_on=True) as tmp:
            (tmp/'begun').write_text('half an hour of work')
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with whole_folder(tmp_path/'store', go_on=True) as tmp: assert (tmp/'begun').exists()

# --- workers

@pytest.mark.parametrize('sig', [signal.SIGKILL, signal.SIGTERM])
def test_a_worker_ended_from_outside_costs_no_result(tmp_path, sig):
    def end():
        wait_for(lambda: list(tmp_path.iterdir()))
        os.kill(int(next(tmp_path.iterdir()).name.split('-')[1]), sig)
    killer = threading.Thread(target=end)
    killer.start()
    done = [future.result() for future in run_apart(ended_once, [(str(tmp_path), 0)], workers=1)]
    killer.join()
    assert done == [0] and len(list(tmp_path.iterdir())) == 2

def test_all_workers_ended_from_outside_cost_no_result():
    def end():
        me = psutil.Process()
        wait_for(lambda: sum('mammo_uda.core.workers' in o.cmdline() for o in me.children()) >= 2)
        for o in me.children():
            if 'mammo_uda.core.workers' in o.cmdline(): o.kill()
    killer = threading.Thread(target=end)
    killer.start()
    assert [f.result() for f in run_apart(square, [(n,) for n in range(8)], workers=2)] == [n*n for n in range(8)]
    killer.join()

def test_workers_ended_while_they_wait_cost_no_result(tmp_path):
    for n in range(2): (tmp_path/f'{n}-first').touch()
    def jobs():
        yield str(tmp_path), 0
        wait_for(lambda: len(list(tmp_path.glob('0-*'))) == 2)
        time.sleep(1) # the answer is on its way
        worker, = (int(o.name[2:]) for o in tmp_path.glob('0-*') if o.name != '0-first')
        os.kill(worker, signal.SIGKILL)
        time.sleep(1)
        yield str(tmp_path), 1
    assert [future.result() for future in run_apart(ended_once, jobs(), workers=1)] == [0, 1]

# --- stops

def test_a_stop_that_another_thread_hears_is_held(monkeypatch):
    monkeypatch.setattr(signal, 'pthread_sigmask', lambda *args: set()) # as if a thread without a mask had heard it
    handler, seen = signal.signal(signal.SIGINT, signal.default_int_handler), []
    try:
        with pytest.raises(KeyboardInterrupt):
            with hold_stops():
                os.kill(os.getpid(), signal.SIGINT)
                seen.append('the block went on')
        assert seen and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally: signal.signal(signal.SIGINT, handler)

COMMAND = 'import sys; print("ready", flush=True); from mammo_uda.console import main; main()'

LOUD = """
import time, traceback
print('ready', flush=True)
try: time.sleep(60)
except BaseException: traceback.print_exc()
"""

def test_an_import_that_would_catch_a_stop_says_nothing(tmp_path):
    (tmp_path/'typer.py').write_text(LOUD)
    program = start('from mammo_uda.console import main; main()', tmp_path, 'table1')
    assert program.stdout.readline() == 'ready\n'
    os.kill(program.pid, signal.SIGTERM)
    _, said = program.communicate(timeout=60)
    assert (program.returncode, said) == (143, SENTENCE + '\n')

def test_a_stop_after_the_work_changes_nothing(tmp_path):
    code = 'import os; from mammo_uda.core.stops import STOPS, leave_at_stops\nwith leave_at_stops(): pass\nfor s in STOPS: os.kill(os.getpid(), s)'
    program = start(code, tmp_path)
    assert program.communicate(timeout=60) == ('', '') and program.returncode == 0

@pytest.mark.parametrize('sig, code', [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize('wait', [.3, 1.5, None])
def test_a_stopped_command_says_one_sentence_and_leaves_nothing(tmp_path, sig, code, wait):
    program = start(COMMAND, tmp_path, 'table1', '--tiny', '--out', 'run')
    program.stdout.readline()
    if wait: time.sleep(wait)
    else: wait_for(lambda: list(tmp_path.glob('run/steps/*.partial')))
    family = psutil.Process(program.pid).children(recursive=True)
    os.killpg(program.pid, sig)
    _, said = program.communicate(timeout=120)
    assert (program.returncode, said) == (code, SENTENCE + '\n')
    wait_for(lambda: not any(o.is_running() and o.status() != psutil.STATUS_ZOMBIE for o in family), seconds=30)
    assert not (tmp_path/'run'/'.lock').exists()

COMPLAINT = """#!/bin/sh
echo complaint >&2
exec {python} "$@"
"""

def test_a_worker_that_dies_while_it_starts_does_not_complain(tmp_path, monkeypatch, capfd):
    python = tmp_path/'python'
    python.write_text(COMPLAINT.format(python=sys.executable))
    python.chmod(0o755)
    monkeypatch.setattr(sys, 'executable', str(python))
    assert [future.result() for future in run_apart(abs, [(-1,), (2,)], workers=2)] == [1, 2]
    os.write(2, b'heard\n')
    assert capfd.readouterr().err == 'heard\n'

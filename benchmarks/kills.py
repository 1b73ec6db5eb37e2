"""Commands that are stopped at random moments and started again, beside the same commands that nobody stopped

    python benchmarks/kills.py --minutes 40 --log kills.jsonl    # a stop costs about 15 s on two idle cores
    python benchmarks/kills.py --table kills.jsonl               # the tables of kills.md
    python benchmarks/kills.py --minutes 5 --short               # in .ci/run; one network, prints the tables

Ends with 1 if a result differs, a process is left 5 s after a stop, or a traceback was shown.
"""
import argparse, hashlib, itertools, json, os, random, shutil, signal, subprocess, sys, tempfile, time
from collections import Counter
from pathlib import Path

import numpy as np, pandas as pd, psutil, pydicom
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
COMMAND = '''
import sys
from importlib.util import find_spec

class MorePresets:
    "The command of the package, with a preset of several short epochs in every training"
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name != 'mammo_uda.experiment.settings': return None
        sys.meta_path.remove(cls)
        spec = find_spec(name)
        load = spec.loader.exec_module
        def exec_module(module):
            load(module)
            module.PRESETS['kills'] = dict(
                size=32, patients=30, seeds=1, archs=['alexnet_bn','resnet50'], methods=['baseline','adabn','uda'],
                gan=dict(filters=4, blocks=1, d_filters=4, d_layers=1, epochs=4, steps=5, bs=2),
                classifier=dict(start=2, share=1., finish=2, steps=2, bs=8))
        spec.loader.exec_module = exec_module
        return spec

sys.meta_path.insert(0, MorePresets)
from mammo_uda.console import main
main()
'''
WHOLE = 'already holds files' # of a store: the stop came when all was written
SIGNALS = [signal.SIGTERM, signal.SIGINT, signal.SIGKILL]
TARGETS = ['command', 'child', 'group', 'all']
PLAN = ['run', 'run', 'whole', 'run', 'full disk', 'ingest', 'run', 'two runs', 'run', 'predict', 'clock', 'run',
        'audit', 'run', 'full disk', 'two ingests', 'translate', 'read-only', 'run']
SHORT = ['run', 'ingest', 'full disk', 'run', 'two ingests', 'predict', 'read-only', 'two runs', 'clock']

_known = {} # a file that is linked into many folders is read once

def content(path):
    "Hash of a file; of a DICOM file that of its pixels, since the numbers in its header are new each time"
    at = (path.stat().st_ino, path.stat().st_size, path.stat().st_mtime_ns)
    if path.suffix == '.dcm': return hashlib.sha256(pydicom.dcmread(path).PixelData).hexdigest()
    if at not in _known:
        with open(path, 'rb') as f: _known[at] = hashlib.file_digest(f, 'sha256').hexdigest()
    return _known[at]

def contents(folder):
    "Path to hash, of all that a command has made; folders that are links are looked into"
    found = {}
    for at, folders, names in os.walk(folder, followlinks=True):
        found |= {str((Path(at)/name).relative_to(folder)): content(Path(at)/name) for name in names}
        found |= {str((Path(at)/name).relative_to(folder)): 'a folder' for name in folders}
    return found

def differences(folder, whole):
    "Files and folders that are not as they should be, or should not be there"
    made = contents(folder)
    return sorted(name for name in made.keys() | whole.keys() if made.get(name) != whole.get(name))

class Command:
    "The command at work, with everything that it starts"
    def __init__(self, args, log, env=()):
        self.mark = f'{os.getpid()}-{time.monotonic_ns()}'
        self.log, self.start = Path(log), time.monotonic()
        own = dict(KILLS=self.mark, PYTHONPATH=str(ROOT), OMP_NUM_THREADS='1', CUDA_VISIBLE_DEVICES='')
        with open(log, 'w') as f:
            self.process = subprocess.Popen(
                [sys.executable, '-c', COMMAND, *map(str, args)], stdin=subprocess.DEVNULL, stdout=f,
                stderr=subprocess.STDOUT, env=os.environ | own | dict(env), start_new_session=True)

    def age(self): return time.monotonic() - self.start
    def said(self): return self.log.read_text(errors='replace')
    def over(self): return self.process.poll() is not None

    def processes(self):
        "All that live and carry the mark"
        found = []
        for p in psutil.process_iter():
            try:
                if p.status() != psutil.STATUS_ZOMBIE and p.environ().get('KILLS') == self.mark: found.append(p)
            except psutil.Error: pass
        return found

    def wait(self, seconds):
        try: self.process.wait(seconds)
        except subprocess.TimeoutExpired: pass
        return self.over()

    def send(self, sig, target, rng):
        "A signal to the command, to one of its children, to its process group or to all"
        found = self.processes()
        children = [p for p in found if p.pid != self.process.pid]
        if target == 'child' and not children: target = 'command'
        if target == 'command': self.process.send_signal(sig)
        if target == 'group': os.killpg(self.process.pid, sig)
        if target in ('child', 'all'):
            for p in [rng.choice(children)] if target == 'child' else rng.sample(found, len(found)):
                try: p.send_signal(sig)
                except psutil.Error: pass
        return target

    def clean(self):
        "End what is left, so that the next command starts alone"
        for p in self.processes():
            try: p.kill()
            except psutil.Error: pass
        self.process.wait()

# --- the moment of a stop

def written(names):
    "Is a file being written that is not just the progress?"
    return any(n.endswith('.tmp') and not n.startswith('progress') for n in names)

def step_phase(partial):
    "What a step was doing, from the files in its partial folder"
    names = {p.name for p in partial.rglob('*')}
    if written(names): return 'writing a file'
    name = partial.name
    if name.startswith('prepare'): return 'drawing images'
    if name.startswith('synthesise'): return 'translating'
    if {'translator.safetensors', 'classifier.safetensors'} & names: return 'finishing'
    return 'later epoch' if 'checkpoint.pt' in names else 'first epoch'

def moment(command, run):
    "Where the command is: step and phase"
    said, found = command.said(), command.processes()
    own = [p for p in found if p.pid != command.process.pid]
    at_work = 0
    for p in own:
        try: at_work += os.getsid(p.pid) not in (command.process.pid, p.pid) # a worker leads a session, its step is in it
        except ProcessLookupError: pass
    if 'The report is' in said: return '', 'pages of the viewers'
    if at_work:
        partials = [p for p in (run/'steps').glob('*.partial') if p.is_dir()]
        partials.sort(key=lambda p: -p.stat().st_mtime)
        if partials: return partials[0].name.split('.')[0].rsplit('-', 1)[0], step_phase(partials[0])
        return '', 'between steps'
    if (run/'.lock').exists():
        if own: return '', 'between steps' if ': ' in said else 'worker loading'
        return '', 'planning, gathering or report'
    return '', 'start of process' if command.age() < .5 else 'import'

def wait_for_moment(command, run, rng):
    "A random while from the start or from the beginning of work; or something rare, and a random instant after it"
    kind = rng.choice(['early', 'any', 'any', 'write', 'write', 'step', 'late'])
    lines, steps = command.said().count('\n'), run/'steps'
    def happened():
        if kind == 'early': return True
        if kind == 'any': return (run/'.lock').exists()
        if kind == 'write': return written(p.name for p in [*steps.glob('*.partial/**/*.tmp'), *run.glob('*')])
        if kind == 'step': return command.said().count('\n') > lines
        at_work = not (run/'.lock').exists() or list(steps.glob('*.partial'))
        return not at_work and len(command.processes()) == 1
    while command.age() < 120 and not command.over() and not happened(): time.sleep(.003)
    until = time.monotonic() + rng.uniform(0, dict(early=12, any=15, write=.05, step=.5, late=4)[kind])
    while time.monotonic() < until and not command.over(): time.sleep(.003)

def obey(command, rng, step, phase):
    "Send a signal, and see what becomes of it; a row of the log"
    sig, target = rng.choice(SIGNALS), rng.choice(TARGETS)
    row = dict(command=command.log.stem, at=command.age(), step=step, phase=phase, signal=sig.name)
    sent = time.monotonic()
    row['target'] = target = command.send(sig, target, rng)
    if target == 'child' and not command.wait(4):
        return row | dict(end='goes on', left=0, traceback=False, seconds=None)
    while command.processes() and time.monotonic() < sent + 5: time.sleep(.05)
    left, seconds = command.processes(), time.monotonic() - sent
    ended, said = command.wait(60), command.said()
    if left or not ended or raw(said): print('LEFT', *left, 'ended' if ended else 'hangs', said, sep='\n', flush=True)
    end = str(command.process.returncode) if ended else 'hangs'
    return row | dict(end=end, left=len(left), traceback=raw(said), seconds=seconds)

def raw(text): return 'Traceback (most recent call last)' in text or 'Exception ignored' in text

# --- a run, and the other commands

class Work:
    "A command, what it makes, and how its folder looks when nobody has stopped it"
    def __init__(self, name, args, out, tmp):
        self.name, self.args, self.out, self.log = name, args, tmp/out, tmp/f'{name}.txt'
        self.whole = self.seconds = None

    def start(self, env=()): return Command(self.args(), self.log, env)

    def finish(self):
        "Let it run to its end; what went wrong, or None"
        for _ in range(3): # a child that was stopped may end the command later, in one sentence
            command = self.start()
            if not command.wait(900): return 'hangs'
            said, code, left = command.said(), command.process.returncode, command.processes()
            command.clean()
            if raw(said): return 'traceback: ' + said
            if code == 0 or WHOLE in said: return self.compare()
        return f'ends with {code}: {said}'

    def compare(self):
        if self.out.is_dir(): wrong = differences(self.out, self.whole)
        else: wrong = [self.out.name]*(content(self.out) != self.whole)
        return f'differs: {wrong[:6]}' if wrong else None

    def keep(self):
        "Remember how it looks"
        self.whole = contents(self.out) if self.out.is_dir() else content(self.out)

def unbroken(work):
    "Run it to its end, and remember how long that takes"
    command = work.start()
    if not command.wait(1200) or command.process.returncode: raise SystemExit(f'{work.name}: {command.said()}')
    work.seconds = command.age()

def remove(path):
    "Remove a file or folder, if it is there"
    if path.is_dir(): shutil.rmtree(path)
    else: path.unlink(missing_ok=True)

def wait_in_command(command, seconds, rng):
    "A moment of a command that is not a run: any, early ones too"
    until = command.start + rng.uniform(.1, seconds)
    while time.monotonic() < until and not command.over(): time.sleep(.005)

def command_moment(command, out):
    "Where such a command is"
    if command.age() < .5: return 'start of process'
    making = [out.with_name(f'{out.name}{end}.making') for end in ('', '.images')]
    if any(p.exists() for p in making): return 'reading images'
    if (out/'.lock').exists() or out.with_name(out.name + '.lock').exists(): return 'at work'
    return 'import, or the end'

def stop_command(work, rng, log):
    "Stop it a few times, then let it end; what went wrong, or None"
    for _ in range(rng.randint(3, 5)):
        command = work.start()
        wait_in_command(command, work.seconds, rng)
        if command.over(): break
        log(obey(command, rng, work.name, command_moment(command, work.out)) | dict(workers=2))
        command.clean()
    return work.finish()

def images(folder, n, size, rng):
    "16-bit pictures of half-ellipses with a bright spot, a list of them, and some as DICOM files"
    folder.mkdir()
    (folder/'dicom').mkdir()
    y, x = np.mgrid[-1:1:size[0]*1j, 0:1:size[1]*1j]
    rows = []
    for i in range(n):
        spot = np.exp(-((x - .3)**2 + (y - rng.uniform(-.5, .5))**2)/.01)
        breast = x**2/.6 + y**2/.7 < rng.uniform(.5, 1)
        pixels = (breast*(20000 + 10000*np.sin(9*x + i)**2 + 20000*spot)).astype('uint16')
        Image.fromarray(pixels).save(folder/f'{i}.png')
        if i < 12: dicom(pixels, i, folder/'dicom'/f'{i}.dcm')
        rows.append(dict(path=f'{i}.png', patient=f'p{i//2}', label=i//2 % 2))
    pd.DataFrame(rows).to_csv(folder/'list.csv', index=False)

def dicom(pixels, i, path):
    "A mammogram with the least that a file must have"
    ds = pydicom.Dataset()
    ds.file_meta = pydicom.dataset.FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    ds.SOPClassUID, ds.SOPInstanceUID = '1.2.840.10008.5.1.4.1.1.1.2', f'1.2.3.{i + 1}'
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    ds.Modality, ds.PatientID = 'MG', f'p{i}'
    ds.StudyInstanceUID, ds.SeriesInstanceUID = f'1.2.4.{i + 1}', f'1.2.5.{i + 1}'
    ds.ImageLaterality, ds.ViewPosition, ds.PresentationIntentType = 'L', 'CC', 'FOR PRESENTATION'
    ds.Rows, ds.Columns = pixels.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, 'MONOCHROME2', 0
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelData = 16, 16, 15, pixels.tobytes()
    ds['PixelData'].VR = 'OW'
    ds.save_as(path, enforce_file_format=True)

def drop(run, rng):
    "Remove one or two steps, as if they had not been made yet"
    steps = sorted((run/'steps').iterdir())
    for p in rng.sample(steps, rng.randint(1, 2)): shutil.rmtree(p) if not p.is_symlink() else p.unlink()

def linked(reference, run):
    "A copy of a run that takes no room"
    shutil.rmtree(run, ignore_errors=True)
    subprocess.run(['cp', '-al', reference, run], check=True)

def stop_run(work, reference, rng, log, whole_run):
    "Stop a run a few times, with steps missing or from nothing, then let it end; what went wrong, or None"
    shutil.rmtree(work.out, ignore_errors=True)
    if not whole_run:
        linked(reference, work.out)
        drop(work.out, rng)
    stops, command = rng.randint(8, 12) if whole_run else rng.randint(4, 8), None
    while stops:
        work.workers = rng.choice([1, 2])
        command = command or work.start()
        wait_for_moment(command, work.out, rng)
        stops -= 1
        if command.over(): # it was too fast
            if not whole_run: drop(work.out, rng)
        else:
            row = obey(command, rng, *moment(command, work.out))
            log(row | dict(workers=work.workers))
            if row['end'] == 'goes on': continue
        command.clean()
        command = None
    if command:
        command.wait(900)
        if raw(command.said()): return 'traceback: ' + command.said()
        command.clean()
    return work.finish()

# --- other trouble

NO_TMPFS = 'skipped: no tmpfs can be mounted here'

def mounted(disk, how):
    "Mount a small disk in memory; false where that is not allowed"
    disk.mkdir(exist_ok=True)
    return not subprocess.run(['mount', '-t', 'tmpfs', '-o', how, 'tmpfs', disk], capture_output=True).returncode

def full_disk(work, reference, rng, tmp):
    "The disk fills at a random moment; with more room the same command goes on"
    disk, size = tmp/'disk', int(10**rng.uniform(5, 8.6))
    if not mounted(disk, f'size={size}'): return NO_TMPFS, ''
    there, work.out = work.out, disk/'run'
    try:
        steps = sorted((reference/'steps').iterdir())
        gone = rng.sample(steps, 2)
        for p in [p for p in steps if p not in gone]: # bound, since the small disk has no room for them
            (work.out/'steps'/p.name).mkdir(parents=True)
            subprocess.run(['mount', '--bind', p, work.out/'steps'/p.name], check=True)
        command = work.start()
        command.wait(900)
        said, code = command.said(), command.process.returncode
        command.clean()
        if raw(said) or code not in (0, 2): return f'ends with {code}: {said}', size
        subprocess.run(['mount', '-o', 'remount,size=4g', disk], check=True)
        last = said.strip().splitlines()[-1] if code else 'enough'
        return work.finish(), f'{size/1e6:.1f} MB: {last}'
    finally:
        work.out = there
        subprocess.run(['umount', '--recursive', disk], check=True)

def read_only(work, tmp):
    "The folder can only be read"
    disk = tmp/'disk'
    if not mounted(disk, 'ro'): return NO_TMPFS, ''
    there, work.out = work.out, disk/'run'
    try:
        command = work.start()
        command.wait(300)
        said, code = command.said(), command.process.returncode
        command.clean()
        lines = [line for line in said.splitlines() if line]
        return (f'ends with {code}: {said}' if raw(said) or code != 2 or len(lines) != 1 else None), said.strip()
    finally:
        work.out = there
        subprocess.run(['umount', disk], check=True)

def clock(work, reference, rng, tmp):
    "The clock jumps, back by up to ten hours and forward again, while a run is at work"
    library = next(Path('/usr/lib').glob('*/faketime/libfaketimeMT.so.1'), None)
    if library is None: return 'skipped: libfaketime is not installed', ''
    set_to, jumps = tmp/'clock', []
    set_to.write_text('+0')
    linked(reference, work.out)
    drop(work.out, rng)
    command = work.start(dict(LD_PRELOAD=str(library), FAKETIME_TIMESTAMP_FILE=str(set_to), FAKETIME_NO_CACHE='1',
                              DONT_FAKE_MONOTONIC='1', FAKETIME_DONT_FAKE_MONOTONIC='1'))
    while not command.wait(rng.uniform(2, 6)) and command.age() < 900:
        jumps.append(rng.choice([-1, 1])*rng.randint(60, 36000))
        set_to.write_text(f'{jumps[-1]:+}')
    said, code = command.said(), command.process.returncode
    command.clean()
    return (f'ends with {code}: {said}' if raw(said) or code else work.compare()), f'{len(jumps)} jumps'

def two_at_once(work, rng):
    "A second one is started into the same folder at a random moment"
    one = work.start()
    one.wait(rng.uniform(0, work.seconds/2))
    log, work.log = work.log, work.log.with_suffix('.second.txt')
    two = work.start()
    work.log = log
    for command in (one, two): command.wait(900)
    said, codes = [one.said(), two.said()], [one.process.returncode, two.process.returncode]
    for command in (one, two): command.clean()
    if any(map(raw, said)) or 0 not in codes or not set(codes) <= {0, 2}: return f'end with {codes}: {said}', ''
    refused = [text.strip().splitlines()[-1] for text, code in zip(said, codes) if code]
    return work.compare(), refused[0] if refused else 'one after the other'

# --- the campaign

def markdown(table):
    "A table as kills.md shows it"
    lines = [table.columns, ['---']*len(table.columns), *table.astype(object).where(table.notna(), '').to_numpy()]
    return '\n'.join('| ' + ' | '.join(map(str, line)) + ' |' for line in lines)

def table(log):
    "What kills.md holds, from a log"
    rows = [json.loads(line) for line in Path(log).read_text().splitlines()]
    stops, ends, trouble = [[row for row in rows if row['kind'] == kind] for kind in ('stop', 'end', 'trouble')]
    columns = ['trial', 'command', 'workers', 'at', 'step', 'phase', 'signal', 'target', 'end', 'seconds', 'left',
               'traceback']
    stops, out = pd.DataFrame(stops, columns=columns), []
    wrong = [row for row in ends + trouble if row['wrong'] and not row['wrong'].startswith('skipped')]
    ran = stops[stops.command == 'table1']
    out.append(f"{len(stops)} stops, {len(ran)} of them of runs. "
               f"Results compared: {len(ends) + len(trouble)}, different or broken: {len(wrong)}. "
               f"Processes left 5 s after a stop: {int(stops.left.sum())}. "
               f"Stops with a raw traceback: {int(stops.traceback.sum())}.")
    def count(by, columns):
        counts = pd.crosstab([stops[c] for c in by], stops[columns]).reset_index()
        return markdown(counts)
    out += [count(['command', 'phase'], 'signal'), count(['signal', 'target'], 'end')]
    if len(trouble): out.append(markdown(pd.DataFrame(trouble)[['what', 'wrong', 'about']]))
    detail = stops.assign(at=stops['at'].astype(float).round(1), seconds=stops.seconds.astype(float).round(1))
    out.append(markdown(detail[columns]))
    return '\n\n'.join(out), len(wrong) + int(stops.left.sum()) + int(stops.traceback.sum())

class Campaign:
    "A run and other commands that nobody has stopped, and trials beside them"
    def __init__(self, seed, log, short):
        self.rng, self.log, self.short, self.number = random.Random(seed), log, short, 0
        self.tmp = Path(tempfile.mkdtemp(prefix='kills-'))
        self.reference, self.pictures = self.tmp/'reference', self.tmp/'pictures'
        os.environ['XDG_CONFIG_HOME'] = str(self.tmp/'config')
        self.run = Work('table1', self.table1, 'run', self.tmp)
        self.others = dict(
            ingest=Work('ingest', self.ingest, 'store', self.tmp),
            predict=Work('predict', self.predict, 'scores.csv', self.tmp),
            translate=Work('translate', self.translate, 'translated', self.tmp),
            audit=Work('audit', self.audit, 'run', self.tmp))

    def table1(self):
        arch = ['--arch', 'resnet50'] if self.short else []
        return ['table1', '--preset', 'kills', *arch, '--out', self.run.out, '--workers', self.run.workers]

    def made(self, name): return next((self.reference/'steps').glob(name))
    def out(self, name): return self.others[name].out
    def ingest(self): return ['ingest', 'csv', self.pictures/'list.csv', '--out', self.out('ingest'), '--size', 64]
    def audit(self): return ['audit', self.out('audit')]
    def translate(self):
        return ['translate', self.made('gan-*')/'film-digital', self.pictures/'dicom', self.out('translate')]
    def predict(self):
        classifier = self.made('baseline-resnet50-film-*')
        return ['predict', classifier, self.pictures/'list.csv', '--out', self.out('predict')]

    def note(self, **row):
        with open(self.log, 'a') as f: f.write(json.dumps(row) + '\n')
        print({k: v for k, v in row.items() if k != 'kind'}, flush=True)

    def stopped(self, row): self.note(kind='stop', trial=self.number, **row)
    def ended(self, what, wrong): self.note(kind='end', trial=self.number, what=what, wrong=wrong)

    def prepare(self):
        "What everything is compared with: the run, made with one worker and with two, and the other commands"
        for self.run.workers in [2] if self.short else [1, 2]:
            shutil.rmtree(self.run.out, ignore_errors=True)
            unbroken(self.run)
            self.note(kind='reference', workers=self.run.workers, seconds=self.run.seconds)
            if self.run.whole: self.ended(f'unbroken, {self.run.workers} workers beside 1', self.run.compare())
            self.run.keep()
        self.run.out.rename(self.reference)
        images(self.pictures, 24 if self.short else 80, (1200, 900), self.rng)
        linked(self.reference, self.run.out)
        for work in self.others.values():
            unbroken(work)
            work.keep()

    def try_run(self, what):
        self.ended(what, stop_run(self.run, self.reference, self.rng, self.stopped, what == 'whole'))

    def try_command(self, what):
        work = self.others[what]
        if what == 'audit': linked(self.reference, work.out)
        else: remove(work.out)
        self.ended(what, stop_command(work, self.rng, self.stopped))

    def try_trouble(self, what):
        run, reference, rng, tmp = self.run, self.reference, self.rng, self.tmp
        if what == 'full disk': wrong, about = full_disk(run, reference, rng, tmp)
        if what == 'read-only': wrong, about = read_only(run, tmp)
        if what == 'clock': wrong, about = clock(run, reference, rng, tmp)
        if what == 'two runs':
            linked(reference, run.out)
            drop(run.out, rng)
            wrong, about = two_at_once(run, rng)
        if what == 'two ingests':
            remove(self.out('ingest'))
            wrong, about = two_at_once(self.others['ingest'], rng)
        about = str(about).replace(str(tmp), '...')
        self.note(kind='trouble', trial=self.number, what=what, wrong=wrong, about=about)

    def trial(self, what):
        self.number, self.run.workers = self.number + 1, self.rng.choice([1, 2])
        if what in ('run', 'whole'): self.try_run(what)
        elif what in self.others: self.try_command(what)
        else: self.try_trouble(what)

def main(minutes, seed, log, short):
    signal.signal(signal.SIGINT, signal.default_int_handler) # a shell starts what is in the background deaf to it
    log.unlink(missing_ok=True)
    deadline, campaign = time.monotonic() + 60*minutes, Campaign(seed, log, short)
    try:
        campaign.prepare()
        for what in itertools.cycle(SHORT if short else PLAN):
            if time.monotonic() > deadline: break
            campaign.trial(what)
    finally: shutil.rmtree(campaign.tmp, ignore_errors=True)

if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--minutes', type=float, default=40)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--log', type=Path, default=Path(tempfile.gettempdir())/'kills.jsonl')
    parser.add_argument('--table', type=Path)
    parser.add_argument('--short', action='store_true')
    options = parser.parse_args()
    if not options.table: main(options.minutes, options.seed, options.log, options.short)
    text, faults = table(options.table or options.log)
    print(text)
    sys.exit(faults > 0)

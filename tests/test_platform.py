"Without `fcntl` and `resource`, as on Windows: all but runs works, and a run is refused in one sentence"
import os, subprocess, sys
from pathlib import Path

BARE = """
import multiprocessing.context, os, signal, sys
for name in ('fcntl', 'resource'): sys.modules[name] = None
for name in ('setsid', 'killpg', 'posix_fallocate'): delattr(os, name)
for name in ('pthread_sigmask', 'setitimer', 'SIGALRM'): delattr(signal, name)
del multiprocessing.context._concrete_contexts['forkserver'], multiprocessing.context._concrete_contexts['fork']
import warnings
warnings.simplefilter('ignore')
from mammo_uda.all import *
"""

LEARNERS = """
from pathlib import Path
import numpy as np
from mammo_uda.classify.networks import make_net
from mammo_uda.experiment.report import sample_run
from mammo_uda.translate.recipes import translation_learner
from mammo_uda.view.browser import Browser

stores = [phantom_store(d, d, patients=9, size=32) for d in ('film', 'digital')]
labelled = labelled_dls(shots(stores[0], split='train'), bs=8, steps=2)
net = make_net('alexnet_bn', 'none')
classifier_learner(labelled, net).fit(1)
unpaired = unpaired_dls(*[shots(s, split='train') for s in stores], bs=2, steps=2)
translation_learner(unpaired, 'uda', filters=4, blocks=1, d_filters=4, d_layers=1).fit_flat_lin(1)
Browser(stores[0])
Table1Viewer(sample_run('run'))
"""

PREDICT = """
import numpy as np
from PIL import Image
from mammo_uda.classify.ensemble import predict_csv
from mammo_uda.classify.learner import save_classifier
from mammo_uda.classify.networks import make_net
from mammo_uda.console import main

y, x = np.mgrid[-1:1:400j, 0:1:300j]
for i in range(3): Image.fromarray(((x**2 + y**2 < .5 + i/10)*(120 + 40*x)).astype('uint8')).save(f'{i}.png')
open('new.csv', 'w').write('path,patient,label\\n' + ''.join(f'{i}.png,{i},{i%2}\\n' for i in range(3)))
save_classifier(make_net('alexnet_bn', 'none'), 'model', 'alexnet_bn', 32)
if __name__ == '__main__':
    assert predict_csv('model', 'new.csv', 'scores.csv').prob.between(0, 1).all()
    sys.argv = ['mammo_uda', 'ingest', 'csv', 'new.csv', '--out', 'store', '--size', '32', '--workers', '1']
    try: main()
    except SystemExit as e: assert not e.code
    assert len(PixelStore('store')) == 3
"""

RUN = """
from mammo_uda.console import main
sys.argv = ['mammo_uda', 'table1', '--tiny', '--out', 'run']
main()
"""

def bare(code, folder):
    "Run code where nothing of POSIX is at hand"
    (folder/'program.py').write_text(BARE + code)
    paths = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
    env = os.environ | dict(PYTHONPATH=paths, MPLBACKEND='agg', XDG_CONFIG_HOME=str(folder/'config'))
    return subprocess.run([sys.executable, 'program.py'], cwd=folder, env=env, capture_output=True, text=True)

def test_learners_and_viewers_work(tmp_path):
    done = bare(LEARNERS, tmp_path)
    assert done.returncode == 0, done.stderr

def test_images_are_read_and_scored(tmp_path):
    done = bare(PREDICT, tmp_path)
    assert done.returncode == 0, done.stderr
    given = {'config', 'model', 'program.py', 'new.csv', '0.png', '1.png', '2.png'}
    assert {o.name for o in tmp_path.iterdir()} - given == {'scores.csv', 'store'}

def test_a_run_is_refused_in_one_sentence(tmp_path):
    done = bare(RUN, tmp_path)
    assert (done.returncode, done.stderr) == (2, 'A run needs Linux or macOS: make it there, and look at its folder here.\n')
    assert not (tmp_path/'run').exists()

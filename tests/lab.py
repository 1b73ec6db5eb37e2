"JupyterLab in a browser, for tests and for benchmarks/viewers.py"
import json, os, secrets, socket, subprocess, sys, time, urllib.request
from contextlib import contextmanager

LAB_SETTINGS = {'apputils-extension/themes': {'adaptive-theme': True}, # dark where the browser is
                # asks nothing of a network
                'apputils-extension/notification': dict(fetchNews='false', checkForUpdates=False),
                'notebook-extension/tracker': dict(windowingMode='none')} # cells off the screen are on the page, too

def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]

def wait_for(url, server, log, seconds=120):
    "Wait until the server answers"
    for _ in range(4*seconds):
        assert server.poll() is None, log.read_text()
        try: return urllib.request.urlopen(url).close()
        except OSError: time.sleep(.25)
    raise TimeoutError(f'JupyterLab does not answer: {log.read_text()}')

def own_folders(home):
    "Environment of a JupyterLab that knows nothing of its user"
    for name, values in LAB_SETTINGS.items():
        path = home/'settings'/'@jupyterlab'/f'{name}.jupyterlab-settings'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))
    return dict(JUPYTERLAB_SETTINGS_DIR=home/'settings', JUPYTERLAB_WORKSPACES_DIR=home/'workspaces', JUPYTER_CONFIG_DIR=home/'config',
                JUPYTER_DATA_DIR=home/'data', JUPYTER_RUNTIME_DIR=home/'runtime', IPYTHONDIR=home/'ipython')

@contextmanager
def jupyterlab(folder, home):
    "JupyterLab on loopback; gives the address of a notebook in `folder` by its name"
    port, token = free_port(), secrets.token_hex()
    (home/'tmp').mkdir() # a kernel that is stopped does not tidy up
    env = os.environ | {k: str(v) for k, v in own_folders(home).items()} | dict(TMPDIR=str(home/'tmp'), JUPYTER_TOKEN=token, OMP_NUM_THREADS='1', PYTHONWARNINGS='ignore') # fastai calls what torch would retire
    command = [sys.executable, '-m', 'jupyterlab', '--no-browser', '--allow-root', '--ServerApp.ip=127.0.0.1', f'--ServerApp.port={port}',
               '--ServerApp.port_retries=0', '--LabApp.extension_manager=readonly', f'--ServerApp.root_dir={folder}',
               '--LabApp.check_for_updates_class=jupyterlab.handlers.announcements.NeverCheckForUpdate']
    log, site = home/'log', f'http://127.0.0.1:{port}'
    with open(log, 'w') as f: server = subprocess.Popen(command, env=env, stdout=f, stderr=f)
    try:
        wait_for(f'{site}/api?token={token}', server, log)
        yield lambda name: f'{site}/lab/tree/{name}.ipynb?token={token}'
    finally:
        server.terminate() # and with it the kernels
        server.wait(60)

def open_and_run(tab, address):
    "Open a notebook and run it until its last cell is done"
    tab.goto(address)
    # until the page has its kernel it says idle, and asks for one when it is told to run
    tab.locator('.jp-KernelName', has_text='Python 3').wait_for(timeout=120_000)
    tab.locator('.jp-Notebook-ExecutionIndicator[data-status=idle]').wait_for(timeout=120_000)
    tab.get_by_role('menuitem', name='Run', exact=True).click()
    tab.get_by_role('menuitem', name='Run All Cells', exact=True).click()
    tab.wait_for_function("""() => {
      const prompts = [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')].map(o => o.textContent);
      return prompts.length && prompts.every(o => /^\\[\\d+\\]:$/.test(o)) && document.querySelector('.jp-Notebook-ExecutionIndicator[data-status=idle]');
    }""", timeout=600_000) # on a machine that others keep busy

# Moves a slider; gives the new picture and the milliseconds until it was there
SLIDE = """(slider, [picture, value]) => new Promise(done => {
  const img = [...slider.closest('.jp-OutputArea-output').querySelectorAll('img')].find(o => o.alt.startsWith(picture)), start = performance.now();
  img.addEventListener('load', () => done([img.src, performance.now() - start]), {once: true});
  slider.value = value;
  slider.dispatchEvent(new Event('input', {bubbles: true}));
})"""

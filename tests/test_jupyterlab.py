"A tutorial in real JupyterLab in a real browser: run all, move a slider, click a cell of Table 1"
import json, os, re, secrets, shutil, socket, subprocess, sys, time, urllib.request
from importlib.util import find_spec
from pathlib import Path
import pytest

TUTORIALS = Path(__file__).parent.parent/'nbs'/'tutorials'
LAB_SETTINGS = {'apputils-extension/notification': dict(fetchNews='false', checkForUpdates=False), # asks nothing of a network
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
    pytest.fail(f'JupyterLab does not answer: {log.read_text()}')

def own_folders(home):
    "Environment of a JupyterLab that knows nothing of its user"
    for name, values in LAB_SETTINGS.items():
        path = home/'settings'/'@jupyterlab'/f'{name}.jupyterlab-settings'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))
    return dict(JUPYTERLAB_SETTINGS_DIR=home/'settings', JUPYTERLAB_WORKSPACES_DIR=home/'workspaces', JUPYTER_CONFIG_DIR=home/'config',
                JUPYTER_DATA_DIR=home/'data', JUPYTER_RUNTIME_DIR=home/'runtime', IPYTHONDIR=home/'ipython')

@pytest.fixture(scope='module')
def lab(tmp_path_factory):
    "JupyterLab on loopback, in a copy of the tutorials; gives the address of a notebook by its name"
    if not find_spec('jupyterlab'): (pytest.fail if os.environ.get('CI') else pytest.skip)("There is no JupyterLab here: pip install jupyterlab.")
    home, port, token = tmp_path_factory.mktemp('lab'), free_port(), secrets.token_hex()
    (home/'tmp').mkdir() # a kernel that is stopped does not tidy up
    shutil.copytree(TUTORIALS, home/'tutorials', ignore=shutil.ignore_patterns('.*'))
    env = os.environ | {k: str(v) for k, v in own_folders(home).items()} | dict(TMPDIR=str(home/'tmp'), JUPYTER_TOKEN=token, OMP_NUM_THREADS='1', PYTHONWARNINGS='ignore') # fastai calls what torch would retire
    command = [sys.executable, '-m', 'jupyterlab', '--no-browser', '--allow-root', '--ServerApp.ip=127.0.0.1', f'--ServerApp.port={port}',
               '--ServerApp.port_retries=0', '--LabApp.extension_manager=readonly', f'--ServerApp.root_dir={home/"tutorials"}',
               '--LabApp.check_for_updates_class=jupyterlab.handlers.announcements.NeverCheckForUpdate']
    log, site = home/'log', f'http://127.0.0.1:{port}'
    with open(log, 'w') as f: server = subprocess.Popen(command, env=env, stdout=f, stderr=f)
    try:
        wait_for(f'{site}/api?token={token}', server, log)
        yield lambda name: f'{site}/lab/tree/{name}.ipynb?token={token}'
    finally:
        server.terminate() # and with it the kernels
        server.wait(60)

def run_all(tab):
    "Run the notebook and wait until its last cell is done"
    started = "() => [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')].some(o => /[*\\d]/.test(o.textContent))"
    for _ in range(20): # an indicator that says idle may not have its kernel yet, and then nothing runs
        tab.get_by_role('menuitem', name='Run', exact=True).click()
        tab.get_by_role('menuitem', name='Run All Cells', exact=True).click()
        tab.wait_for_timeout(2000)
        if tab.evaluate(started): break
    tab.wait_for_function("""() => {
      const prompts = [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')].map(o => o.textContent);
      return prompts.length && prompts.every(o => /^\\[\\d+\\]:$/.test(o)) && document.querySelector('.jp-Notebook-ExecutionIndicator[data-status=idle]');
    }""", timeout=180_000)

@pytest.fixture(scope='module')
def tutorial(lab, browser, artefacts):
    "The Table 1 tutorial, run"
    tab, faults = browser.new_page(viewport=dict(width=1280, height=1600)), []
    tab.on('pageerror', lambda e: faults.append(str(e)))
    tab.on('request', lambda r: faults.append(r.url) if not r.url.startswith(('http://127.0.0.1:', 'data:', 'blob:')) else None)
    tab.goto(lab('table1'))
    tab.locator('.jp-Notebook-ExecutionIndicator[data-status=idle]').wait_for(timeout=120_000)
    run_all(tab)
    yield tab
    tab.screenshot(path=artefacts/'jupyterlab-last.png')
    tab.close()
    assert not faults

SLIDE = """(slider, value) => new Promise(done => {
  const img = [...slider.closest('.jp-OutputArea-output').querySelectorAll('img')].find(o => o.alt.startsWith('real')), start = performance.now();
  img.addEventListener('load', () => done([img.src, performance.now() - start]), {once: true});
  slider.value = value;
  slider.dispatchEvent(new Event('input', {bubbles: true}));
})"""

def test_no_cell_fails(tutorial):
    assert not tutorial.locator('[data-mime-type="application/vnd.jupyter.stderr"], .jp-RenderedText[data-mime-type*=error]').count()

def test_a_slider_changes_the_picture(tutorial, artefacts):
    slider = tutorial.get_by_role('slider', name='image')
    slider.scroll_into_view_if_needed()
    tutorial.screenshot(path=artefacts/'jupyterlab-translations.png')
    shown = [slider.evaluate(SLIDE, at) for at in range(2, 7)]
    assert len({src for src, _ in shown}) == 5
    print('from slider to picture:', *[f'{ms:.0f} ms' for _, ms in shown])

def test_arrow_keys_turn_pages(tutorial):
    slider = tutorial.get_by_role('slider', name='image')
    first = tutorial.get_by_role('img', name=re.compile('^real,')).get_attribute('src')
    slider.focus()
    tutorial.keyboard.press('Home')
    tutorial.keyboard.press('ArrowRight')
    assert slider.input_value() == '2'
    tutorial.wait_for_function("before => [...document.images].find(o => o.alt.startsWith('real,')).src != before", arg=first)

def test_a_click_opens_a_cell_of_table_1(tutorial, artefacts):
    cell = 'film to digital, alexnet_bn, uda'
    button = tutorial.locator(f'button[title^="{cell}"]')
    number = button.inner_text()
    assert re.fullmatch(r'[01]\.\d\d \(n = 1\)', number)
    button.click()
    heading = tutorial.get_by_role('heading', name=cell)
    heading.wait_for()
    assert heading.inner_text() == f'{cell}: {number}'
    picture = tutorial.get_by_role('img', name='A ROC curve for each seed')
    picture.scroll_into_view_if_needed()
    assert picture.evaluate('o => o.decode().then(() => o.naturalWidth)') > 0
    tutorial.screenshot(path=artefacts/'jupyterlab-table1.png')

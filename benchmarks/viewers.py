"Milliseconds from a moved slider to the new picture, at 512 px: python benchmarks/viewers.py"
import shutil, sys, tempfile, time
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
from playwright.sync_api import sync_playwright

from mammo_uda.data.phantom import phantom_store
from mammo_uda.experiment.report import sample_run
from mammo_uda.view.browser import Browser
from mammo_uda.view.translation import TranslationViewer

sys.path.append(str(Path(__file__).parent.parent/'tests'))
from lab import SLIDE, jupyterlab, open_and_run

SIZE, MOVES = 512, 30

PAGE = """async ([name, moves]) => {
  const input = [...document.querySelectorAll('.mu-slider')].find(o => o.textContent.startsWith(name)).querySelector('input');
  const frame = () => new Promise(requestAnimationFrame), times = [];
  for (let i = 0; i < moves; i++) {
    await frame();
    const start = performance.now();
    input.value = +input.min + (input.max - input.min)*(i + 1)/moves;
    input.dispatchEvent(new Event('input'));
    await frame();
    await new Promise(o => setTimeout(o)); // once the frame has been painted
    times.push(performance.now() - start);
  }
  return times;
}"""

def in_kernel(slider):
    "Processor time, which other programs do not change"
    times = []
    for value in np.linspace(slider.min, slider.max, MOVES):
        start = time.process_time()
        slider.value = value
        times.append(1000*(time.process_time() - start))
    return times

def measure(name, viewer, sliders, chromium, folder):
    "A row a slider, in the kernel and on the page"
    tab = chromium.new_page(viewport=dict(width=1280, height=900))
    tab.goto(viewer.save(folder/f'{name}.html').as_uri())
    for what, slider in sliders.items():
        for where, times in (('kernel', in_kernel(slider)), ('page', tab.evaluate(PAGE, [what, MOVES]))):
            yield dict(viewer=name, slider=what, where=where, median=np.median(times), worst=max(times))

def in_lab(chromium, folder, home):
    "A row a slider, in JupyterLab: to the kernel and back"
    cells = [f"from mammo_uda.all import *\nBrowser('{folder}/digital')", f"TranslationViewer('{folder}/run')"]
    kernel = dict(kernelspec=dict(name='python3', display_name='Python 3'))
    nbformat.write(nbformat.v4.new_notebook(metadata=kernel, cells=[*map(nbformat.v4.new_code_cell, cells)]), home/'viewers.ipynb')
    tab = chromium.new_page(viewport=dict(width=1280, height=2400))
    with jupyterlab(home, home) as address:
        open_and_run(tab, address('viewers'))
        for viewer, cell, picture in (('browser', 0, ''), ('translation', 1, 'real')):
            for what in ('level', 'image'):
                slider = tab.locator('.jp-CodeCell').nth(cell).get_by_role('slider', name=what, exact=True)
                low, high, step = [float(slider.get_attribute(o)) for o in ('min', 'max', 'step')]
                values = np.unique(low + step*np.round(np.linspace(0, high - low, MOVES + 2)[1:-1]/step))
                times = [slider.evaluate(SLIDE, [picture, value])[1] for value in values if value != float(slider.input_value())]
                yield dict(viewer=viewer, slider=what, where='JupyterLab', median=np.median(times), worst=max(times))

with tempfile.TemporaryDirectory() as tmp, tempfile.TemporaryDirectory() as lab, sync_playwright() as playwright:
    folder, chromium = Path(tmp), playwright.chromium.launch(executable_path=shutil.which('chromium'), args=['--no-sandbox'])
    browser = Browser(phantom_store(folder/'digital', 'digital', patients=3, size=SIZE))
    viewer = TranslationViewer(sample_run(folder/'run', size=SIZE))
    rows = [*in_lab(chromium, folder, Path(lab)), *measure('browser', browser, dict(level=browser.greys.level, image=browser.page, zoom=browser.zoom), chromium, folder),
            *measure('translation', viewer, dict(level=viewer.greys.level, image=viewer.page, swipe=viewer.swipe), chromium, folder)]
    print(pd.DataFrame(rows).round(1).to_string(index=False))

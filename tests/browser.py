"Debian's Chromium, driven by Playwright: tests without it are skipped, in CI they fail"
import os, shutil
from pathlib import Path
import pytest

@pytest.fixture(scope='module')
def browser():
    chromium = shutil.which('chromium')
    if not chromium: (pytest.fail if os.environ.get('CI') else pytest.skip)("There is no chromium here: apt-get install chromium.")
    from playwright.sync_api import sync_playwright
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=['--no-sandbox'])
        yield browser
        browser.close()

@pytest.fixture(scope='session')
def artefacts(tmp_path_factory):
    "Where screenshots are kept"
    folder = Path(os.environ.get('MAMMO_UDA_ARTEFACTS') or tmp_path_factory.mktemp('artefacts'))
    folder.mkdir(parents=True, exist_ok=True)
    return folder

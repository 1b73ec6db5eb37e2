"The site that `make docs` made: nothing leads nowhere, nothing is missing, nothing is fetched"
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from nbdev.config import get_config

from mammo_uda._modidx import d

HERE = Path(__file__).parents[1]
NBS, SITE = HERE/'nbs', HERE/'docs'/'_build'
pytestmark = pytest.mark.skipif(not (SITE/'index.html').exists(), reason='make docs has not been run')

@pytest.fixture(scope='module')
def pages():
    bs4 = pytest.importorskip('bs4')
    built = {SITE/path.relative_to(NBS).with_suffix('.html') for path in NBS.rglob('*.ipynb') if '.ipynb_checkpoints' not in path.parts}
    return {path: bs4.BeautifulSoup(path.read_text(encoding='utf-8'), 'html.parser') for path in built}

def anchors(page): return {tag['id'] for tag in page.find_all(id=True)}

def links(page): return [tag[name] for name in ('href','src') for tag in page.find_all(attrs={name: True})]

def target(path, link):
    "File and anchor that a link on a page leads to"
    parts = urlsplit(link)
    return ((path.parent/unquote(parts.path)).resolve() if parts.path else path), unquote(parts.fragment)

def test_no_link_leads_nowhere_and_no_picture_is_missing(pages):
    ids = {path: anchors(page) for path, page in pages.items()}
    broken = []
    for path, page in pages.items():
        for link in links(page):
            if urlsplit(link).scheme or link=='#': continue
            file, anchor = target(path, link)
            if not file.is_file() or (anchor and file in ids and anchor not in ids[file]): broken.append(f'{path.relative_to(SITE)}: {link}')
    assert not broken

def test_every_exported_symbol_has_its_place(pages):
    "Functions and classes, where nbdev's own links look for them"
    missing = []
    for module, symbols in d['syms'].items():
        for name, (link, _) in symbols.items():
            name = name.removeprefix(f'{module}.')
            if '.' in name or name.startswith('_'): continue
            page, anchor = link.split('#')
            if anchor not in anchors(pages[SITE/page]): missing.append(link)
    assert not missing

def test_constants_are_shown_too(pages):
    headings = {tag.get_text() for tag in pages[SITE/'data'/'sets.html'].find_all('h3')}
    assert any(heading.startswith('SETS') for heading in headings)

def test_docments_are_a_table_and_the_source_is_linked(pages):
    section = pages[SITE/'data'/'store.html'].find(id='build_store').find_parent('section')
    assert 'px' in section.find('table', class_='docments').get_text()
    source = section.find('a', class_='source')['href']
    assert source.startswith(f'{get_config().git_url}/blob/') and '/mammo_uda/data/store.py#L' in source

def test_nothing_is_fetched_from_elsewhere(pages):
    fetched = [tag.get('src') or tag.get('href') for page in pages.values() for tag in page.select('[src], link[rel=stylesheet]')]
    assert not [link for link in fetched if urlsplit(link).scheme in ('http','https')]

def test_no_dead_widget_shows_its_text(pages):
    assert not [path for path, page in pages.items() if '(children=' in page.get_text()]

def test_llms_txt_names_every_page(pages):
    text = (SITE/'llms.txt').read_text(encoding='utf-8')
    assert not [path for path in pages if f'/{path.relative_to(SITE).as_posix()})' not in text]

def test_docstrings_of_modules_link_to_markdown():
    for path in (HERE/'mammo_uda').rglob('*.py'):
        for page in re.findall(r'^Docs: ([^\s"]+)', path.read_text(encoding='utf-8'), re.M):
            assert (SITE/page.removeprefix(get_config(HERE).doc_url)).read_text(encoding='utf-8').startswith('# ')

"Sphinx makes the site from the notebooks: make docs"
import sys
from pathlib import Path

from docutils import nodes
from latex2mathml.converter import convert
from nbdev.config import get_config
from sphinx.addnodes import toctree

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
from pages import markdown

cfg = get_config(HERE.parent)
project, author, html_title = cfg.lib_name, 'The mammo_uda authors', cfg.lib_name
extensions = ['myst_nb', 'sphinx_external_toc', 'sphinx_copybutton', 'sphinx.ext.githubpages']
exclude_patterns = ['**/.*']
smartquotes = False # --quick is no dash

# Notebooks become pages as they are committed
nb_custom_formats = {'.ipynb': 'pages.read'}
nb_execution_mode = 'off'
nb_ipywidgets_js = {} # would be fetched from the network, and a widget needs a kernel
myst_enable_extensions = ['attrs_block', 'attrs_inline', 'dollarmath']
myst_heading_anchors = 4
myst_heading_slug_func = 'pages.slug'
external_toc_path = str(HERE/'_toc.yml')
# The last pattern of a room is for notebooks to come; what a notebook exports may stand before its first section
suppress_warnings = ['etoc.glob', 'myst.header']
html_math_renderer = 'mathml'

html_theme = 'furo'
html_baseurl = cfg.doc_url
html_theme_options = {'source_repository': cfg.git_url, 'source_branch': cfg.branch, 'source_directory': 'nbs/'}
html_static_path = [str(HERE/'_static')]
html_css_files = ['site.css']
# The static twin of a viewer, extra/tutorials/x.html, lies beside its tutorial, which shows it: <iframe src="x.html" height="600"></iframe>
html_extra_path = [str(HERE/'extra')]
html_copy_source = html_show_sourcelink = False

def mathml(display):
    "Formulas that the browser itself draws: no script, no network"
    def visit(writer, node):
        writer.body.append(convert(node.astext(), display=display))
        raise nodes.SkipNode
    return visit, None

def llms_line(env, page):
    "One page: title, address, and the sentence under the title"
    lead = env.get_doctree(page).next_node(nodes.block_quote)
    return f'- [{env.titles[page].astext()}]({cfg.doc_url}{page}.html)' + (f': {lead.astext()}' if lead else '')

def write_llms(app, error):
    "llms.txt: the pages of the site, for programs that read"
    if error: return
    rooms = [f"## {tree['caption']}\n\n" + '\n'.join(llms_line(app.env, page) for _, page in tree['entries'])
             for tree in app.env.get_doctree('index').findall(toctree)]
    (Path(app.outdir)/'llms.txt').write_text('\n\n'.join([f'# {project}', llms_line(app.env, 'index'), *rooms]) + '\n')

def write_markdown(app, error):
    "Each page as Markdown, too: the docstring of a module links to it"
    if error: return
    for page in app.env.found_docs:
        notebook = Path(app.env.doc2path(page)).read_text(encoding='utf-8')
        (Path(app.outdir)/f'{page}.html.md').write_text(markdown(notebook), encoding='utf-8')

def setup(app):
    app.add_html_math_renderer('mathml', mathml('inline'), mathml('block'))
    app.connect('build-finished', write_llms)
    app.connect('build-finished', write_markdown)

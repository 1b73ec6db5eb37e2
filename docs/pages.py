"A notebook as a page: nbdev's processing, and where a cell exports something, the documentation of it. Nothing is executed."
import ast, inspect, json, re
from functools import cached_property
from importlib import import_module
from pathlib import Path

import nbformat
from fastcore.all import L
from fastcore.docments import DocmentTbl
from fastcore.nbio import dict2nb, nb2str
from nbconvert import MarkdownExporter
from nbdev.config import get_config
from nbdev.doclinks import NbdevLookup
from nbdev.process import NBProcessor, Processor
from nbdev.processors import clean_magics, hide_, rm_export, strip_ansi
from nbdev.showdoc import BasicMarkdownRenderer, showdoc_nm

CFG = get_config()
WIDGET = 'application/vnd.jupyter.widget-view+json'

def is_public(name): return not name.split('.')[-1].startswith('_')

def source_link(sym):
    "Link to the lines that define a symbol"
    path = Path(inspect.getsourcefile(sym)).relative_to(CFG.config_path)
    return f'[source]({CFG.git_url}/blob/{CFG.branch}/{path}#L{inspect.getsourcelines(sym)[1]}){{.source}}'

class Documentation(BasicMarkdownRenderer):
    "What `show_doc` shows, with the docments as a table: comments behind parameters are out of sight on a telephone"
    def call(self):
        "How a function is called; types are in the table"
        params = [re.sub(r'^([*\w]+):.*?(?==|$)', r'\1', param) for param, _ in self.dm.params]
        return f"```{{code-block}} python\n:class: call\n\n{self.nm}({', '.join(params)})\n```"

    def table(self):
        "Parameters with type, default and what they are"
        table = str(DocmentTbl(self.sym)).replace('| NoneType |', '| |')
        return '{.docments}\n'+table if table else ''

    def _repr_markdown_(self):
        return '\n\n'.join([f'{"#"*self.title_level} {self.nm}', self.call(), f'{self.docs} {source_link(self.sym)}', self.table()])

class Attribute(Documentation):
    "A property has nothing to call, and a class that is made like its parent nothing of its own"
    def call(self): return ''
    def table(self): return ''

def made_like_its_parent(member): return isinstance(member, type) and not {'__init__', '__new__'} & vars(member).keys()

def document(member, name, level=3):
    "A function, a class, a method or a property"
    renderer = Attribute if isinstance(member, (property, cached_property)) or made_like_its_parent(member) else Documentation
    if isinstance(member, cached_property): member = member.func
    return renderer(member, name=name, title_level=level)._repr_markdown_()

DEFS = ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef

def document_class(cls, node):
    "A class, and the public members in its body that have a docstring"
    yield document(cls, cls.__name__)
    for o in node.body:
        if isinstance(o, DEFS) and is_public(o.name) and ast.get_docstring(o):
            yield document(getattr(cls, o.name), f'{cls.__name__}.{o.name}', level=4)

def constant(name, node, cell):
    "A value, by its definition"
    return f'### {name}\n\n```python\n{ast.get_source_segment(cell.source, node)}\n```'

class show_exports(Processor):
    "Replaces a cell that exports by the documentation of what it defines"
    def begin(self): self.module = exported_module(self.nb)

    def docs(self, cell):
        for node in cell.parsed_():
            if isinstance(node, ast.ClassDef) and is_public(node.name): yield from document_class(getattr(self.module, node.name), node)
            elif isinstance(node, DEFS):
                for name in filter(is_public, L(showdoc_nm(node))): yield document(eval(name, vars(self.module)), name)
            elif isinstance(node, ast.Assign):
                for o in node.targets:
                    if isinstance(o, ast.Name) and is_public(o.id): yield constant(o.id, node, cell)

    def cell(self, cell):
        if 'export' not in cell.directives_: return
        cell.cell_type, cell.source = 'markdown', '\n\n'.join(self.docs(cell)) or None
        for key in ('outputs','execution_count'): cell.pop(key)

def exported_module(nb):
    "The module that a notebook exports, if it exports one"
    names = L(nb.cells).map(lambda cell: cell.directives_.get('default_exp')).filter()
    return import_module(f'{CFG.lib_name}.{names[0]}') if names else None

class link_symbols(Processor):
    "Links symbols in backticks to their documentation, those of the page's own module first"
    def begin(self):
        self.lookup, module = NbdevLookup(), getattr(exported_module(self.nb), '__name__', '')
        own = {name.removeprefix(f'{module}.'): link for name, link in self.lookup.syms.items() if name.startswith(f'{module}.')}
        self.lookup.syms = self.lookup.syms | own

    def cell(self, cell):
        if cell.cell_type!='markdown' or not cell.source: return
        linked = self.lookup.linkify(cell.source)
        cell.source = re.sub(rf'{re.escape(CFG.doc_url)}([\w/]+)\.html', r'/\1.ipynb', linked)

def still_widgets(cell):
    "A widget is dead on a page, and its text is of no use"
    for output in cell.get('outputs', []):
        if WIDGET in output.get('data', {}): output['data'] = {'text/markdown': '*In Jupyter, a widget stands here.*'}

def keep_widths(cell):
    "A picture that was shown at a width keeps it"
    widths = [sizes['width'] for output in cell.get('outputs', []) for sizes in output.get('metadata', {}).values() if 'width' in sizes]
    if widths: cell.metadata['mystnb'] = {'image': {'width': f'{widths[0]}px'}}

def read(text):
    "The page of a notebook, for myst-nb"
    nb = dict2nb(json.loads(text))
    NBProcessor(nb=nb, procs=[show_exports, still_widgets, keep_widths, strip_ansi, clean_magics, rm_export, hide_, link_symbols]).process()
    nb.metadata.pop('widgets', None)
    return nbformat.reads(nb2str(nb), as_version=4)

def markdown(text):
    "The page of a notebook as Markdown, without pictures"
    nb = read(text)
    for cell in nb.cells:
        for output in cell.get('outputs', []):
            if 'data' in output: output['data'] = {k: v for k, v in output['data'].items() if k in ('text/plain','text/markdown')}
    return MarkdownExporter().from_notebook_node(nb)[0]

def slug(title):
    "Anchors as nbdev writes them: `PixelStore.where` is #pixelstore.where"
    return re.sub(r'[^\w.]+', '-', title.lower()).strip('-')

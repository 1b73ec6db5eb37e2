"""What a reader sees and where: numbers under headings, captions at pictures, nothing cut, covered or out of sight

Boxes are those of the letters themselves, not of the elements around them."""
import io
from itertools import combinations
from pathlib import Path
import numpy as np, pandas as pd
from PIL import Image
from mammo_uda.evaluate.table1 import PAPER, text_grid

_SEEN = (Path(__file__).parent/'layout.js').read_text()
_CENTRE = '(root, i) => root.querySelectorAll("*")[i].scrollIntoView({block: "center", inline: "center"})'
ACROSS, DOWN = ('x', 'right'), ('y', 'bottom')

def seen(root): return root.evaluate(_SEEN)

def shared(a, b, low, high): return min(a[high], b[high]) - max(a[low], b[low])

def width(o): return o['right'] - o['x']

def middle(o, low, high): return (o[low] + o[high])/2

def under(o, heading):
    "Whether a text stands below a heading, with more than half of the narrower one in common"
    return shared(o, heading, *ACROSS) > min(width(o), width(heading))/2 and o['y'] > heading['y']

def beside(o, name): return name['y'] < middle(o, *DOWN) < name['bottom']

def table1_rows(
    table,       # `Table1`
    paper=False, # with the paper's numbers
):               # as `table_seen` finds them
    "Table 1 as it should be seen"
    grids = [('', text_grid(table.cells)), ('paper ', text_grid(PAPER))][:1 + paper]
    columns = {f'{mark}{arch} {method}': grid[arch, method].tolist() for mark, grid in grids for arch, method in grid}
    names = {'train → test': [' → '.join(pair) for pair in grids[0][1].index]}
    return pd.DataFrame(names | columns).to_dict('records')

def table_seen(
    root,     # locator of whatever is around the table
    headings, # texts, the first above the names of the rows
):            # a dict a row, from heading to text; the heading of what stands under none is `None`
    "A table as a reader finds it: a row beside each text under the first heading"
    texts = [o for o in seen(root) if o['kind']=='text']
    heads = [next(o for o in texts if o['text']==text) for text in headings]
    end = max(o['bottom'] for o in heads)
    names = [o for o in texts if under(o, heads[0]) and o['y'] > end - 1]
    return [_row([o for o in texts if beside(o, name)], heads) for name in names]

def _row(texts, heads):
    "Texts by the headings above them, two under one heading in one"
    row = {}
    for o in texts:
        for head in [head['text'] for head in heads if under(o, head)] or [None]:
            row[head] = f"{row[head]} | {o['text']}" if head in row else o['text']
    return row

def named(root, text):
    "The first thing of this text, once it has been scrolled into sight"
    def find(): return next(o for o in seen(root) if o['text']==text)
    root.evaluate(_CENTRE, find()['at'])
    return find()

def click_at(root, row, column):
    "Click where a row and a column cross"
    x = middle(named(root, column), *ACROSS)
    y = next(middle(o, *DOWN) for o in seen(root) if o['text']==row) # where it is now that the column was scrolled to
    root.page.mouse.click(x, y)

def gap(a, b): return sum(max(-shared(a, b, *axis), 0) for axis in (ACROSS, DOWN))

def picture_seen(
    root,    # locator
    caption, # text
    size,    # px, of the image that should be there
):           # float [size,size], 0..1
    "The picture that is nearest to a caption, as it looks"
    caption = named(root, caption)
    box = min((o for o in seen(root) if o['kind']=='picture'), key=lambda o: gap(o, caption))
    named(root, box['text'])
    box = next(o for o in seen(root) if o['at']==box['at'])
    clip = dict(x=box['x'], y=box['y'], width=width(box), height=box['bottom'] - box['y'])
    grey = Image.open(io.BytesIO(root.page.screenshot(clip=clip))).convert('L')
    return np.asarray(grey.resize((size, size), Image.Resampling.BOX))/255

def outline_seen(root):
    "Where the outline lies on its picture: left, top, right, bottom, 0..1"
    return root.locator('.mu-stage').first.evaluate("""stage => {
      const [line, image] = ['path', 'img'].map(o => stage.querySelector(o).getBoundingClientRect());
      const at = (v, start, length) => (v - start)/length;
      return [at(line.left, image.left, image.width), at(line.top, image.top, image.height),
              at(line.right, image.left, image.width), at(line.bottom, image.top, image.height)];
    }""")

def edges(mask):
    "Where a mask begins and ends: left, top, right, bottom, 0..1"
    y, x = np.nonzero(mask)
    return np.array([x.min(), y.min(), x.max() + 1, y.max() + 1])/len(mask)

def over(a, b):
    "Whether two things of which neither is part of the other share more than an edge"
    if a['at'] in [b['at'], *b['around']] or b['at'] in a['around']: return False
    return all(shared(a['shown'], b['shown'], *axis) > 2 for axis in (ACROSS, DOWN))

def names_of(o, found):
    "The texts that belong to a control or a picture"
    texts = [text for text in found if text['kind']=='text']
    if o['kind']=='control': return [text for text in texts if text['at'] in o['names']]
    return [text for text in texts if text['figure']==o['figure'] > -1]

def astray(o, found):
    "Whether the name of a control or a picture stands far from it, or nearer to another one"
    names, others = names_of(o, found), [p for p in found if p['kind']==o['kind'] and p is not o]
    def rival(p, name): return p['kind']=='picture' or shared(p, name, *DOWN) > 0 # a label belongs to its own line
    def near(name): return gap(name, o) < min([30, *[gap(name, p) for p in others if rival(p, name)]])
    return names and not any(map(near, names))

def faults(
    root,       # locator
    left=0,     # px, where the reader's window begins
    right=None, # px, and where it ends; the width of the page
):              # sentences
    "What is wrong with the places of texts, controls and pictures"
    found, right = seen(root), right or root.page.viewport_size['width']
    def outside(o): return not o['scrolled'] and (o['x'] < left - 1 or o['right'] > right + 1)
    out = [f"{o['text']!r} is cut" for o in found if o['cut']]
    out += [f"{o['text']!r} is out of sight" for o in found if outside(o)]
    out += [f"{o['text']!r} has a contrast of {o['contrast']:.1f}" for o in found if o['contrast'] < 4.5]
    out += [f"{a['text']!r} lies over {b['text']!r}" for a, b in combinations(found, 2) if over(a, b)]
    return out + [f"{o['text']!r} is not beside its name" for o in found if o['kind']!='text' and astray(o, found)]

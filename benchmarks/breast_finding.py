"""Contact sheets of the outlines found in real images, to count failures by eye

MAMMO_UDA_DATA=... python benchmarks/breast_finding.py FOLDER [SET ...]"""
import os, sys, time
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from PIL import Image, ImageDraw
from scipy.ndimage import binary_erosion
from skimage.measure import label

from mammo_uda.core.files import UnreadableImage
from mammo_uda.data.image import read_image
from mammo_uda.data.standardise import border_depth, breast_mask, film_area, standardise

TILE, COLUMNS, GAP, RANDOM, STRANGE, SEED = 200, 8, 4, 400, 48, 1

def outlined(path, photometric, number):
    "The image with its outline, uint8 [TILE,TILE,3], and how strange the outline is by each criterion"
    image = read_image(path, photometric)
    grey = Image.fromarray((image*255).astype('uint8')).resize((TILE, TILE)).convert('RGB')
    ImageDraw.Draw(grey).text((2, 2), str(number), fill=(0, 255, 0))
    tile = np.array(grey)
    try: mask = breast_mask(image)
    except UnreadableImage: return tile, dict.fromkeys(('strangeness', 'cut', 'removed'), np.inf)
    small = np.asarray(Image.fromarray(mask).resize((TILE, TILE)))
    tile[small & ~binary_erosion(small)] = 255, 120, 0
    return tile, dict(strangeness=strangeness(mask), cut=cut(image), removed=removed(image, mask))

def strangeness(mask):
    "Reaching across the film, a gap or a dent at the chest wall, a ragged shape, too much or too little of the film"
    rim = mask.shape[1]//20
    if mask[:,-rim:].sum() > mask[:,:rim].sum(): mask = mask[:,::-1]
    rows, columns = [np.flatnonzero(mask.any(axis)) for axis in (1, 0)]
    box = mask[rows[0]:rows[-1]+1, columns[0]:columns[-1]+1]
    return (4*mask[:,-1].mean() + 10*columns[0]/mask.shape[1] + (1 - box[:,:3].mean())
            + (box.mean() < .52) + .5*(mask.mean() > .8) + .5*(mask.mean() < .12))

def cut(image):
    "The largest share of the image that is cut off at one side as a border"
    sides = [np.rot90(image > .9, quarter) for quarter in range(4)]
    return max(border_depth(side).mean()/len(side) for side in sides)

def removed(image, mask):
    "The brightest part within the film's border that the outline leaves out: its summed grey, as a share of the image"
    parts = label((image > .5) & film_area(image) & ~mask)
    return np.bincount(parts.flat, image.flat)[1:].max(initial=0)/image.size

def sheet(tiles, path):
    "Write tiles side by side"
    step, lines = TILE+GAP, -(-len(tiles)//COLUMNS)
    page = np.zeros((lines*step, COLUMNS*step, 3), 'uint8')
    for i, tile in enumerate(tiles):
        top, left = i//COLUMNS*step, i%COLUMNS*step
        page[top:top+TILE, left:left+TILE] = tile
    Image.fromarray(page).save(path)

def sheets(name, data, out):
    "The random, the strangest and the flagged images of a set"
    rows = pd.read_csv(data/name/'index.csv')
    photometric = rows['photometric'] if 'photometric' in rows else [None]*len(rows)
    each = zip(rows['file'], photometric, range(len(rows)))
    tiles, strange = zip(*Parallel(n_jobs=-1)(delayed(outlined)(data/name/f, p, i) for f, p, i in each))
    strange = pd.DataFrame(strange)
    chosen = {by: strange[by].to_numpy().argsort()[::-1][:STRANGE] for by in strange}
    if 'implant' in rows: chosen['implant'] = np.flatnonzero(rows['implant'])
    drawn = np.random.default_rng(SEED).choice(len(rows), RANDOM, replace=False)
    for page in range(RANDOM//40): chosen[f'random-{page+1}'] = drawn[40*page:40*(page+1)]
    for what, which in chosen.items(): sheet([tiles[i] for i in which], out/f'{name}-{what}.png')
    missed, cuts = np.isinf(strange.cut).sum(), (strange.cut > 0).sum()
    print(f'{name}: {len(rows)} images, {missed} without a breast, {cuts} with a border')

def longest():
    "How long the largest image keeps one processor"
    y, x = np.ogrid[:6000,:6000]
    depth = np.clip(1 - ((y/6000-.5)/.4)**2 - (x/6000/.7)**2, 0, 1)
    image = np.where(depth > 0, .1 + .5*np.sqrt(depth), 0).astype(np.float32)
    for size in 96, 512:
        start = time.process_time()
        standardise(image, size)
        print(f'6000 x 6000 to {size} x {size}: {time.process_time()-start:.2f} s of one processor')

longest()
data, out = Path(os.environ['MAMMO_UDA_DATA']), Path(sys.argv[1])
out.mkdir(parents=True, exist_ok=True)
for name in sys.argv[2:] or ['film_ddsm', 'ffdm_rsna']: sheets(name, data, out)

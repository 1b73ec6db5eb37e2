"Contact sheets of the outlines found in real images, to count failures by eye: MAMMO_UDA_DATA=... python benchmarks/breast_finding.py FOLDER"
import os, sys
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from PIL import Image
from scipy.ndimage import binary_erosion

from mammo_uda.core.files import UnreadableImage
from mammo_uda.data.image import read_image
from mammo_uda.data.standardise import breast_mask

TILE, COLUMNS, GAP = 190, 8, 4

def outlined(path, photometric):
    "The image with its outline, uint8 [TILE,TILE,3], and how strange the outline is"
    image = read_image(path, photometric)
    grey = Image.fromarray((image*255).astype('uint8')).resize((TILE, TILE))
    tile = np.stack([np.asarray(grey)]*3, -1)
    try: mask = breast_mask(image)
    except UnreadableImage: return tile, np.inf
    small = np.asarray(Image.fromarray(mask).resize((TILE, TILE)))
    tile[small & ~binary_erosion(small)] = 255, 120, 0
    return tile, strangeness(mask)

def strangeness(mask):
    "Reaching across the film, a gap or a dent at the chest wall, a ragged shape, too much or too little of the film"
    rim = mask.shape[1]//20
    if mask[:,-rim:].sum() > mask[:,:rim].sum(): mask = mask[:,::-1]
    rows, columns = [np.flatnonzero(mask.any(axis)) for axis in (1, 0)]
    box = mask[rows[0]:rows[-1]+1, columns[0]:columns[-1]+1]
    return (4*mask[:,-1].mean() + 10*columns[0]/mask.shape[1] + (1 - box[:,:3].mean())
            + (box.mean() < .52) + .5*(mask.mean() > .8) + .5*(mask.mean() < .12))

def sheet(tiles, path):
    "Write tiles side by side"
    step, lines = TILE+GAP, -(-len(tiles)//COLUMNS)
    page = np.zeros((lines*step, COLUMNS*step, 3), 'uint8')
    for i, tile in enumerate(tiles):
        top, left = i//COLUMNS*step, i%COLUMNS*step
        page[top:top+TILE, left:left+TILE] = tile
    Image.fromarray(page).save(path)

data, out = Path(os.environ['MAMMO_UDA_DATA']), Path(sys.argv[1])
out.mkdir(parents=True, exist_ok=True)
for name in ('film_ddsm', 'ffdm_rsna'):
    rows = pd.read_csv(data/name/'index.csv')
    photometric = rows['photometric'] if 'photometric' in rows else [None]*len(rows)
    tiles, strange = zip(*Parallel(n_jobs=-1)(delayed(outlined)(data/name/f, p) for f, p in zip(rows['file'], photometric)))
    sheet([tiles[i] for i in np.argsort(strange)[::-1][:24]], out/f'{name}-worst.png')
    drawn = np.random.default_rng(0).choice(len(rows), 200, replace=False)
    for page in range(4): sheet([tiles[i] for i in drawn[50*page:50*(page+1)]], out/f'{name}-random-{page+1}.png')
    print(f'{name}: {len(rows)} images, {np.isinf(strange).sum()} without a breast')

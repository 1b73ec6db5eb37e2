"A small run on phantoms, with translations of which the right answer is known"
import json
import numpy as np
from PIL import Image
from scipy.ndimage import binary_dilation
from mammo_uda.data.phantom import phantom_store
from mammo_uda.data.store import write_store
from mammo_uda.view.pictures import known

def translated(row, size, keep):
    "The right translation of a phantom, or the same with its lesion painted over"
    truth, lesion = known(row, size)
    return truth if keep else np.where(binary_dilation(lesion, iterations=3), np.median(truth[truth > 0]), truth).astype('float32')

def phantom_run(run, size=64):
    "Film translated perfectly in every second image, without its lesion in the others; a training of three pictures"
    (run/'steps'/'gan').mkdir(parents=True)
    film = phantom_store(run/'steps'/'film', 'film', patients=6, size=size)
    made = [translated(row, size, keep=i % 2==0) for i, row in film.index.iterrows()]
    for name, images in dict(made=made, back=film[:]).items(): write_store(run/'steps'/name, images, film.index, size)
    for epoch in (2, 4, 6): Image.fromarray(np.full((96, 192), 20*epoch, dtype='uint8')).save(run/'steps'/'gan'/f'sample-{epoch:04}.png')
    translation = dict(recipe='uda', seed=0, domain='film', to='digital', translator='steps/gan/film-digital', synthesised='steps/made', reconstructed='steps/back')
    (run/'manifest.json').write_text(json.dumps(dict(stores=dict(film='steps/film'), translations=[translation])))
    return run

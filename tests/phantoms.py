"Small runs: on phantoms, with translations of which the right answer is known; on sketches, with a short training"
import json
import numpy as np
from PIL import Image
from scipy.ndimage import binary_dilation
from mammo_uda.data.phantom import phantom_store
from mammo_uda.data.store import write_store
from mammo_uda.experiment.report import Triplets, read_manifest, sample_run
from mammo_uda.experiment.tasks import train_gan
from values import recipe
from mammo_uda.view.pictures import known, known_answers
from mammo_uda.view.translation import true_image

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
    translation = dict(recipe='uda', seed=0, domain='film', to='digital', half=0, translator='steps/gan/film-digital', synthesised='steps/made', reconstructed='steps/back')
    (run/'manifest.json').write_text(json.dumps(dict(stores=dict(film='steps/film'), phantoms=True, translations=[translation])))
    return run

def first_images(run):
    "What a phantom run holds of its first breast, by caption"
    triplets = Triplets(run, read_manifest(run)['translations'][0])
    images = dict(zip(['real', 'synthesised', 'reconstructed'], triplets[0]))
    answers = known_answers(triplets.index.iloc[0], triplets.stores[0].size)
    return images | dict(truth=true_image(answers, images['synthesised']))

def trained_run(run, size=32):
    "A sample run with a training of four epochs"
    sample_run(run, size=size)
    out = run/'steps'/'gan-uda-semantic-film-1-0123456789ab'
    out.mkdir()
    stores = [run/'steps'/f'prepare-{domain}' for domain in ('film', 'digital')]
    small = dict(epochs=4, steps=2, bs=2, seed=0, device='cpu', filters=4, blocks=1, d_filters=4, d_layers=1)
    train_gan(out, lambda *_: None, *stores, ['film', 'digital'], **recipe('uda'), **small)
    return run

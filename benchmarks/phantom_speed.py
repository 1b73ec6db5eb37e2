"Images a second that the phantom draws on one core: OMP_NUM_THREADS=1 python benchmarks/phantom_speed.py"
from time import process_time

from mammo_uda.data.phantom import DOMAINS, SIDES, VIEWS, acquire, sheet_height
from mammo_uda.data.standardise import standardise

for size in (64, 128, 256):
    for domain in DOMAINS:
        views = [(patient, side, view) for patient in range(1, 16) for side in SIDES for view in VIEWS]
        acquire(*views[0], domain, sheet_height(size)) # what is made once, such as filters
        start = process_time()
        images = [acquire(*v, domain, sheet_height(size))[1] for v in views]
        drawn = process_time()
        for image in images: standardise(image, size)
        done = process_time()
        drawing, standardising, both = [len(views)/o for o in (drawn-start, done-drawn, done-start)]
        print(f'{domain:8} {size:4} px, images a second: {drawing:6.1f} drawn, {standardising:6.1f} standardised, {both:6.1f} both')

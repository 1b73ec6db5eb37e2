"Images a second that the phantom draws on one core: python benchmarks/phantom_speed.py"
from time import process_time

from mammo_uda.data.phantom import DOMAINS, SIDES, VIEWS, acquire, sheet_height
from mammo_uda.data.standardise import standardise

for size in (64, 128, 256):
    for domain in DOMAINS:
        views = [(patient, side, view) for patient in range(1, 11) for side in SIDES for view in VIEWS]
        start = process_time()
        images = [acquire(*v, domain, sheet_height(size))[1] for v in views]
        drawn = process_time()
        for image in images: standardise(image, size)
        print(f'{domain:8} {size:4} px: {len(views)/(drawn-start):6.1f} drawn a second, {len(views)/(process_time()-drawn):6.1f} standardised a second')

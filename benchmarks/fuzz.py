"""Broken DICOM, DDSM and picture files, each read in a process with limits of time and memory

    python benchmarks/fuzz.py OUT 0 20000    reads the broken files of these numbers and writes OUT/0-20000.jsonl
    python benchmarks/fuzz.py OUT            prints the table of all that was read
"""
import json, re, resource, sys, tempfile
from pathlib import Path
from time import perf_counter

import numpy as np, pandas as pd
from pydicom.dataset import Dataset as Header

root = Path(__file__).parent.parent
sys.path[:0] = [str(root/'tests'), str(root/'benchmarks')]

from mammo_uda.core.files import UnreadableImage
from mammo_uda.core.workers import failure, run_apart
from mammo_uda.data.standardise import read_standard

SECONDS, GIB = 60., 2.

# --- damage: each takes bytes and a generator, and gives other bytes

def some(rng, n, most): return rng.integers(0, n, rng.integers(1, most))

def cut(data, rng): return data[:rng.integers(1, len(data))]

def flip(data, rng, first=0, last=None):
    out = bytearray(data)
    for at in some(rng, (last or len(out)) - first, 30): out[first+at] ^= 1 << rng.integers(8)
    return bytes(out)

def header(data, rng):
    "Wrong bytes where sizes, lengths and tags are"
    out = bytearray(data)
    for at in some(rng, min(len(out), 800), 12): out[at] = rng.integers(256)
    return bytes(out)

def tags(data, rng):
    "Other element numbers, types or values behind group 0028, which describes the pixels"
    out = bytearray(data)
    places = [i for i in range(132, len(out)-12) if out[i:i+2] == b'\x28\0']
    for at in rng.choice(places or [0], min(3, len(places or [0]))): out[at + rng.integers(2, 12)] = rng.choice([0, 1, 8, 16, 255, rng.integers(256)])
    return bytes(out)

def lengths(data, rng):
    "Sizes that ask for gigabytes"
    out = bytearray(data)
    for at in some(rng, min(len(out), 2000)-4, 6): out[at:at+4] = [b'\xff\xff\xff\x7f', b'\xff\xff\xff\xff', b'\xff\xff\0\0'][rng.integers(3)]
    return bytes(out)

def pixels(data, rng): return flip(data, rng, len(data)//2)

def swap(data, rng):
    "Two stretches in each other's place"
    long = int(rng.integers(4, 200))
    a, b = sorted(rng.integers(0, max(1, len(data)-2*long), 2))
    b = max(b, a+long)
    return data[:a] + data[b:b+long] + data[a+long:b] + data[a:a+long] + data[b+long:]

def insert(data, rng):
    at = rng.integers(len(data))
    return data[:at] + rng.bytes(rng.integers(1, 100)) + data[at:]

def drop(data, rng):
    at = rng.integers(len(data))
    return data[:at] + data[at + rng.integers(1, 100):]

def blank(data, rng):
    at, long = rng.integers(len(data)), rng.integers(1, 300)
    return data[:at] + bytes(len(data[at:at+long])) + data[at+long:]

def twice(data, rng): return flip(cut(data, rng) + data, rng)

DAMAGE = (cut, flip, header, tags, lengths, pixels, swap, insert, drop, blank, twice)

# --- whole files

MANY_TAGS = dict(WindowCenter=2048, WindowWidth=4096, RescaleSlope=1, RescaleIntercept=0, PixelPaddingValue=0, PixelPaddingRangeLimit=0,
                 ImagerPixelSpacing=[.1, .1], EstimatedRadiographicMagnificationFactor=1, NumberOfFrames=1, ImageType=['ORIGINAL', 'PRIMARY', ''])

def lookup():
    "A table of 256 entries"
    item = Header()
    item.add_new('LUTDescriptor', 'US', [256, 0, 12])
    item.add_new('LUTData', 'US', list(range(0, 4096, 16)))
    return item

def whole_files(folder):
    "The same film in every coding, more header in one of them, and as PVRG-JPEG coded DDSM; made on the spot"
    from codings import ALL, film, save_coded
    from test_ddsm import ICS, encode
    files = [save_coded(folder, coding, film(48), **MANY_TAGS) for coding in ALL]
    (folder/'tables').mkdir()
    files.append(save_coded(folder/'tables', 'explicit', film(48), VOILUTSequence=[lookup()], ModalityLUTSequence=[lookup()], **MANY_TAGS))
    for predictor in (1, 7):
        case = folder/f'pvrg-{predictor}'
        case.mkdir()
        (case/'A-1141-1.ics').write_text(ICS.replace('LINES 20', 'LINES 48').replace('PIXELS_PER_LINE 13', 'PIXELS_PER_LINE 48'))
        (case/'A_1141_1.LEFT_CC.LJPEG').write_bytes(encode(3800 - film(48), predictor))
        files += [case/'A_1141_1.LEFT_CC.LJPEG', case/'A-1141-1.ics']
    return files

def broken(whole, folder, number):
    "Write the broken file of a number, with its case if it has one"
    rng, source = np.random.default_rng([7, number]), whole[number % len(whole)]
    damage = DAMAGE[rng.integers(len(DAMAGE))]
    for beside in source.parent.iterdir() if source.parent.name.startswith('pvrg') else ():
        (folder/beside.name).write_bytes(beside.read_bytes())
    (folder/source.name).write_bytes(damage(source.read_bytes(), rng))
    return folder/('A_1141_1.LEFT_CC.LJPEG' if source.suffix == '.ics' else source.name), damage.__name__

def attempt(whole, number):
    "Read one broken file"
    with tempfile.TemporaryDirectory() as folder:
        path, damage = broken(whole, Path(folder), number)
        start = perf_counter()
        try: outcome = 'read' if np.isfinite(read_standard(path, None, 32).image).all() else 'read, with pixels that are no numbers'
        except UnreadableImage as e: outcome = f'refused: {e}'
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/2**10
        return dict(damage=damage, outcome=outcome, seconds=round(perf_counter() - start, 3), mib=round(peak))

def fuzz(out, first, last, workers=2):
    "Read the broken files of some numbers, and keep what became of them"
    from fuzz import attempt # children find it by its module
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, open(out/f'{first}-{last}.jsonl', 'w') as lines:
        whole = whole_files(Path(folder))
        futures = run_apart(attempt, ((whole, number) for number in range(first, last)), workers, SECONDS, GIB)
        for number, future in enumerate(futures, first):
            name = whole[number % len(whole)]
            about = dict(number=number, file=str(name.relative_to(folder)))
            lines.write(json.dumps(about | (dict(outcome=failure(future)) if future.exception() else future.result())) + '\n')
            lines.flush()

# --- what became of them

def kind(outcome):
    "An outcome without its numbers and the words of the file, so that like ones are counted together"
    return re.sub(r'digitiser .* and letter .', 'digitiser X and letter X', re.sub(r'\d+', 'N', outcome))

def as_markdown(counts):
    "A table of counts, its index first"
    lines = [[counts.index.name, *counts.columns], ['---']*(counts.shape[1]+1), *([name, *row] for name, row in zip(counts.index, counts.to_numpy()))]
    return '\n'.join(f"| {' | '.join(f'{o:,}' if isinstance(o, (int, np.integer)) else str(o) for o in line)} |" for line in lines)

def table(out):
    "Print what became of all files that were read"
    lines = [line for path in sorted(out.glob('*.jsonl')) for line in path.read_text().splitlines()]
    found = pd.DataFrame(map(json.loads, lines)).drop_duplicates('number')
    found['outcome'] = found['outcome'].map(kind)
    print(f"{len(found):,} files; longest {found['seconds'].max():.1f} s of {SECONDS:.0f}, largest process {found['mib'].max():,.0f} of {GIB*1024:,.0f} MiB")
    print('', as_markdown(found['outcome'].value_counts().rename_axis('outcome').to_frame('files')), sep='\n')
    short = found['outcome'].str.split(':').str[0]
    for column in ('file', 'damage'): print('', as_markdown(pd.crosstab(found[column].fillna('not known'), short)), sep='\n')

if __name__ == '__main__':
    out = Path(sys.argv[1])
    if len(sys.argv) == 4: fuzz(out, *map(int, sys.argv[2:]))
    else: table(out)

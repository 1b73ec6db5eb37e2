"A patient called CANARY stands in every field of every file, and must stand nowhere in what a run leaves behind"
from pathlib import Path

import numpy as np, pandas as pd, pytest
from pydicom.datadict import DicomDictionary
from pydicom.uid import ExplicitVRLittleEndian
from typer.testing import CliRunner

from codings import film, header, save_dicom
from mammo_uda.cli import app

TEXT = dict(AE='CANARY', CS='CANARY', LO='CANARY lo', LT='CANARY lt', PN='CANARY^Jane', SH='CANARY sh', ST='CANARY st', UC='CANARY uc', UT='CANARY ut',
            UR='http://canary', DA='19777707', TM='777777.7', DT='19777707', AS='777Y', UI='1.2.777777707', IS='777777707', DS='777777.07')
SECRETS = ('canary', '19777707', '777777.7', '777y', '777777707', '777777.07')
NEEDED = {'PixelRepresentation', 'PhotometricInterpretation', 'PresentationIntentType', 'SOPClassUID', 'RescaleSlope', 'RescaleIntercept',
          'WindowCenter', 'WindowWidth', 'VOILUTFunction', 'NumberOfFrames', 'SpecificCharacterSet',
          'EstimatedRadiographicMagnificationFactor'}
PLANTED = {keyword: TEXT[vr] for tag, (vr, vm, _, retired, keyword) in DicomDictionary.items()
           if tag >> 16 in (0x0008, 0x0010, 0x0012, 0x0018, 0x0020, 0x0028, 0x0032, 0x0038, 0x0040, 0x0054, 0x2050, 0x4008)
           and vr in TEXT and vm.startswith('1') and not retired and keyword and keyword not in NEEDED}

def canary(folder, n, seed):
    "DICOM files of `n` patients and the list of their labels, some of them no good"
    folder.mkdir(parents=True)
    rows = []
    for i in range(n):
        ds = header(film(64, seed=seed+i), **PLANTED)
        ds.PatientID = f'CANARY-{seed+i}'
        name = f'CANARY-{i}.dcm'
        save_dicom(folder/name, ds, ExplicitVRLittleEndian, film(64, seed=seed+i).tobytes())
        rows.append(dict(file=name, label=i%2, surname='CANARY', scanner='A'))
    cut = (folder/'CANARY-0.dcm').read_bytes()
    (folder/'CANARY-cut.dcm').write_bytes(cut[:len(cut)//2])
    rows += [dict(file=f, label=0, surname='CANARY', scanner='A') for f in ('CANARY-cut.dcm', 'CANARY-lost.dcm')]
    pd.DataFrame(rows).to_csv(folder/'labels.csv', index=False)
    return folder

def type_in(*args):
    result = CliRunner().invoke(app, list(map(str, args)))
    assert result.exit_code == 0, result.output
    return result.output

def texts(folder):
    "Everything that the files of a folder say, and their names; tables are unpacked"
    for path in folder.rglob('*'):
        yield path, str(path.relative_to(folder)).encode()
        if path.suffix == '.parquet': yield path, pd.read_parquet(path).to_csv().encode()
        elif path.is_file(): yield path, path.read_bytes()

def test_many_fields_are_planted():
    assert len(PLANTED) > 900 and {'PatientName', 'PatientID', 'PatientBirthDate', 'AccessionNumber', 'ViewPosition', 'ImageLaterality'} <= set(PLANTED)

def test_nothing_of_a_patient_leaves_the_hospital(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    hospital, out = Path('hospital/CANARY'), Path('out')
    sets = {d: canary(hospital/d, 16, seed) for d, seed in (('film', 0), ('digital', 100))}
    said = [type_in('ingest', 'dicom', folder, '--labels', folder/'labels.csv', '--out', out/d, '--size', 32, '--domain', d) for d, folder in sets.items()]
    said.append(type_in('table1', '--tiny', '--film', out/'film', '--digital', out/'digital', '--out', out/'run'))
    (hospital/'film'/'new.csv').write_text('file,patient\nCANARY-0.dcm,CANARY\nCANARY-cut.dcm,CANARY\n')
    said.append(type_in('predict', next(out.glob('run/steps/uda-*-film-*')), hospital/'film'/'new.csv', '--out', out/'scores.csv'))
    assert len(pd.read_parquet(out/'film'/'index.parquet')) == 16 and len(pd.read_csv(out/'film'/'rejected.csv')) == 2
    for path, text in [*texts(out), *((Path('console'), o.encode()) for o in said)]:
        found = [o for o in SECRETS if o.encode() in text.lower()]
        assert not found or path.suffix in ('.safetensors', '.npy', '.png') and found == ['777y'], f'{path.name} says {found}' # four bytes may be chance
        assert str(tmp_path).encode() not in text, path.name

"The public sets: what is read from their lists, and what is refused or left out"
import csv, io, os, shutil
from pathlib import Path

import numpy as np, pandas as pd, pytest
from PIL import Image
from pydicom import Dataset as DicomDataset, Sequence, dcmread
from pydicom.data import get_testdata_file

from mammo_uda.core.files import UserError
from mammo_uda.data.dataset import Dataset
from mammo_uda.data.ddsm import VIEWS
from mammo_uda.data.describe import reading_notes
from mammo_uda.data.image import read_image
from mammo_uda.data.ingest import ingest_notes
from mammo_uda.data.sets import SETS, cbis_ddsm, cmmd, ddsm, embed, inbreast, mini_mias, read_list, rsna, vindr_mammo
from mammo_uda.data.store import PixelStore, build_store


@pytest.fixture
def put(tmp_path):
    "Writes a small file below the set's folder"
    def put(path, text=''):
        path = tmp_path/path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
    return put


def half_disc(size=64):
    y, x = np.mgrid[:size, :size]
    return np.clip(1.2 - np.hypot(y-size/2, x)/30, 0, 1)


def dicom(path):
    "A 12-bit DICOM with a half-disc in place of a breast"
    ds = dcmread(get_testdata_file('CT_small.dcm'))
    for name in ('RescaleSlope', 'RescaleIntercept', 'PixelPaddingValue', 'WindowCenter', 'WindowWidth'):
        if name in ds: delattr(ds, name)
    ds.Rows, ds.Columns, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 64, 64, 12, 11, 0
    ds.PixelData = (half_disc()*4095).astype('<u2').tobytes()
    ds.save_as(path)


# ---- each set as published, with two patients P1 and P2 that must leave no trace but in `path`

CBIS = 'patient_id,breast{0}density,left or right breast,image view,abnormality id,abnormality type,assessment,pathology,image file path,cropped image file path\n'

def cbis_row(patient, side, view, kind, birads, pathology, case, sep='/'):
    path = sep.join([f'{case}_{patient}_{side}_{view}', '1.3.6', '1.3.6', '000000.dcm'])
    crop = path.replace(f'_{view}', f'_{view}_1')
    return f'{patient},2,{side},{view},1,{kind},{birads},{pathology},{path},"{crop}\n"\n' # the archive's lists have such line breaks

def put_cbis(put, mass_train='', mass_test='', calc_train='', calc_test=''):
    "The four lists; an empty one gets a film of its own"
    for kind, part, text in (('mass','train',mass_train), ('mass','test',mass_test), ('calc','train',calc_train), ('calc','test',calc_test)):
        text = text or cbis_row(f'P_0009{len(kind+part)}', 'LEFT', 'CC', kind, 2, 'BENIGN', f'{kind.title()}-Training')
        put(f'{kind}_case_description_{part}_set.csv', CBIS.format('_' if kind=='mass' else ' ') + text)

def film(case): return f'manifest-1/CBIS-DDSM/{case}/07-20-2016-DDSM-NA-74994/1.000000-full mammogram images-24515/1-1.dcm'

INBREAST = 'Patient ID;Patient age;Laterality;View;Acquisition date;File Name;ACR;Bi-Rads\n'

def put_inbreast(put, birads=('1','2','3','4a','4b','4c','5','6'), age='removed'):
    rows = [f'removed;{age};{"LR"[i%2]};MLO;201001;{i}0;     ;{b}\n' for i, b in enumerate(birads)]
    put('INbreast Release 1.0/INbreast.csv', INBREAST + ''.join(rows))
    for i in range(len(birads)): put(f'INbreast Release 1.0/AllDICOMs/{i}0_P{i//4}canary_MG_{"LR"[i%2]}_ML_ANON.dcm')

VINDR = 'study_id,series_id,laterality,view_position,image_id,height,width,breast_birads,breast_density,split\n'

def put_vindr(put, birads=(1, 2, 3, 4, 5)):
    rows = [f'P{i//4}canary,s,L,CC,i{i},9,9,BI-RADS {b},DENSITY {"ABCD"[i%4]},{"test" if i//4 else "training"}\n' for i, b in enumerate(birads)]
    put('breast-level_annotations.csv', VINDR + ''.join(rows))
    for i in range(len(birads)): put(f'images/P{i//4}canary/i{i}.dicom')

RSNA = 'site_id,patient_id,image_id,laterality,view,age,cancer,biopsy,invasive,BIRADS,implant,density,machine_id,difficult_negative_case\n'

def put_rsna(put, cancer=(0, 1, 1), suffix='.dcm'):
    put('train.csv', RSNA + ''.join(f'2,P{i//2}canary,1{i},L,CC,61.0,{c},0,0,,0,,29,False\n' for i, c in enumerate(cancer)))
    for i in range(len(cancer)): put(f'train_images/P{i//2}canary/1{i}{suffix}')

MIAS = 'mdb001 G CIRC B 535 425 197\nmdb002 D NORM \nmdb003 F CALC M *NOTE 3*\nmdb004 F NORM\n'

def put_mias(put, text=MIAS, folder=''):
    put('Info.txt', text)
    for i in range(1, 5): put(f'{folder}mdb00{i}.pgm')


def put_ddsm(put, folder='cancers/cancer_01/case0001', name='A-0001-1', digitiser='HOWTEK', outlined=(), lines=60, pixels=40):
    "The header of a case and its overlays; `outlined` has pairs of view and pathologies"
    outlined, stem = dict(outlined), name.replace('-', '_')
    put(f'{folder}/{name}.ics', f'ics_version 1.0\nfilename {name}\nDATE_OF_STUDY 7 6 1994\nPATIENT_AGE 61\nDENSITY 3\nDIGITIZER {digitiser}\n' + ''.join(
        f"{v} LINES {lines} PIXELS_PER_LINE {pixels} BITS_PER_PIXEL 12 RESOLUTION 50 {'' if v in outlined else 'NON_'}OVERLAY\n" for v in VIEWS))
    for view, pathologies in outlined.items():
        put(f'{folder}/{stem}.{view}.OVERLAY', f'TOTAL_ABNORMALITIES {len(pathologies)}\n' + ''.join(
            f'ABNORMALITY {i+1}\nLESION_TYPE MASS\nASSESSMENT 5\nSUBTLETY 4\nPATHOLOGY {p}\nTOTAL_OUTLINES 1\nBOUNDARY\n10 20 2 4 6 0 #\n'
            for i, p in enumerate(pathologies)))


CMMD = 'ID1,LeftRight,Age,number,abnormality,classification,subtype\n'
VIEW_NUMBERS = {'CC': '399162004', 'MLO': 'R-10226'}

def header(patient, side, view):
    "A DICOM file of which the header is read"
    ds, code, out = dcmread(get_testdata_file('CT_small.dcm')), Sequence([DicomDataset()]), io.BytesIO()
    ds.PatientID, ds.ImageLaterality, ds.ViewCodeSequence, code[0].CodeValue = patient, side, code, VIEW_NUMBERS[view]
    ds.save_as(out)
    return out.getvalue()

def put_cmmd(put, rows='D1-0canary,L,44,2,mass,Benign,\nD2-0canary,R,50,2,both,Malignant,Luminal A\n', images=(('D1-0canary','L','CC'), ('D2-0canary','R','MLO'))):
    put('CMMD_clinicaldata_revision.csv', CMMD + rows)
    put('manifest-1616439774456/metadata.csv', 'Series UID,Collection,Subject ID\n1.2.3,CMMD,D1-0canary\n')
    for i, (patient, side, view) in enumerate(images):
        put(f'manifest-1616439774456/CMMD/{patient}/07-18-2010-NA-NA-79377/1.000000-NA-70244/1-{i+1}.dcm', header(patient, side, view))

FINDINGS = 'empi_anon,acc_anon,study_date_anon,desc,numfind,side,asses,path_severity,bside,tissueden,age_at_study\n'
IMAGES = 'anon_dicom_path,empi_anon,acc_anon,StudyDescription,FinalImageType,ImageLateralityFinal,ViewPosition,spot_mag,ManufacturerModelName,BreastImplantPresent\n'

def put_embed(put, findings=(('0canary',1,'L','M','0.0','L'), ('1canary',2,'','N','','')), images=(('0canary',1,'L'), ('1canary',2,'R')), reduced=''):
    "The two tables and the images; an image is (woman, examination, side) and further cells"
    put(f'tables/EMBED_OpenData_clinical{reduced}.csv', FINDINGS + ''.join(
        f'P{woman},{exam},2015-01-10,MG Screening Bilateral,1,{side},{asses},{severity},{bside},2.0,70.51\n' for woman, exam, side, asses, severity, bside in findings))
    rows = ''
    for i, (woman, exam, side, *more) in enumerate(images):
        kind, view, spot, implant = [*more, *['2D', 'MLO', '', 'NO'][len(more):]]
        path = f'images/cohort_1/P{woman}/1.2.{exam}/1.2.3/1.2.826.{i}.dcm'
        rows += f'./{path},P{woman},{exam},MG Screening Bilateral,{kind},{side},{view},{spot},Selenia Dimensions,{implant}\n'
        put(path)
    put(f'tables/EMBED_OpenData_metadata{reduced}.csv', IMAGES + rows)

# ---- CBIS-DDSM

def test_cbis_merges_the_rows_of_a_film(put, tmp_path):
    put_cbis(put, mass_train=cbis_row('P_00001', 'LEFT', 'CC', 'mass', 3, 'BENIGN', 'Mass-Training')
                           + cbis_row('P_00001', 'LEFT', 'CC', 'mass', 5, 'BENIGN_WITHOUT_CALLBACK', 'Mass-Training')
                           + cbis_row('P_00001', 'LEFT', 'MLO', 'mass', 2, 'BENIGN', 'Mass-Training'),
                  calc_test=cbis_row('P_00001', 'LEFT', 'CC', 'calcification', 4, 'MALIGNANT', 'Calc-Test'))
    put(film('Mass-Training_P_00001_LEFT_CC'))
    put(film('Calc-Test_P_00001_LEFT_CC'))
    t = cbis_ddsm(tmp_path).table.iloc[:2]
    assert t['label'].tolist() == [1, 0] and t['birads'].tolist() == [5, 2] and t['lesion'].tolist() == ['both', 'mass']
    assert t['patient'].nunique() == 1 and t['laterality'].tolist() == ['L', 'L'] and t['view'].tolist() == ['CC', 'MLO']
    assert t['path'][0] == film('Mass-Training_P_00001_LEFT_CC') and t['split'].isna().all() and t['domain'][0] == 'film'


def test_cbis_takes_the_first_file_that_is_there_and_never_a_crop(put, tmp_path):
    put_cbis(put, mass_train=cbis_row('P_00001', 'LEFT', 'CC', 'mass', 3, 'MALIGNANT', 'Mass-Training')
                           + cbis_row('P_00002', 'RIGHT', 'CC', 'mass', 3, 'BENIGN', 'Mass-Training', sep='\\'),
                  calc_train=cbis_row('P_00001', 'LEFT', 'CC', 'calcification', 2, 'BENIGN', 'Calc-Training')
                           + cbis_row('P_00003', 'LEFT', 'CC', 'calcification', 2, 'BENIGN', 'Calc-Training'))
    for case in ('Mass-Training_P_00001_LEFT_CC_1', 'Calc-Training_P_00001_LEFT_CC', 'Mass-Training_P_00002_RIGHT_CC', 'Calc-Training_P_00003_LEFT_CC_1'):
        put(film(case))
    t = cbis_ddsm(tmp_path).table.set_index('row')
    paths = t['path'].tolist()
    assert film('Calc-Training_P_00001_LEFT_CC') in paths and film('Mass-Training_P_00002_RIGHT_CC') in paths
    assert 'Calc-Training_P_00003_LEFT_CC/1.3.6/1.3.6/000000.dcm' in paths and not any('CC_1' in p for p in paths)


def test_cbis_refuses_a_pathology_it_does_not_know(put, tmp_path):
    put_cbis(put, calc_test=cbis_row('P_00001', 'LEFT', 'CC', 'calcification', 4, 'UNPROVEN', 'Calc-Test'))
    put(film('Calc-Test_P_00001_LEFT_CC'))
    with pytest.raises(UserError, match="calc_case_description_test_set.csv, row 2: pathology is 'UNPROVEN'"): cbis_ddsm(tmp_path)


def test_cbis_needs_all_four_lists(put, tmp_path):
    put_cbis(put)
    put(film('Mass-Test_P_00001_LEFT_CC'))
    (tmp_path/'calc_case_description_test_set.csv').unlink()
    with pytest.raises(UserError, match='holds no calc_case_description_test_set.csv: CBIS-DDSM has four lists'): cbis_ddsm(tmp_path)


# ---- INbreast

def test_inbreast_labels_and_what_is_left_out(put, tmp_path):
    put_inbreast(put)
    d = inbreast(tmp_path)
    assert dict(zip(d.table['birads'], d.table['label'])) == {'1': 0, '2': 0, '4a': 1, '4b': 1, '4c': 1, '5': 1, '6': 1}
    assert d.notes == ['1 of 8 listed images have BI-RADS 3 and are left out']
    assert d.table['patient'].nunique() == 2 and set(d.table['view']) == {'MLO'} and d.table['row'].tolist() == [2, 3, 5, 6, 7, 8, 9]
    assert d.table['age'].isna().all() and d.table['density'].isna().all() and (d.folder/d.table['path'][0]).exists()


def test_inbreast_keeps_an_age_that_is_there_and_takes_commas(put, tmp_path):
    put_inbreast(put, ('1', '5'), age='61')
    assert inbreast(tmp_path).table['age'].tolist() == [61, 61]
    path = tmp_path/'INbreast Release 1.0'/'INbreast.csv'
    path.write_text(path.read_text().replace(';', ','))
    assert inbreast(tmp_path).table['label'].tolist() == [0, 1]


def test_inbreast_file_that_is_lost_is_a_patient_of_its_own(put, tmp_path):
    put_inbreast(put, ('1', '1', '5', '5'))
    next(tmp_path.rglob('10_*.dcm')).unlink()
    t = inbreast(tmp_path).table
    assert len(t) == 4 and t['path'][1] == 'AllDICOMs/10.dcm' and t['patient'].nunique() == 2


@pytest.mark.parametrize('birads', ['0', '7', '4d', ''])
def test_inbreast_refuses_a_category_it_does_not_know(put, tmp_path, birads):
    put_inbreast(put, ('1', birads))
    with pytest.raises(UserError, match='INbreast.csv, row 3: BI-RADS is .*; it must be 1 to 6'): inbreast(tmp_path)


def test_semicolons_keep_lines_and_lose_nothing(put, tmp_path):
    put('list.csv', '\ufeffA b ; C\n1;\n;\n\n2; x;\n')
    rows = read_list(tmp_path/'list.csv', {'a_b': 'one', 'c': 'two'})
    assert rows['one'].tolist() == ['1', '2'] and rows['row'].tolist() == [2, 5] and rows['two'].isna().tolist() == [True, False]
    put('list.csv', '\ufeffA b ; C\n1;\n;\n\n2; x;y\n')
    with pytest.raises(UserError, match='list.csv, row 5: it has 3 cells and the header has 2'): read_list(tmp_path/'list.csv', {'a_b': 'one'})


# ---- VinDr-Mammo

def test_vindr_labels_split_and_what_is_left_out(put, tmp_path):
    put_vindr(put)
    d = vindr_mammo(tmp_path)
    t = d.table
    assert dict(zip(t['birads'], t['label'])) == {1: 0, 2: 0, 4: 1, 5: 1} and 'age' not in t
    assert t['split'].tolist() == ['train', 'train', 'train', 'test'] and t['density'].tolist() == ['A', 'B', 'D', 'A']
    assert d.notes == ['1 of 5 listed images have BI-RADS 3 and are left out']


def test_vindr_takes_age_and_scanner_from_the_headers(put, tmp_path):
    put_vindr(put)
    put('metadata.csv', "SOP Instance UID,Patient's Age,Manufacturer's Model Name\ni1,061Y,Nuance\ni1,061Y,Nuance\ni0,100Y,Giotto\ni4,,\n")
    t = vindr_mammo(tmp_path).table
    assert t['age'].tolist()[:2] == [100, 61] and t['scanner'].tolist()[:2] == ['Giotto', 'Nuance']
    assert t['age'][2:].isna().all() and len(t) == 4
    put('metadata.csv', 'SOP Instance UID\ni1\n')
    with pytest.raises(UserError, match='metadata.csv has no column "patient\'s_age"'): vindr_mammo(tmp_path)


# ---- RSNA

def test_rsna_labels_and_columns(put, tmp_path):
    put_rsna(put)
    d = rsna(tmp_path)
    assert d.table['label'].tolist() == [0, 1, 1] and d.table['scanner'].tolist() == [29]*3 and d.table['domain'][0] == 'digital'
    assert d.table['patient'].nunique() == 2 and not {'site_id', 'biopsy', 'difficult_negative_case'} & set(d.table)
    assert all((d.folder/p).exists() for p in d.table['path'])


def test_rsna_reads_converted_files_only_where_there_is_no_dicom(put, tmp_path):
    put_rsna(put, suffix='.png')
    assert set(rsna(tmp_path).table['path'].str[-4:]) == {'.png'}
    put('train_images/P0canary/10.dcm')
    assert set(rsna(tmp_path).table['path'].str[-4:]) == {'.dcm'}


def test_rsna_refuses_a_label_that_is_none(put, tmp_path):
    put_rsna(put, cancer=(0, 'maybe'))
    with pytest.raises(UserError, match="train.csv, row 3: label is 'maybe'"): rsna(tmp_path)


# ---- mini-MIAS

def test_mias_reads_the_table_from_among_prose(put, tmp_path):
    put_mias(put, 'INFORMATION:\n\n1st column: MIAS database reference number.\nREFNUM BG CLASS SEVERITY X Y RADIUS\n' + MIAS, 'all-mias/')
    d = mini_mias(tmp_path)
    assert d.table['label'].tolist() == [0, 0, 1, 0] and d.table['row'].tolist() == [5, 6, 7, 8]
    assert d.table['density'].tolist() == ['G', 'D', 'F', 'F'] and d.table['laterality'].tolist() == ['R', 'L', 'R', 'L']
    one, two, three, four = d.table['patient']
    assert one == two != three == four and d.table['path'][0] == 'all-mias/mdb001.pgm' and set(d.table['view']) == {'MLO'}


@pytest.mark.parametrize('lines, label', [('B 1 2 3,M 1 2 3', 1), ('M 1 2 3,B 1 2 3', 1), ('B *NOTE 3*,B 1 2 3', 0), ('M,B', 1)])
def test_mias_film_with_two_lines_is_one_image(put, tmp_path, lines, label):
    put_mias(put, ''.join(f'mdb001 G CALC {o}\n' for o in lines.split(',')) + 'mdb002 G NORM\n')
    t = mini_mias(tmp_path).table
    assert t['label'].tolist() == [label, 0] and t['row'].tolist() == [1, 3]


def test_mias_list_without_films_is_refused(put, tmp_path):
    put_mias(put, 'This file lists the films in the MIAS database.\n')
    with pytest.raises(UserError, match='Info.txt lists no films'): mini_mias(tmp_path)


# ---- CMMD

def test_cmmd_labels_breasts_by_their_biopsy(put, tmp_path):
    put_cmmd(put, 'D1-1,R,44,2,calcification,Benign,\nD2-2,l,61,4,mass,malignant,Luminal A\nD2-2,R,61,4,both,Benign,\nD2-3,L,50,2,mass,Malignant,\n'
                  'D2-4,L,50,2,mass,Benign,\nD2-4,L,50,2,calcification,Malignant,\n',
             [('D1-1','R','CC'), ('D1-1','R','MLO'), ('D1-1','L','CC'), ('D2-2','L','CC'), ('D2-2','R','MLO'), ('D9-9','L','CC'), ('D2-4','L','CC')])
    put('manifest-1616439774456/CMMD/D1-1/x/y/1-9.dcm', 'no header')
    d = cmmd(tmp_path)
    t = d.table
    assert t['label'].tolist() == [0, 0, 1, 0, 1] and t['laterality'].tolist() == ['R', 'R', 'L', 'R', 'L'] and t['row'].tolist() == [2, 2, 3, 4, 6]
    assert t['view'].tolist() == ['CC', 'MLO', 'CC', 'MLO', 'CC'] and t['lesion'].tolist() == ['calcification']*2 + ['mass', 'both', 'both']
    assert t['age'].tolist() == [44, 44, 61, 61, 50] and t['patient'].nunique() == 3
    assert d.notes == ['1 of 8 listed images have no patient or no side in their header and are left out',
        '2 of 7 listed images show a breast that is not in the list and are left out', '1 of 5 breasts in the list have no image']

def test_cmmd_reads_the_series_of_any_layout(put, tmp_path):
    put_cmmd(put)
    for i, p in enumerate(sorted((tmp_path/'manifest-1616439774456').rglob('*.dcm'))): put(f'flat/1.3.6.1/{i}.dicom', p.read_bytes())
    shutil.rmtree(tmp_path/'manifest-1616439774456')
    assert cmmd(tmp_path).table['label'].tolist() == [0, 1]

def test_cmmd_what_is_refused(put, tmp_path):
    put_cmmd(put, 'D1-0canary,L,44,2,mass,Normal,\n')
    with pytest.raises(UserError, match="revision.csv, row 2: classification is 'Normal'; it must be Benign or Malignant"): cmmd(tmp_path)
    put_cmmd(put, 'D9-1,L,44,2,mass,Benign,\n')
    with pytest.raises(UserError, match='holds no image of a breast that CMMD_clinicaldata_revision.csv lists'): cmmd(tmp_path)
    shutil.rmtree(tmp_path/'manifest-1616439774456')
    with pytest.raises(UserError, match='holds no DICOM files: CMMD has'): cmmd(tmp_path)
    (tmp_path/'CMMD_clinicaldata_revision.csv').rename(tmp_path/'CMMD_clinicaldata_revision.xlsx')
    with pytest.raises(UserError, match='holds no CMMD_clinicaldata_revision.*its workbook saved as CSV'): cmmd(tmp_path)


# ---- EMBED

@pytest.mark.parametrize('findings, left, right', [
    ([('L','M','0.0','L'), ('R','N','','')], 1, None),      # the other breast of a woman with cancer shows none
    ([('L','A','1.0','L')], 1, None),                       # and so does one that is not mentioned
    ([('L','S','0.0','')], 1, None),                        # a pathology without a side is of its finding's
    ([('L','S','0.0','R')], None, 1),                       # one with a side is of that side
    ([('B','M','1.0','B')], 1, 1),
    ([('L','N','',''), ('L','M','0.0','L')], 1, None),      # one finding of several is enough
    ([('','N','','')], 0, 0), ([('B','B','','')], 0, 0), ([('L','N','',''), ('R','B','','')], 0, 0),
    ([('L','N','','')], 0, None),
    ([('L','S','4.0','L'), ('R','N','','')], 0, 0), ([('L','A','5.0','L')], 0, None),
    ([('L','S','2.0','L'), ('R','N','','')], None, 0), ([('L','S','3.0','L')], None, None), ([('L','K','6.0','L')], None, None),
    ([('L','A','',''), ('R','N','','')], None, 0), ([('L','P','','')], None, None), ([('L','X','',''), ('L','N','','')], None, None),
    ([('L','N','2.0','L')], None, None),                    # a "negative" finding with a biopsy was changed later
    ([('L','N','',''), ('R','K','','')], None, None)])      # a cancer that is known makes no label, and no negative
def test_embed_label_rule(put, tmp_path, findings, left, right):
    put_embed(put, [(0, 1, *o) for o in findings] + [(9, 9, '', 'N', '', '')], [(0, 1, 'L'), (0, 1, 'R'), (9, 9, 'L')])
    labels = dict(zip(embed(tmp_path).table['row'], embed(tmp_path).table['label']))
    assert (labels.get(2), labels.get(3), labels[4]) == (left, right, 0)

def test_embed_negatives_of_a_woman_whose_cancer_is_in_another_examination_are_left_out(put, tmp_path):
    put_embed(put, [(0, 1, '', 'N', '', ''), (0, 2, 'L', 'M', '0.0', 'L'), (1, 3, '', 'B', '', '')], [(0, 1, 'L'), (0, 2, 'L'), (1, 3, 'R')])
    d = embed(tmp_path)
    assert d.table['label'].tolist() == [1, 0] and d.notes == ['1 of 3 listed images are of women with cancer and show none and are left out']

def test_embed_views_that_are_left_out_are_counted(put, tmp_path):
    put_embed(put, [(0, 1, '', 'N', '', '')], [(0, 1, 'L'), (0, 1, 'R', '2D', 'CC', '', 'YES'), (0, 1, 'L', 'cview'), (0, 1, 'L', 'C-View'), (0, 1, 'L', '3D'),
              (0, 1, 'R', '2D', 'ML', '1.0'), (0, 1, '', '2D'), (0, 2, 'L')])
    d = embed(tmp_path)
    t = d.table
    assert t['row'].tolist() == [2, 3] and t['implant'].tolist() == [0, 1] and t['view'].tolist() == ['MLO', 'CC']
    assert t['scanner'].tolist() == ['Selenia Dimensions']*2 and t['age'].tolist() == [70.51]*2 and t['density'].tolist() == [2, 2]
    assert d.notes == [f'{o} and are left out' for o in (
        '2 of 8 listed images are C-views, computed from a tomosynthesis,', '1 of 6 listed images are no 2D mammograms',
        '1 of 5 listed images are spot compressions or magnifications', '1 of 4 listed images have no side', '1 of 3 listed images show a breast without a finding')]

def test_embed_may_be_there_in_part_and_its_tables_reduced(put, tmp_path):
    put_embed(put, reduced='_reduced')
    path = tmp_path/'tables'/'EMBED_OpenData_clinical_reduced.csv'
    pd.read_csv(path, dtype=str).drop(columns=['bside', 'age_at_study']).to_csv(path, index=False)
    next(tmp_path.rglob('1.2.826.1.dcm')).unlink()
    d = embed(tmp_path)
    assert d.table['label'].tolist() == [1] and (d.folder/d.table['path'][0]).exists() and d.table['age'].isna().all()
    assert d.notes == ['1 of 2 listed images are not in the folder and are left out']

def test_embed_numbers_of_examinations_that_were_cut_are_refused(put, tmp_path):
    put_embed(put, [(0, '1.47357E+15', '', 'N', '', '')], [(0, '1.47357E+15', 'L')])
    with pytest.raises(UserError, match="clinical.csv, row 2: exam is '1.47357E[+]15', of which a spreadsheet has cut"): embed(tmp_path)


# ---- DDSM

def test_ddsm_takes_malignant_films_and_those_of_normal_cases(put, tmp_path):
    put_ddsm(put, outlined={'LEFT_CC': ['BENIGN', 'MALIGNANT'], 'LEFT_MLO': ['MALIGNANT'], 'RIGHT_CC': ['BENIGN']})
    put_ddsm(put, 'benigns/benign_01/case0002', 'B-0002-1', 'LUMISYS LASER', {'LEFT_CC': ['BENIGN']})
    put_ddsm(put, 'benign_without_callbacks/benign_without_callback_01/case0003', 'C-0003-1', 'LUMISYS', {'LEFT_CC': ['BENIGN_WITHOUT_CALLBACK']})
    put_ddsm(put, 'normals/normal_01/case0004', 'D-0004-1')
    d = ddsm(tmp_path)
    t = d.table
    assert t['label'].tolist() == [1, 1, 0, 0, 0, 0] and t['laterality'].tolist() == ['L']*4 + ['R']*2 and t['view'].tolist() == ['CC', 'MLO']*3
    assert t['path'][0] == 'cancers/cancer_01/case0001/A_0001_1.LEFT_CC.LJPEG' and t['patient'].nunique() == 2
    assert t['scanner'].tolist() == ['HOWTEK A']*2 + ['HOWTEK D']*4 and set(t['age']) == {61} and set(t['density']) == {3}
    assert d.notes == ['8 of 16 listed images are in volumes that were not asked for and are left out',
                       '2 of 8 listed images are of cancer cases and show no malignant lesion and are left out']
    assert ddsm(tmp_path, negatives=('benigns',)).table['label'].tolist() == [0]*4 + [1]*2
    everything = ddsm(tmp_path, negatives=('normals', 'benigns', 'benign_without_callbacks')).table
    assert len(everything) == 14 and everything['label'].sum() == 2


@pytest.mark.parametrize('folder, label', [('cancers/case0001', 1), ('cases/cancer_15/case0001', 1), ('normals/normal_01/case0001', 0), ('cancers/normals/case0001', 0)])
def test_ddsm_volume_is_the_deepest_folder_that_has_its_name(put, tmp_path, folder, label):
    put_ddsm(put, folder, outlined={'LEFT_CC': ['MALIGNANT']})
    assert set(ddsm(tmp_path).table['label']) == {label}


def test_ddsm_may_be_one_volume(put, tmp_path):
    put_ddsm(put, outlined={'LEFT_CC': ['MALIGNANT']})
    assert ddsm(tmp_path/'cancers').table['path'].tolist() == ['cancer_01/case0001/A_0001_1.LEFT_CC.LJPEG']


def test_ddsm_leaves_out_a_case_whose_overlay_is_lost_or_whose_header_is_damaged(put, tmp_path, capsys):
    put_ddsm(put, outlined={'LEFT_CC': ['MALIGNANT']})
    put_ddsm(put, 'cancers/cancer_01/case0002', 'A-0002-1', outlined={'LEFT_CC': ['MALIGNANT']})
    put_ddsm(put, 'normals/normal_01/case0004', 'D-0004-1')
    (tmp_path/'cancers/cancer_01/case0001/A_0001_1.LEFT_CC.OVERLAY').unlink()
    (tmp_path/'normals/normal_01/case0004/D-0004-1.ics').write_text('ics_version 1.0')
    d = ddsm(tmp_path)
    assert d.table['path'].tolist() == ['cancers/cancer_01/case0002/A_0002_1.LEFT_CC.LJPEG']
    assert d.notes[0] == '2 cases could not be read and are left out' # a store names no file
    said = capsys.readouterr().out
    assert 'one case is left out: A_0001_1.LEFT_CC.OVERLAY cannot be read' in said and 'one case is left out: D-0004-1.ics is damaged' in said


def test_ddsm_refuses_a_case_in_no_volume(put, tmp_path):
    put_ddsm(put, 'elsewhere', 'A-0009-1')
    with pytest.raises(UserError, match='A-0009-1.ics lies in no volume: DDSM has the volumes cancers'): ddsm(tmp_path)


@pytest.mark.parametrize('negatives', [('normal',), ('cancers',), 'normals'])
def test_ddsm_refuses_negatives_that_are_no_volume(put, tmp_path, negatives):
    with pytest.raises(UserError, match='negatives has .*: it takes any of benigns, benign_without_callbacks, normals'): ddsm(tmp_path, negatives=negatives)


# ---- all of them

def put_small_cbis(put):
    put_cbis(put, mass_train=cbis_row('P_0canary', 'LEFT', 'CC', 'mass', 3, 'MALIGNANT', 'Mass-Training'))
    put(film('Mass-Training_P_0canary_LEFT_CC'))

SMALL = {'cbis-ddsm': put_small_cbis, 'inbreast': put_inbreast, 'vindr': put_vindr, 'rsna': put_rsna, 'mias': put_mias, 'cmmd': put_cmmd, 'embed': put_embed,
         'ddsm': lambda put: put_ddsm(put, 'normals/case0001', 'A-P0canary-1')}

def test_every_set_is_tested_here(): assert set(SMALL) == set(SETS)


@pytest.mark.parametrize('name', SETS)
def test_no_identifier_survives(put, tmp_path, name):
    SMALL[name](put)
    t = SETS[name](tmp_path, 'elsewhere').table
    assert set(t['domain']) == {'elsewhere'} and t['patient'].str.startswith('elsewhere-p').all() and t['image_id'].is_unique
    assert 'canary' not in t.drop(columns='path').to_csv() and '1.3.6' not in t.drop(columns='path').to_csv()


@pytest.mark.parametrize('name', ['inbreast', 'vindr', 'rsna', 'mias', 'cmmd', 'embed'])
def test_an_image_has_one_pseudonym_whatever_folder_is_named(put, tmp_path, name):
    SMALL[name](lambda path, text='': put(f'one/two/{path}', text))
    ids = [SETS[name](tmp_path/folder).table['image_id'].tolist() for folder in ('', 'one', 'one/two')]
    assert ids[0] == ids[1] == ids[2]


@pytest.mark.parametrize('name, missing', [('cbis-ddsm', 'mass_case_description_train_set.csv'), ('inbreast', 'INbreast.csv'),
    ('vindr', 'breast-level_annotations.csv'), ('rsna', 'train.csv'), ('mias', 'Info.txt'), ('ddsm', r'\*.ics'),
    ('cmmd', r'CMMD_clinicaldata_revision\*.csv'), ('embed', r'EMBED_OpenData_clinical\*.csv')])
@pytest.mark.parametrize('folder', ['', 'nowhere'])
def test_missing_list_is_one_sentence(tmp_path, name, missing, folder):
    with pytest.raises(UserError, match=f'holds no {missing}: ') as e: SETS[name](tmp_path/folder)
    assert str(e.value).endswith('.') and '\n' not in str(e.value)


@pytest.mark.parametrize('name, images, published', [
    ('cbis-ddsm', 'manifest-1', 'CBIS-DDSM/Mass-Training_P_00001_LEFT_CC'), ('inbreast', 'INbreast Release 1.0/AllDICOMs', 'AllDICOMs/'),
    ('vindr', 'images', 'images/<study_id>/<image_id>.dicom'), ('rsna', 'train_images', 'train_images/<patient_id>/<image_id>.dcm'),
    ('mias', 'mdb00?.pgm', 'mdb001.pgm'), ('embed', 'images', 'images/cohort_1/<patient>/<study>/<series>/<image>.dcm')])
def test_missing_images_are_one_sentence(put, tmp_path, name, images, published):
    SMALL[name](put)
    for p in tmp_path.glob(images): shutil.rmtree(p) if p.is_dir() else p.unlink()
    with pytest.raises(UserError, match=f'holds none of the images that are listed: .*{published}') as e: SETS[name](tmp_path)
    assert str(e.value).endswith('.') and '\n' not in str(e.value)


@pytest.mark.parametrize('name, file, old, new, column', [
    ('cbis-ddsm', 'calc_case_description_train_set.csv', 'pathology', 'outcome', 'pathology'), ('inbreast', 'INbreast Release 1.0/INbreast.csv', 'Bi-Rads', 'BR', 'bi-rads'),
    ('vindr', 'breast-level_annotations.csv', 'breast_birads', 'birads', 'breast_birads'), ('rsna', 'train.csv', 'cancer', 'label', 'cancer'),
    ('cmmd', 'CMMD_clinicaldata_revision.csv', 'LeftRight', 'side', 'leftright'), ('embed', 'tables/EMBED_OpenData_metadata.csv', 'spot_mag', 'spot', 'spot_mag'),
    ('embed', 'tables/EMBED_OpenData_clinical.csv', 'path_severity', 'pathology', 'path_severity')])
def test_missing_column_is_named(put, tmp_path, name, file, old, new, column):
    SMALL[name](put)
    (tmp_path/file).write_text((tmp_path/file).read_text().replace(old, new))
    with pytest.raises(UserError, match=f"{Path(file).name} has no column '{column}'"): SETS[name](tmp_path)


# ---- copies, hidden files, lists saved again

def as_kaggle(folder):
    "CBIS-DDSM in the layout of Kaggle's copy: csv/ and jpeg/<series>/<name>.jpg, with crops and masks that only dicom_info.csv tells apart"
    (folder/'csv').mkdir()
    for p in folder.glob('*.csv'): p.rename(folder/'csv'/p.name)
    series = ['full mammogram images', 'cropped images', 'ROI mask images', '']
    rows = [f'CBIS-DDSM/jpeg/1.2.{i}/1-00{i}.jpg,Mass-Training_P_0canary_LEFT_CC,{o}\n' for i, o in enumerate(series)]
    rows.append('CBIS-DDSM/jpeg/1.2.0/2-001.jpg,Mass-Training_P_0canary_LEFT_CC_1,ROI mask images\n')
    (folder/'csv'/'dicom_info.csv').write_text('image_path,PatientID,SeriesDescription\n' + ''.join(rows))
    for row in rows:
        path = folder/row.split(',')[0].removeprefix('CBIS-DDSM/')
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

def put_kaggle(put, tmp_path):
    def row(i, patient, pathology):
        return cbis_row(patient, 'LEFT', 'CC', 'mass', 3, pathology, 'Mass-Training').replace('1.3.6/000000', f'1.2.{i}/000000')
    put_cbis(put, mass_train=row(0, 'P_1', 'MALIGNANT') + row(1, 'P_2', 'BENIGN') + row(3, 'P_3', 'BENIGN'))
    as_kaggle(tmp_path)

@pytest.mark.parametrize('folder', ['', 'cbis/kaggle'])
def test_kaggles_copy_of_cbis_is_joined_by_its_series(put, tmp_path, folder):
    put_kaggle(lambda path, text='': put(Path(folder)/path, text), tmp_path/folder)
    d = cbis_ddsm(tmp_path)
    paths = dict(zip(d.table['path'], d.table['label']))
    start = f'{folder}/' if folder else ''
    assert paths[f'{start}jpeg/1.2.0/1-000.jpg'] == 1 and f'{start}jpeg/1.2.3/1-003.jpg' in paths # the one without a description is no crop
    assert not any('1.2.1/' in p and p.endswith('jpg') or '2-001' in p for p in paths)
    assert d.notes == ["this is Kaggle's copy: its JPEG have 256 levels of grey, the original 65,536"]

def test_cbis_takes_no_mask_that_lies_with_a_film(put, tmp_path):
    put_small_cbis(put)
    case = 'CBIS-DDSM/Mass-Training_P_0canary_LEFT_CC/07-20-2016-DDSM-NA-1'
    for series in ('1.000000-ROI mask images-1', '1.000000-cropped images-2'): put(f'manifest-1/{case}/{series}/1-1.dcm')
    assert film('Mass-Training_P_0canary_LEFT_CC') in cbis_ddsm(tmp_path).table['path'].tolist()
    put(film('Mass-Training_P_0canary_LEFT_CC').replace('1-1.dcm', '1-2.dcm'))
    with pytest.raises(UserError, match='holds 2 files that Mass-Training_P_0canary_LEFT_CC/.* may be, such as'): cbis_ddsm(tmp_path)

COPIES = { # set -> the image of the first row as published, and what copies call it
    'cbis-ddsm': (film('Mass-Training_P_0canary_LEFT_CC'), ['png/Mass-Training_P_0canary_LEFT_CC.png', 'x/Mass-Training_P_0canary_LEFT_CC/1-1.jpg']),
    'inbreast': ('INbreast Release 1.0/AllDICOMs/00_P0canary_MG_L_ML_ANON.dcm', ['INbreast Release 1.0/AllPNGs/00_P0canary_MG_L_ML_ANON.png', 'png/00.png', 'INbreast Release 1.0/00.jpeg']),
    'vindr': ('images/P0canary/i0.dicom', ['images/P0canary/i0.png', 'images_png/P0canary/i0.PNG', 'images_png/P0canary_i0.png', 'deep/images/P0canary/i0.dicom', 'images/i0.dcm']),
    'rsna': ('train_images/P0canary/10.dcm', ['train_images/P0canary/10.png', 'train_images/P0canary_10.png', 'train_images_processed_512/P0canary/10.png',
             'P0canary_10.png', 'train_images/train_images/P0canary/10.dcm', 'jpg/10.jpg']),
    'embed': ('images/cohort_1/P0canary/1.2.1/1.2.3/1.2.826.0.dcm', ['images/cohort_1/P0canary/1.2.1/1.2.826.0.dcm', 'P0canary/1.2.826.0.png', 'png/P0canary_1.2.826.0.png',
              'tables/1.2.826.0.jpg']),
    'mias': ('mdb001.pgm', ['png/mdb001.png', 'MDB001.PGM', 'all-mias/mdb001.jpg', 'mdb001.tif']),
    'ddsm': ('normals/case0001/A_P0canary_1.LEFT_CC.LJPEG', ['normals/case0001/a_p0canary_1.left_cc.ljpeg', 'normals/case0001/A_P0canary_1.LEFT_CC.png', 'png/A_P0canary_1.LEFT_CC.png'])}

def put_copy(put, folder, name, copy):
    "A set of which only one image is there, under another name"
    SMALL[name](put)
    for p in folder.rglob('*'):
        if p.is_file() and p.suffix.lower() in ('.dcm', '.dicom', '.pgm', '.ljpeg'): p.unlink()
    put(copy)

@pytest.mark.parametrize('name, copy', [(name, copy) for name, (_, copies) in COPIES.items() for copy in copies])
def test_one_rule_finds_copies_in_every_set(put, tmp_path, name, copy):
    SMALL[name](put)
    put(COPIES[name][0])
    label = dict(zip(SETS[name](tmp_path).table['path'], SETS[name](tmp_path).table['label']))
    put_copy(put, tmp_path, name, copy)
    d = SETS[name](tmp_path)
    found = {str((d.folder/p).resolve().relative_to(tmp_path)): l for p, l in zip(d.table['path'], d.table['label']) if (d.folder/p).exists()}
    first = next(iter(label.values()))
    assert found == {copy: first}, name

def test_an_original_that_is_lost_is_not_replaced_by_a_copy(put, tmp_path):
    put_rsna(put)
    (tmp_path/'train_images/P0canary/10.dcm').unlink()
    for i in range(3): put(f'train_images_processed_512/P{i//2}canary/1{i}.png')
    d = rsna(tmp_path)
    assert [(d.folder/p).exists() for p in d.table['path']] == [False, True, True] and set(d.table['path'].str[-4:]) == {'.dcm'}

@pytest.mark.parametrize('name, best, other', [
    ('rsna', 'jpg/10.dcm', 'train_images/P0canary/10.png'), ('rsna', '512/10.png', '512/10.tif'), ('rsna', '512/10.tiff', '512/10.jpg'), ('rsna', '512/10.pgm', '512/10.jpg'),
    ('mias', 'pgm/mdb001.pgm', 'mdb001.png'), ('ddsm', 'png/A_P0canary_1.LEFT_CC.png', 'normals/case0001/A_P0canary_1.LEFT_CC.jpg')])
def test_of_two_formats_the_better_is_taken(put, tmp_path, name, best, other):
    put_copy(put, tmp_path, name, best)
    put(other)
    assert SETS[name](tmp_path).table['path'][0] == best

@pytest.mark.parametrize('other', ['test_images/P0canary/10.dcm', 'train_images/P1canary/10.dcm', '10.dcm'])
def test_of_two_files_of_one_name_that_which_lies_as_published_is_taken(put, tmp_path, other):
    put_rsna(put)
    put(other)
    assert rsna(tmp_path).table['path'][0] == 'train_images/P0canary/10.dcm'

def test_two_copies_are_one_sentence(put, tmp_path):
    put_copy(put, tmp_path, 'rsna', 'train_512/P0canary/10.png')
    put('train_1024/P0canary/10.png')
    with pytest.raises(UserError, match='holds 2 files that train_images/P0canary/10.dcm may be, such as train_1024/.* and train_512/') as e: rsna(tmp_path)
    assert '\n' not in str(e.value)

def test_png_of_inbreast_without_patients_are_said(put, tmp_path):
    put_copy(put, tmp_path, 'inbreast', 'INbreast Release 1.0/AllPNGs/00.png')
    put('INbreast Release 1.0/AllPNGs/10_P0canary_MG_R_ML_ANON.png')
    assert 'the names of 1 of 8 images tell no patient, so each counts as one of her own' in inbreast(tmp_path).notes[0]

LISTS = {'cbis-ddsm': '*_set.csv', 'inbreast': 'INbreast.csv', 'vindr': 'breast-level_annotations.csv', 'rsna': 'train.csv', 'mias': 'Info.txt', 'ddsm': '*.ics',
         'cmmd': 'CMMD*.csv', 'embed': 'EMBED*.csv'}

@pytest.mark.parametrize('name', SETS)
def test_hidden_files_of_other_systems_are_never_looked_at(put, tmp_path, name):
    SMALL[name](put)
    before = SETS[name](tmp_path)
    for p in [p for p in tmp_path.rglob('*') if p.is_file()]: p.with_name(f'._{p.name}').write_bytes(b'\0\5\x16\7')
    after = SETS[name](tmp_path)
    pd.testing.assert_frame_equal(after.table, before.table)
    assert after.notes == before.notes

def test_what_a_set_leaves_out_is_told_at_the_end_of_ingest_and_in_describe(tmp_path):
    table = pd.DataFrame(dict(image_id=['a', 'b'], path=['a.png', 'b.png'], patient=['p', 'q'], label=[0, 1], domain='film', row=[2, 3]))
    for name in table.path: Image.fromarray(np.tile(np.arange(64, dtype='uint8')[::-1]*4, (64, 1))).save(tmp_path/name)
    notes = ["3 of 5 listed images are C-views & are left out"]
    listed = Dataset(table, tmp_path, notes=notes)
    assert repr(listed).endswith(notes[0]) and 'C-views &amp; are' in listed._repr_html_()
    store = build_store(listed.where(domain='film'), tmp_path/'store', 32)
    assert '3 of 5 listed images are C-views & are left out.' in ingest_notes(store)
    assert f'film: {notes[0]}.' in reading_notes(PixelStore(tmp_path/'store'))

@pytest.mark.parametrize('name', LISTS)
@pytest.mark.parametrize('change', [str.upper, str.lower, str.title])
def test_names_of_lists_are_found_whatever_their_capitals(put, tmp_path, name, change):
    SMALL[name](put)
    before = SETS[name](tmp_path).table
    for p in list(tmp_path.rglob(LISTS[name])): p.rename(p.with_name(change(p.name)))
    pd.testing.assert_frame_equal(SETS[name](tmp_path).table.drop(columns='path'), before.drop(columns='path'))

@pytest.mark.parametrize('name', [name for name, pattern in LISTS.items() if pattern.endswith('csv')])
@pytest.mark.parametrize('separator, encoding', [(';', 'utf-8-sig'), ('\t', 'utf-16'), ('|', 'cp1252'), (',', 'utf-16')])
def test_published_lists_saved_again_say_the_same(put, tmp_path, name, separator, encoding):
    SMALL[name](put)
    before = SETS[name](tmp_path).table
    for p in list(tmp_path.rglob(LISTS[name])):
        with open(p, newline='') as f: rows = list(csv.reader(f, delimiter=';' if name=='inbreast' else ','))
        rows = [[cell.replace('.0', ',0') if separator != ',' and cell.replace('.', '').isdigit() else cell for cell in row] for row in rows]
        with open(p, 'w', encoding=encoding, newline='') as f: csv.writer(f, delimiter=separator).writerows(rows)
    pd.testing.assert_frame_equal(SETS[name](tmp_path).table, before)

@pytest.mark.parametrize('name', SETS)
def test_a_file_in_place_of_a_folder_is_one_sentence(tmp_path, name):
    (tmp_path/'list.csv').write_text('a,b\n1,2\n')
    with pytest.raises(UserError, match='list.csv is a file: give the folder of the set; .*[.]$'): SETS[name](tmp_path/'list.csv')


# ---- to the pixels

def test_dicom_reaches_the_store_and_lost_files_are_named(put, tmp_path):
    put_vindr(put, birads=(1, 2, 4, 5))
    for i in range(3): dicom(tmp_path/'images'/'P0canary'/f'i{i}.dicom')
    (tmp_path/'images'/'P0canary'/'i3.dicom').unlink()
    store = build_store(vindr_mammo(tmp_path), tmp_path/'store', size=64, workers=1)
    assert store.index['label'].tolist() == [0, 0, 1] and store.rejected['row'].tolist() == [5]
    assert store[0].max() > .5 and (store[0] == 0).any()


def test_pgm_reaches_the_store(put, tmp_path):
    put_mias(put)
    for p in tmp_path.glob('*.pgm'): Image.fromarray((half_disc()*255).astype('uint8')).save(p)
    store = build_store(mini_mias(tmp_path), tmp_path/'store', size=64, workers=1)
    assert len(store) == 4 and store.rejected.empty and store[0].max() > .5


def test_film_of_ddsm_reaches_the_reader(put, tmp_path):
    if 'MAMMO_UDA_DATA' not in os.environ: pytest.skip('MAMMO_UDA_DATA is not set')
    real = Path(os.environ['MAMMO_UDA_DATA'])/'film_ljpeg'
    lines, pixels = np.load(real/'wg04mg1_crop.npy').shape
    put_ddsm(put, outlined={'LEFT_CC': ['MALIGNANT']}, lines=lines, pixels=pixels)
    put('cancers/cancer_01/case0001/A_0001_1.LEFT_CC.LJPEG', (real/'wg04mg1_crop_p12_k7.LJPEG').read_bytes())
    d = ddsm(tmp_path)
    assert read_image(d.folder/d.table['path'][0]).shape == (lines, pixels)

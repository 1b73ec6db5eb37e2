"The same small film in every coding that the package reads"
import imagecodecs
import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (DeflatedExplicitVRLittleEndian, DigitalMammographyXRayImageStorageForPresentation, ExplicitVRBigEndian,
                         ExplicitVRLittleEndian, HTJ2KLossless, ImplicitVRLittleEndian, JPEG2000Lossless, JPEGBaseline8Bit, JPEGExtended12Bit,
                         JPEGLossless, JPEGLosslessSV1, JPEGLSLossless, RLELossless, generate_uid)

def film(size=96, seed=0):
    "A breast with texture on a black film, uint16 of 12 bits"
    y, x = np.mgrid[:size, :size]/size
    depth = np.clip(1.1 - np.hypot((y-.5)/.42, x/.8), 0, 1)
    noise = np.random.default_rng(seed).uniform(.8, 1, (size, size))
    return np.rint(4095*np.minimum(depth, .9)*noise).astype(np.uint16)

def header(pixels, bits=12, **tags):
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = DigitalMammographyXRayImageStorageForPresentation, generate_uid()
    ds.Rows, ds.Columns = pixels.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, 'MONOCHROME2'
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8*pixels.itemsize, bits, bits-1, 0
    for tag, value in tags.items(): setattr(ds, tag, value)
    return ds

def save_dicom(path, ds, syntax, data):
    "Write a DICOM file whose pixels are already coded"
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    ds.PixelData = encapsulate([data]) if syntax.is_encapsulated else data
    ds['PixelData'].VR = 'OB' if syntax.is_encapsulated else 'OW'
    ds.save_as(path, enforce_file_format=True)
    return path

def rle(pixels):
    from pydicom.pixels import get_encoder
    return next(get_encoder(RLELossless).iter_encode(pixels, rows=pixels.shape[0], columns=pixels.shape[1], samples_per_pixel=1, bits_allocated=16,
                                                     bits_stored=12, pixel_representation=0, photometric_interpretation='MONOCHROME2', number_of_frames=1))

DICOM = {
    'explicit':        (ExplicitVRLittleEndian, lambda p: p.tobytes()),
    'implicit':        (ImplicitVRLittleEndian, lambda p: p.tobytes()),
    'deflated':        (DeflatedExplicitVRLittleEndian, lambda p: p.tobytes()),
    'big-endian':      (ExplicitVRBigEndian, lambda p: p.astype('>u2').tobytes()),
    'rle':             (RLELossless, rle),
    'jpeg-lossless':   (JPEGLossless, lambda p: imagecodecs.ljpeg_encode(p, bitspersample=12)),
    'jpeg-lossless-1': (JPEGLosslessSV1, lambda p: imagecodecs.ljpeg_encode(p, bitspersample=12)),
    'jpeg-ls':         (JPEGLSLossless, imagecodecs.jpegls_encode),
    'jpeg-2000':       (JPEG2000Lossless, lambda p: imagecodecs.jpeg2k_encode(p, codecformat='j2k', reversible=True, level=0, bitspersample=12)),
    'htj2k':           (HTJ2KLossless, lambda p: imagecodecs.htj2k_encode(p, reversible=True)),
    'jpeg-extended':   (JPEGExtended12Bit, lambda p: imagecodecs.jpeg8_encode(p, level=100, bitspersample=12)),
}
PICTURES = ('png', 'tif', 'pgm')

def save_coded(folder, coding, pixels, **tags):
    "Write `pixels` (12 bits) in one coding"
    if coding in PICTURES:
        Image.fromarray(pixels*16).save(folder/f'film.{coding}')
        return folder/f'film.{coding}'
    if coding in ('jpeg-baseline', 'jpg'):
        data = imagecodecs.jpeg8_encode((pixels >> 4).astype(np.uint8), level=100)
        if coding == 'jpeg-baseline': return save_dicom(folder/f'{coding}.dcm', header((pixels >> 4).astype(np.uint8), 8, **tags), JPEGBaseline8Bit, data)
        (folder/'film.jpg').write_bytes(data)
        return folder/'film.jpg'
    syntax, encode = DICOM[coding]
    return save_dicom(folder/f'{coding}.dcm', header(pixels, **tags), syntax, encode(pixels))

ALL = (*DICOM, 'jpeg-baseline', *PICTURES, 'jpg')

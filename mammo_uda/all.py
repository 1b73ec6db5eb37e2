"""Everything a notebook needs: `from mammo_uda.all import *`"""
from mammo_uda.core.files import *
from mammo_uda.core.training import *
from mammo_uda.data.image import *
from mammo_uda.data.standardise import *
from mammo_uda.data.dataset import *
from mammo_uda.data.ddsm import read_ics, read_ljpeg, read_overlay, lesion_mask
from mammo_uda.data.sets import *
from mammo_uda.data.store import *
from mammo_uda.data.describe import describe, near_duplicates, shortcuts, split_leaks
from mammo_uda.data.ingest import *
from mammo_uda.data.phantom import *
from mammo_uda.data.blocks import *
from mammo_uda.translate.networks import *
from mammo_uda.translate.losses import *
from mammo_uda.translate.cyclegan import *
from mammo_uda.translate.acquisition import *
from mammo_uda.translate.fastcut import *
from mammo_uda.translate.recipes import *
from mammo_uda.translate.tiles import *
from mammo_uda.translate.translator import *
from mammo_uda.translate.dicom import *
from mammo_uda.translate.audit import *
from mammo_uda.translate.watch import *
from mammo_uda.classify.networks import *
from mammo_uda.classify.learner import *
from mammo_uda.evaluate.scores import *
from mammo_uda.evaluate.table1 import *
from mammo_uda.experiment.sources import *
from mammo_uda.experiment.steps import *
from mammo_uda.experiment.table1 import *
from mammo_uda.experiment.report import *
from mammo_uda.experiment.audit import *
from mammo_uda.view.viewers import *

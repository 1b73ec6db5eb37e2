"""What is typed in a notebook: `from mammo_uda.all import *`. All else is imported by its room."""
from mammo_uda.core.files import UserError
from mammo_uda.core.training import Resume, pick_device, seed_all
from mammo_uda.data.image import read_image
from mammo_uda.data.standardise import breast_mask, standardise
from mammo_uda.data.dataset import Dataset, pseudonyms
from mammo_uda.data.sets import SETS
from mammo_uda.data.store import PixelStore, build_store, to_uint16, write_store
from mammo_uda.data.ingest import ingest_notes, read_set
from mammo_uda.data.describe import describe, near_duplicates, shortcuts, split_leaks
from mammo_uda.data.phantom import (DOMAINS, SIDES, VIEWS, acquire, anatomy, draw_patient, expose, known_answer,
                                    phantom_index, phantom_store)
from mammo_uda.data.blocks import Mammogram, MammogramBlock, labelled_dls, mammogram_augment, shots, unpaired_dls
from mammo_uda.translate.networks import MatchedStart, match_look, radial_power
from mammo_uda.translate.cyclegan import SampleGrid
from mammo_uda.translate.acquisition import Acquisition, Tones
from mammo_uda.translate.recipes import RECIPES, Recipe, find_recipe, translation_learner
from mammo_uda.translate.translator import Translator, load_translator, save_translator, translate_store
from mammo_uda.translate.dicom import dicom_bytes, translate_dicom, with_pixels
from mammo_uda.translate.audit import Audit, StoreAudit, contrast
from mammo_uda.translate.watch import (KeepLosses, Watch, draw_watch, in_breast, look, sample_images, spectrum_distance,
                                       told_apart, tone_distance)
from mammo_uda.classify.networks import ARCHS, Arch, alexnet, alexnet_bn, find_arch, make_net, resnet50
from mammo_uda.classify.learner import (BalancedLoss, classifier_learner, load_classifier, predict, predict_logits,
                                        save_classifier)
from mammo_uda.classify.probe import features, fit_probe, set_probe
from mammo_uda.classify.ensemble import load_ensemble, predict_csv
from mammo_uda.evaluate.scores import auroc_by_cell, check_scores, read_scores, write_scores
from mammo_uda.evaluate.intervals import mean_interval, share_won_back, table_cells
from mammo_uda.evaluate.patients import sample_cells
from mammo_uda.evaluate.claims import Estimate, over_both, paired_difference, share_of_gap
from mammo_uda.evaluate.table1 import PAPER, Table1
from mammo_uda.experiment.methods import METHODS, Method
from mammo_uda.experiment.sources import Domain
from mammo_uda.experiment.settings import PRESETS
from mammo_uda.experiment.table1 import run_table1
from mammo_uda.experiment.adapt import adapt
from mammo_uda.experiment.adapted import Adapted
from mammo_uda.experiment.report import Triplets, make_report, read_manifest, run_table
from mammo_uda.experiment.audit import audit_run
from mammo_uda.experiment.trainings import Training, read_training, training_folders
from mammo_uda.view.browser import Browser
from mammo_uda.view.translation import TranslationViewer
from mammo_uda.view.table1 import Table1Viewer
from mammo_uda.view.training import TrainingViewer
from mammo_uda.view.twins import write_twins

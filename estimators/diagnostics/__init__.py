"""Diagnostics of gradients, importance weights, posteriors and training traces; `verdict()` puts each in words."""

from jensen.estimators.diagnostics._amortisation import Amortisation, amortisation
from jensen.estimators.diagnostics._calibration import Calibration, calibration, ranks, simulation_based_calibration
from jensen.estimators.diagnostics._coverage import Coverage, coverage
from jensen.estimators.diagnostics._dci import Dci, dci
from jensen.estimators.diagnostics._frechet import Frechet, frechet
from jensen.estimators.diagnostics._inception_score import InceptionScore, inception_score
from jensen.estimators.diagnostics._kernel_distance import KernelDistance, kernel_distance
from jensen.estimators.diagnostics._mixing import Mixing, mixing
from jensen.estimators.diagnostics._precision_recall import PrecisionRecall, precision_recall
from jensen.estimators.diagnostics._stopping import Stop, stopping
from jensen.estimators.diagnostics._two_sample import PredictiveCheck, TwoSample, predictive_check, two_sample
from jensen.estimators.diagnostics.activity import ActiveUnits, Collapse, active_units, collapse
from jensen.estimators.diagnostics.disentanglement import Mig, Sap, mig, sap
from jensen.estimators.diagnostics.gaps import Gaps, fit_each, inference_gaps
from jensen.estimators.diagnostics.gradients import Quality, cost, quality
from jensen.estimators.diagnostics.information import Information, aggregate_information
from jensen.estimators.diagnostics.weights import Psis, ess, k_hat_threshold, psis, reliability

__all__ = [
    "ActiveUnits",
    "Amortisation",
    "Calibration",
    "Collapse",
    "Coverage",
    "Dci",
    "Frechet",
    "Gaps",
    "InceptionScore",
    "Information",
    "KernelDistance",
    "Mig",
    "Mixing",
    "PrecisionRecall",
    "PredictiveCheck",
    "Psis",
    "Quality",
    "Sap",
    "Stop",
    "TwoSample",
    "active_units",
    "aggregate_information",
    "amortisation",
    "calibration",
    "collapse",
    "cost",
    "coverage",
    "dci",
    "ess",
    "fit_each",
    "frechet",
    "inception_score",
    "inference_gaps",
    "k_hat_threshold",
    "kernel_distance",
    "mig",
    "mixing",
    "precision_recall",
    "predictive_check",
    "psis",
    "quality",
    "ranks",
    "reliability",
    "sap",
    "simulation_based_calibration",
    "stopping",
    "two_sample",
]

"""What a run was and what it is worth: curves, pictures, an evaluation, and an assessment beyond it."""

from jensen.experiments.report.assessment import Assessment, Budget, assess
from jensen.experiments.report.curves import training
from jensen.experiments.report.disentanglement import disentanglement
from jensen.experiments.report.drawing import png
from jensen.experiments.report.evaluation import Evaluation, evaluate
from jensen.experiments.report.findings import findings, numbers, screen
from jensen.experiments.report.latent import latent_figures
from jensen.experiments.report.rate_distortion import Point, Scored, check_alike, rate_distortion
from jensen.experiments.report.written import write

__all__ = [
    "Assessment",
    "Budget",
    "Evaluation",
    "Point",
    "Scored",
    "assess",
    "check_alike",
    "disentanglement",
    "evaluate",
    "findings",
    "latent_figures",
    "numbers",
    "png",
    "rate_distortion",
    "screen",
    "training",
    "write",
]

"""What the loop trains: one file per kind of model, and one row here, by which `experiments.train` knows it."""

from jensen.experiments.programs.classifier import Classifier
from jensen.experiments.programs.factor import Factor
from jensen.experiments.programs.hvae import Hvae
from jensen.experiments.programs.sbn import Sbn
from jensen.experiments.programs.vae import Vae

KINDS = {"vae": Vae, "factor": Factor, "hvae": Hvae, "sbn": Sbn, "classifier": Classifier}

__all__ = ["KINDS", "Classifier", "Factor", "Hvae", "Sbn", "Vae"]

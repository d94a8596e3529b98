"""What the loop trains: one file per kind of model, and one row here, by which `experiments.train` knows it."""

from jensen.experiments.programs.sbn import Sbn
from jensen.experiments.programs.vae import Vae

KINDS = {"vae": Vae, "sbn": Sbn}

__all__ = ["KINDS", "Sbn", "Vae"]

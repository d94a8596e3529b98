"""What the loop trains: one file per kind of model, and one row here, by which `experiments.train` knows it."""

from jensen.experiments.programs.bottleneck import Bottleneck
from jensen.experiments.programs.classifier import Classifier
from jensen.experiments.programs.cvae import Cvae
from jensen.experiments.programs.diffusion import Diffusion
from jensen.experiments.programs.factor import Factor
from jensen.experiments.programs.flow import Flow
from jensen.experiments.programs.gan import Gan
from jensen.experiments.programs.gp import Gp
from jensen.experiments.programs.hvae import Hvae
from jensen.experiments.programs.ldm import Ldm
from jensen.experiments.programs.lm import Lm
from jensen.experiments.programs.longitudinal import Longitudinal
from jensen.experiments.programs.multimodal import Multimodal
from jensen.experiments.programs.normalising import Normalising
from jensen.experiments.programs.ode import Ode
from jensen.experiments.programs.pixels import Pixels
from jensen.experiments.programs.poisson import Poisson
from jensen.experiments.programs.prior import Prior
from jensen.experiments.programs.reptile import Reptile
from jensen.experiments.programs.sbn import Sbn
from jensen.experiments.programs.semi import Semi
from jensen.experiments.programs.vae import Vae
from jensen.experiments.programs.vdm import Vdm
from jensen.experiments.programs.vq import Vq
from jensen.experiments.programs.vqgan import VqGan

KINDS = {
    "vae": Vae,
    "cvae": Cvae,
    "multimodal": Multimodal,
    "factor": Factor,
    "hvae": Hvae,
    "ode": Ode,
    "longitudinal": Longitudinal,
    "gp": Gp,
    "poisson": Poisson,
    "sbn": Sbn,
    "classifier": Classifier,
    "semi": Semi,
    "bottleneck": Bottleneck,
    "reptile": Reptile,
    "vq": Vq,
    "vqgan": VqGan,
    "prior": Prior,
    "lm": Lm,
    "gan": Gan,
    "diffusion": Diffusion,
    "vdm": Vdm,
    "flow": Flow,
    "ldm": Ldm,
    "normalising": Normalising,
    "pixels": Pixels,
}

__all__ = [
    "KINDS",
    "Bottleneck",
    "Classifier",
    "Cvae",
    "Diffusion",
    "Factor",
    "Flow",
    "Gan",
    "Gp",
    "Hvae",
    "Ldm",
    "Lm",
    "Longitudinal",
    "Multimodal",
    "Normalising",
    "Ode",
    "Pixels",
    "Poisson",
    "Prior",
    "Reptile",
    "Sbn",
    "Semi",
    "Vae",
    "Vdm",
    "Vq",
    "VqGan",
]

"""Latent-variable models and density models; likelihoods are here by their own table's rows."""

from jensen.core.contracts import DensityModel, LatentModel
from jensen.core.models import classifier
from jensen.core.models.autoregressive import made, pixel_cnn
from jensen.core.models.latent import cvae, hvae, ladder, likelihoods, longitudinal, multimodal, ode, poisson, sbn, vae
from jensen.core.models.latent.posteriors import POSTERIORS
from jensen.core.models.latent.priors import MixtureOfPosteriors
from jensen.core.models.latent.semi import Stacked, m2
from jensen.core.models.latent.series import AtTimes
from jensen.core.models.transport import normalising
from jensen.laws.instances.flows import SPLINE

MODELS: dict[str, LatentModel] = {
    **{
        f"vae, {name}": vae.mlp(6, (5,), 2, likelihood=likelihood)
        for name, likelihood in likelihoods.LIKELIHOODS.items()
    },
    **{f"vae, {name}": vae.mlp(6, (5,), 2, posterior=POSTERIORS[name]) for name in ("full", "mixture", "iaf")},
    "vae, vamp": vae.mlp(6, (5,), 2, prior=MixtureOfPosteriors(3)),
    "vae of convolutions": vae.conv((1, 4, 4), (2,), 2),
    "hvae": hvae.build(6, (3, 2), (5,)),
    "ladder": ladder.build(6, (3, 2), (5,)),
    "sbn": sbn.build(6, 3),
    "sbn of two layers": sbn.build(6, 3, 2),
    "poisson": poisson.build(6, 3),
    "ode": AtTimes(ode.build(2, 2, 2.0, 1, (4,), (), (4,), 2, POSTERIORS["full"]), (0.3, 0.9, 2.0)),
    "longitudinal": AtTimes(longitudinal.build(3, 2, 1, (4,), (), (4,)), (0.3, 0.9)),
    "cvae": cvae.build(4, 2, (5,), 2, learned=True),
    "multimodal": multimodal.build((4, 2), (5,), 2),
    "multimodal, mixture": multimodal.build((4, 2), (5,), 2, "mixture"),
    "multimodal, joint": multimodal.build((4, 2), (5,), 2, "joint"),
    "m2": m2.build(classifier.mlp(6, (4,), 3), (4,), 2),
    "m1-m2": Stacked(
        vae.mlp(6, (4,), 2), m2.build(classifier.mlp(2, (4,), 3), (4,), 1, likelihood=likelihoods.GAUSSIAN)
    ),
}
DENSITIES: dict[str, DensityModel] = {
    "real nvp": normalising.build(3, couplings=2, hidden=(6,)),
    "spline flow": normalising.build(3, SPLINE, 2, (6, 5)),
    "made": made.build(6, 2, (12,)),
    "pixel cnn": pixel_cnn.build((2, 3), 3, 4, 1, first=3),
}

"""Likelihoods of images, as command lines name them."""

from jensen.core.models.latent.likelihoods import GAUSSIAN, LIKELIHOODS, DiscretisedLogisticLikelihood, Likelihood
from jensen.experiments.data.images import ImageData, Images
from jensen.experiments.run.errors import InputError

DENSITY = "bits/dim are those of a density of grey pixels: they do not compare with discrete pixels'"
CAUTIONS = {
    "soft-bernoulli": "soft targets: these are cross-entropies, and bound no log p(x)",
    "continuous-bernoulli": DENSITY,
    "gaussian": DENSITY,
    "squared-error": DENSITY,
}


def check_likelihood(name: str, images: ImageData) -> None:
    """InputError for a likelihood that there is none of, or that pixels so treated do not fit."""
    if name not in LIKELIHOODS:
        raise InputError(f"expected --likelihood of {', '.join(LIKELIHOODS)}, got {name!r}")
    if images.treatment == "white" and LIKELIHOODS[name] != GAUSSIAN:
        raise InputError(f"{images.data} have pixels of any real value, and no {name} ones: use --likelihood gaussian")
    binary, grey = LIKELIHOODS[name].binary, images.treatment in ("grey", "white")
    if grey and binary:
        raise InputError(
            f"a {name} likelihood needs binary pixels and --pixels grey has none: binarise with "
            "--pixels dynamic or static, or choose --likelihood continuous-bernoulli, gaussian, squared-error, "
            "discretised-logistic or soft-bernoulli"
        )
    if not grey and not binary:
        raise InputError(f"--likelihood {name} is for grey pixels: add --pixels grey")


def likelihood_of(name: str, images: Images) -> Likelihood:
    """The likelihood of this name, with the levels of these images where it counts them."""
    likelihood = LIKELIHOODS[name]
    if not isinstance(likelihood, DiscretisedLogisticLikelihood):
        return likelihood
    try:
        return DiscretisedLogisticLikelihood.of(images.train)
    except ValueError as error:
        raise InputError(f"--likelihood {name}: {error}") from error

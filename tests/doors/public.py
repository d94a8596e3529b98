"""What is public: the names that packages export, and the functions of modules that export none by name."""

import inspect
from types import ModuleType

from jensen.core import (
    bijections,
    bounds,
    distributions,
    divergences,
    exponential,
    flows,
    keys,
    minibatch,
    objectives,
    ops,
    spelling,
    trees,
)
from jensen.core.flows import spectral
from jensen.core.models import bayes, classifier, conjugate, quantised
from jensen.core.models.adversarial import duality, gan
from jensen.core.models.autoregressive import codes, made, pixel_cnn, sampling, transformer
from jensen.core.models.autoregressive import recurrent as recurrent_models
from jensen.core.models.latent import (
    bottleneck,
    cvae,
    gp,
    hvae,
    ladder,
    longitudinal,
    multimodal,
    ode,
    poisson,
    reptile,
    sbn,
    series,
    vae,
)
from jensen.core.models.latent.semi import m2
from jensen.core.models.quantised import autoencoder, codebook, kmeans, paths, two_maps, usage, vqgan
from jensen.core.models.transport import (
    choices,
    diffusion,
    diffusion_posterior,
    dit,
    energies,
    fields,
    flow_matching,
    guidance,
    langevin,
    latent_diffusion,
    mixed,
    noise_levels,
    normalising,
    pixel_diffusion,
    probability_flow,
    score_matching,
    variational_diffusion,
    variational_flow_matching,
    weightings,
)
from jensen.core.nn import (
    attention,
    batch_norm,
    conditional,
    conv,
    convnet,
    deep_set,
    dropout,
    group_norm,
    initial,
    layer_norm,
    linear,
    masking,
    mlp,
    pooling,
    positions,
    recurrent,
    residual,
    rms_norm,
    windows,
)
from jensen.estimators import evidence, gradients, inference
from jensen.estimators.gradients import baselines, catalogue
from jensen.estimators.inference import (
    advi,
    bayes_by_backprop,
    cavi,
    curvature,
    em,
    ep,
    grid,
    hmc,
    iterative,
    laplace,
    learning,
    metropolis,
    natural,
    network_laplace,
    npe,
    pathfinder,
    semi_amortised,
    svgd,
    svi,
    tsnpe,
)

PACKAGES = (
    bayes,
    quantised,
    conjugate,
    distributions,
    exponential,
    divergences,
    bijections,
    ops,
    bounds,
    objectives,
    flows,
    gradients,
    evidence,
    inference,
    curvature,
)
MODULES = (
    keys, trees, minibatch, spelling, linear, mlp, conditional, conv, convnet, pooling, windows, batch_norm,
    layer_norm, rms_norm, group_norm, dropout, residual, initial, classifier, hvae, ladder, vae, sbn, m2, cvae,
    multimodal,
    deep_set, series, ode, longitudinal, gp, bottleneck, poisson, reptile, codebook, kmeans,
    paths, usage, autoencoder, two_maps, vqgan, baselines, catalogue,
    advi, bayes_by_backprop, svgd, em, cavi, svi, ep, grid, hmc, metropolis, natural, npe, pathfinder, semi_amortised,
    iterative, laplace, learning, network_laplace, spectral, tsnpe,
    duality, gan,
    attention, positions, recurrent, recurrent_models, transformer, sampling, codes, diffusion, fields, flow_matching,
    made, pixel_cnn, masking, normalising,
    noise_levels, energies, langevin, score_matching, probability_flow,
    diffusion_posterior, variational_flow_matching, dit, mixed, pixel_diffusion, latent_diffusion,
    choices, guidance, variational_diffusion, weightings,
)  # fmt: skip


def names() -> list[str]:
    """Everything public, as package.name."""
    exported = [f"{_last(package)}.{name}" for package in PACKAGES for name in package.__all__]
    defined = [f"{_last(module)}.{name}" for module in MODULES for name in _functions(module)]
    return exported + defined


def _functions(module: ModuleType) -> list[str]:
    members = inspect.getmembers(module, inspect.isfunction)
    return [name for name, f in members if f.__module__ == module.__name__ and not name.startswith("_")]


def _last(module: ModuleType) -> str:
    return module.__name__.rpartition(".")[2]

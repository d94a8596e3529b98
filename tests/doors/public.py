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
RECORDS = (
    "Annealed", "BayesFactor", "Bridge", "Evidence", "Harmonic", "Laplace", "Mode", "Probabilities", "Sandwich", "Smc",
)  # fmt: skip
WITHOUT = {  # public names without a door
    "inference.advi": "a module, with its own rows",
    "inference.bayes_by_backprop": "a module, with its own rows",
    **{f"bayes.{name}": "a type" for name in ("Data", "Theta")},
    "bayes.Support": "what `real` and its siblings make",
    "bayes.ExactRegression": "a record of results",
    **{f"bayes.{name}": "takes nothing" for name in ("arma", "garch")},
    "bayes.columns": "a module, whose functions make what `Column` checks",
    **{f"bayes.{name}": "functions of tensors, for models to be written with" for name in ("densities", "draws")},
    "bounds.NAMES": "a constant",
    "bounds.Spread": "needs processes that know each other: tests/core/test_spread.py",
    "exponential.ExponentialFamily": "a Protocol",
    "exponential.Natural": "a type",
    "objectives.NAMES": "a constant",
    "objectives.Decomposition": "a record of results",
    "objectives.Terms": "a record of results",
    "objectives.Objective": "a Protocol",
    "distributions.Given": "a record, checked where it is called",
    "gradients.baselines": "a module, with rows of its own",
    **{
        f"inference.{name}": "a record of results"
        for name in ("Amortised", "Approximation", "MaximumLikelihood", "Overlooked", "Sequential")
    },
    "inference.Simulations": "what `Simulator.simulations` draws",
    "inference.summaries": "settings, which check their sizes: tests/estimators/inference/test_npe.py",
    **dict.fromkeys(
        (
            "inference.svgd",
            "inference.em",
            "inference.cavi",
            "inference.svi",
            "inference.ep",
            "inference.grid",
            "inference.hmc",
            "inference.metropolis",
            "inference.natural",
            "inference.npe",
            "inference.pathfinder",
            "inference.semi_amortised",
            "inference.iterative",
            "inference.laplace",
            "inference.network_laplace",
            "inference.tsnpe",
        ),
        "a module, with its own rows",
    ),
    "inference.NetworkPosterior": "what `network_laplace.fit` makes: tests/estimators/inference/test_network_laplace",
    "inference.curvature": "a package, with rows of its own",
    **{f"curvature.{name}": "takes nothing" for name in ("Bernoulli", "Categorical")},
    **{f"curvature.{name}": "what `network_laplace.init` starts" for name in ("Diagonal", "Full", "Kronecker")},
    "curvature.Likelihood": "a Protocol",
    "curvature.Linearised": "a record, whose parts `network_laplace.init` checks",
    "curvature.Predicted": "a record of results",
    **dict.fromkeys(("learning.check_learning", "learning.check_networks"), "a check, of the doors that call it"),
    "npe.check_simulator": "a check, of the doors that call it",
    "inference.fitting": "what algorithms share: their own rows have what they refuse",
    "conjugate.ConjugateModel": "a Protocol",
    "conjugate.Factors": "a type",
    "conjugate.NormalWishartFamily": "a family, whose methods check: tests/estimators/inference/test_cavi.py",
    **{
        f"conjugate.{name}": "a value, whose parts are checked where they meet data"
        for name in (
            "Allocation",
            "Choices",
            "FactorAnalysis",
            "HiddenMarkov",
            "Mixture",
            "Normals",
            "Regression",
            "Shares",
            "Sticks",
        )
    },
    "cavi.check_data": "a check, of the doors that call it",
    "flows.spectral": "a module, with rows of its own",
    "flows.FromZuko": "what `from_zuko` makes",
    "flows.from_zuko": "takes what is zuko's, which need not be installed: its tests have what it refuses",
    "gradients.catalogue": "a module, with rows of its own",
    "divergences.generators": "functions of one tensor of any kind",
    **{f"evidence.{name}": "a record of results" for name in RECORDS},
    "evidence.Hamiltonian": "a move: `hmc` and `langevin` are checked where they are used",
    "evidence.hmc": "a value",
    "evidence.langevin": "a value",
    "quantised.NAMES": "a constant",
    "quantised.Codebook": "a record of `codebook.init`",
    "quantised.Quantiser": "a Protocol",
    "quantised.CodedModel": "a Protocol",
    "quantised.CodeMap": "a record of a model's `maps`",
    "quantised.Step": "a record of results",
    "quantised.Autoencoder": "what `autoencoder.mlp` and `conv` make",
    "quantised.TwoMaps": "what `two_maps.conv` makes",
    **{
        f"quantised.{name}": "a module, with rows of its own"
        for name in ("autoencoder", "codebook", "kmeans", "paths", "two_maps", "usage", "vqgan")
    },
    **{
        f"codebook.check_{name}": "a check, of the doors that call it"
        for name in ("codebook", "decay", "least", "start")
    },
    "choices.log_likelihood": "a part of `noise`, which checks",
    "pixel_diffusion.check_shades": "a check, of the doors that call it",
    **dict.fromkeys(("attention.check_attention", "linear.check_linear"), "a check, of the doors that call it"),
    "attention.attend": "what `extend` does once it has checked, within networks",
    "attention.turns_after": "the rotation of `extend`, within networks",
    "flow_matching.times_and_starts": "of the doors that check x and key",
    "m2.check_latents": "a check, of the doors that call it",
    "paths.check_path": "a check, of the doors that call it",
    "series.check_series": "a check, of the doors that call it",
    "trees.leaves": "any value is a tree",
    "trees.paths": "any value is a tree",
    "trees.stop": "any value is a tree",
    "spelling.form": "for tables of the library",
    "spelling.forms": "for tables of the library",
    "catalogue.table": "takes nothing",
    "keys.philox": "the generator of `bits`, on integers of any kind",
}


def names() -> list[str]:
    """ "package.name" of everything public."""
    exported = [f"{_last(package)}.{name}" for package in PACKAGES for name in package.__all__]
    defined = [f"{_last(module)}.{name}" for module in MODULES for name in _functions(module)]
    return exported + defined


def _functions(module: ModuleType) -> list[str]:
    members = inspect.getmembers(module, inspect.isfunction)
    return [name for name, f in members if f.__module__ == module.__name__ and not name.startswith("_")]


def _last(module: ModuleType) -> str:
    return module.__name__.rpartition(".")[2]

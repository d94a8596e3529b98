"""Small programs under every estimator, bound and objective, that tests share."""

from dataclasses import replace

import torch

from jensen.core import keys, trees
from jensen.core.models.latent import sbn, vae
from jensen.experiments.data.batches import Epochs
from jensen.experiments.programs.estimation import Estimation
from jensen.experiments.programs.latent import LatentProgram
from jensen.experiments.run.optimisers import Optimiser

KEY = keys.key(6)
TWO = Estimation(k=2)
IWAE = Estimation(k=2, bound="iwae")
UNBIASED = {
    "score": TWO,
    "score, no baseline": Estimation(k=1),
    "score of iwae": IWAE,
    "vimco": replace(IWAE, baseline="vimco"),
    "nvil": replace(TWO, baseline="nvil"),
    "muprop": replace(TWO, estimator="muprop"),
    "rebar": replace(TWO, estimator="rebar"),
    "relax": replace(TWO, estimator="relax"),
    "arm": replace(TWO, estimator="arm"),
    "disarm": replace(TWO, estimator="disarm"),
    "measure-valued": replace(TWO, estimator="measure-valued"),
    "vargrad": replace(TWO, estimator="vargrad"),
    "two layers": TWO,
    "two layers, nvil of iwae": replace(IWAE, baseline="nvil"),
    "renyi": replace(IWAE, bound="renyi(0.5)"),
}
BIASED = {name: replace(TWO, estimator=name) for name in ("straight-through", "concrete", "gumbel-straight-through")}
BIASED["wake"] = replace(IWAE, estimator="wake")
VAES = {
    "pathwise": Estimation(k=3, estimator="pathwise"),
    "stl": Estimation(k=3, estimator="stl"),
    "dreg": Estimation(k=3, estimator="dreg", bound="iwae"),
    "normal score": Estimation(k=3, estimator="score"),
    "normal wake": Estimation(k=3, estimator="wake", bound="iwae"),
}
BOUNDS = (
    "renyi(0.5)", "vr-max", "tvo(3)", "miwae(2, 3)", "ciwae(0.5)", "jackknife(1)", "sumo(2)",
    "csiszar(jensen-shannon)", "tail-adaptive(-1)", "cubo(2)",
)  # fmt: skip
OBJECTIVES = (
    "beta(4)", "capacity(10, 2)", "free-bits(0.2)", "free-bits-per-datum(0.2)", "geco(-2)", "committed(0.1)",
    "beta-tc(6)",
)  # fmt: skip
ANY = tuple(text for text in OBJECTIVES if not text.startswith(("committed", "beta-tc")))  # normal posteriors or not


def data(n=3, dtype=torch.float64):
    return (keys.uniform(KEY, (n, 4), dtype) < 0.4).to(dtype)


def program(estimation, model, dynamic=False, n=3):
    q = model.posterior(model.init(KEY, data(40)), data())
    return LatentProgram(
        model=model, estimation=estimation, name=estimation.chosen(q), dynamic=dynamic, batches=Epochs(n, n),
        optimiser=Optimiser(), total=100, evidence_k=5, compile=False, title="",
    )  # fmt: skip


def prepared(name, estimation):
    """A small program, and its parameters away from their start."""
    belief_net = name not in VAES
    model = sbn.build(4, 2, 2 if "two layers" in name else 1) if belief_net else vae.mlp(4, (3,), 2)
    made = program(estimation, model)
    params, state = made.init(KEY, data(40))
    vector, unravel = trees.ravel(params)
    return made, unravel(vector + 0.3 * keys.normal(keys.key(8), (len(vector),), torch.float64)), state


def out(made, params, state, key=KEY, weights=None, x=None):
    x = data() if x is None else x
    batch = {"datum": torch.arange(len(x)), "data": x}
    return made.loss(params, state, batch, key, weights or {})

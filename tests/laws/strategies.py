"""Hypothesis strategies for shapes, parameters, weights and oracles, all in float64."""

import math

import torch
from hypothesis import strategies as st
from torch import Tensor

from jensen.core import keys
from jensen.core.distributions import Bernoulli, Categorical, ContinuousBernoulli, DiagNormal
from jensen.laws.oracles import LinearGaussian, SigmoidBelief

seeds = st.integers(-(2**63), 2**63 - 1).map(keys.key)
sizes = st.integers(1, 5)
moderate = st.floats(-8, 8, allow_subnormal=False)
extreme = st.sampled_from([-100.0, -20.5, -20.0, 0.0, 20.0, 20.5, 100.0])


def tensors(shape: tuple[int, ...], elements: st.SearchStrategy[float] = moderate) -> st.SearchStrategy[Tensor]:
    count = math.prod(shape)
    listed = st.lists(elements, min_size=count, max_size=count)
    return listed.map(lambda values: torch.tensor(values, dtype=torch.float64).reshape(shape))


@st.composite
def normals(draw, shape: tuple[int, ...] | None = None) -> DiagNormal:
    shape = shape or (draw(sizes), draw(sizes))
    return DiagNormal(draw(tensors(shape)), draw(tensors(shape, st.one_of(st.floats(-5, 5), extreme))))


@st.composite
def pairs(draw, family: str) -> tuple:
    """Two members of one family with the same shape."""
    shape = (draw(sizes), draw(sizes))
    if family == "normal":
        return draw(normals(shape)), draw(normals(shape))
    if family == "categorical":
        shape = (*shape, draw(st.integers(2, 4)))
    kind = {"bernoulli": Bernoulli, "categorical": Categorical, "continuous": ContinuousBernoulli}[family]
    return kind(draw(tensors(shape))), kind(draw(tensors(shape)))


@st.composite
def log_weights(draw, least: int = 2) -> Tensor:
    """(s, n) with ordinary, huge, tiny and -inf entries, and whole columns of -inf."""
    shape = (draw(st.integers(least, 6)), draw(sizes))
    element = st.one_of(st.floats(-50, 50), st.sampled_from([-math.inf, -1e4, 1e4, 0.0]))
    log_w = draw(tensors(shape, element))
    if draw(st.booleans()):
        log_w[:, draw(st.integers(0, shape[1] - 1))] = -math.inf
    return log_w


@st.composite
def sized(draw, counts: list[int], element: st.SearchStrategy[float]) -> Tensor:
    """Log weights (s, n), s one of `counts`."""
    return draw(tensors((draw(st.sampled_from(counts)), draw(st.integers(1, 3))), element))


@st.composite
def linear_gaussians(draw, latent: int | None = None) -> LinearGaussian:
    n, data, d = draw(sizes), draw(sizes), latent or draw(st.integers(1, 3))
    gentle = st.floats(-2, 2)
    return LinearGaussian(
        draw(tensors((data, d), gentle)),
        draw(tensors((data,), gentle)),
        draw(tensors((), st.floats(-1.5, 1))),
        draw(tensors((n, data), gentle)),
    )


@st.composite
def sigmoid_beliefs(draw) -> tuple[SigmoidBelief, Tensor]:
    """A model with up to 2 latents, and logits (n, d) of some q."""
    n, data, d = draw(st.integers(1, 3)), draw(sizes), draw(st.integers(1, 2))
    gentle = st.floats(-3, 3)
    model = SigmoidBelief(
        draw(tensors((d,), gentle)),
        draw(tensors((data, d), gentle)),
        draw(tensors((data,), gentle)),
        draw(tensors((n, data), st.sampled_from([0.0, 1.0]))),
    )
    return model, draw(tensors((n, d), gentle))


@st.composite
def populations(draw) -> tuple[SigmoidBelief, Tensor]:
    """A model, and log weights (s, n) that hold every value of z as often as q does: mean_s is E_q, exactly."""
    model, _ = draw(sigmoid_beliefs())
    z = model.support()
    counts = torch.tensor(draw(st.lists(st.integers(1, 4), min_size=len(z), max_size=len(z))))
    log_w = model.log_joint(z) - torch.log(counts / counts.sum().double())[:, None]
    return model, log_w.repeat_interleave(counts, 0)

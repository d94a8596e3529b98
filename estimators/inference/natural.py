"""Variational inference by natural gradients, by the identities of Bonnet and Price, from Laplace's normal.

    approximation, trace = fit(key, posterior, posterior.starts(start_key, 4))
    approximation.q.loc, approximation.elbo, approximation.evidence
    approximation.verdict()

    state, info = update(init(q), log_p, key)                    # one step

Approximates  p(z | x) by the normal with the highest ELBO, of a full or a diagonal covariance
With          precision + rho (-E[Hessian] - precision) and loc + rho precision^-1 E[gradient], expectations under q by
              pairs of draws loc +- off; where the new precision is less than half of what a flat density leaves, the
              mean of the old one and new old^-1 new, as in Lin et al., is taken, which is definite whatever the draws
Requires      a log density with a derivative; for "hessian" two, the first without jumps; see `Curvature`
Unbiased when expectations of the gradient, and the Hessian but for "squares", always; the ELBO that is reported is an
              unbiased estimate of q's own, on draws that chose nothing
Cost          the climb and a Hessian; 2 s gradients a step, with d products each for "hessian", or b of them for
              "squares" of b data; factors (d, d) where the covariance is full
Reference     Khan and Rue, 2023; Lin, Schmidt and Khan, 2020; Khan et al., 2018 (VOGN), for "squares"
"""

from collections.abc import Callable
from typing import Literal, NamedTuple, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import keys, trees
from jensen.core.checks import (
    check_choice,
    check_count,
    check_floating,
    check_function,
    check_key,
    check_number,
    described,
)
from jensen.core.contracts import Key, LogDensity
from jensen.core.distributions import DiagNormal, FullNormal
from jensen.core.models.bayes import Posterior
from jensen.estimators.evidence.local import Local
from jensen.estimators.gradients.contract import density
from jensen.estimators.inference.approximation import Approximation, judge
from jensen.estimators.inference.coordinates import around, around_a_mode, normal
from jensen.estimators.inference.fitting import Trace
from jensen.estimators.inference.rounds import best_of_rounds, is_wild
from jensen.estimators.inference.starting import check_log_p

Covariance = Literal["full", "diagonal"]
Curvature = Literal["hessian", "products", "squares"]
COVARIANCES, CURVATURES = get_args(Covariance), get_args(Curvature)
MOST = 8  # times as many draws as in the first round
Q = FullNormal | DiagNormal


class State(NamedTuple):
    """q by k blocks of b coordinates that do not know of each other: one of d for a full covariance, or d of one."""

    loc: Float[Tensor, "k b"]
    precision: Float[Tensor, "k b b"]

    def q(self) -> Q:
        """The normal, of one row."""
        blocks = self.blocks()
        if len(self.loc) == 1:
            return blocks
        return DiagNormal(blocks.loc.mT, blocks.log_scale.mT)

    def blocks(self) -> FullNormal:
        """The normal, with a row for each block."""
        root = torch.linalg.cholesky_ex(self.precision.flip(-2, -1))[0].flip(-2, -1)  # precision = root root'
        unit = torch.eye(self.loc.shape[1], dtype=root.dtype, device=root.device).expand_as(root)
        factor = torch.linalg.solve_triangular(root.mT, unit, upper=False)
        return FullNormal(self.loc, factor.diagonal(dim1=-2, dim2=-1).log(), factor.tril(-1))


class Info(NamedTuple):
    """The estimate of the ELBO before a step, in nats."""

    objective: Float[Tensor, ""]
    terms: dict[str, Float[Tensor, ""]]


def init(q: Q) -> State:
    """From q, of one row."""
    if not isinstance(q, FullNormal | DiagNormal):
        raise TypeError(f"expected q, a FullNormal or a DiagNormal, got {described(q)}: others have no such steps")
    check_floating("q.loc", q.loc, "1 d", "one row, as of one data set")
    q = trees.stop(q)
    if isinstance(q, DiagNormal):
        return State(q.loc.mT, torch.exp(-2 * q.log_scale.mT)[..., None])
    factor = torch.diag_embed(q.log_scale.exp()) + q.lower.tril(-1)
    return State(q.loc, torch.cholesky_inverse(factor))


def update(
    state: State,
    log_p: LogDensity,
    key: Key,
    step_size: float | Tensor = 0.1,
    s: int = 50,
    curvature: Curvature = "products",
) -> tuple[State, Info]:
    """One step of s pairs of draws; one of size 1 is exact for a normal log density by "hessian".

    log_p      z (s, 1, d) -> (s, 1), in nats, such as a `bayes.Posterior`
    curvature  "products" of draws and gradients, (z - loc) gradient', by Stein's lemma, which has no noise where q is
               the posterior; "hessian", for which a tenth of the draws is enough, by d products with it; "squares" of
               the gradients of a `bayes.Posterior`'s data, in place of their Hessian: that of their log likelihood's
               expectation where the model is right, and never indefinite
    """
    if not isinstance(state, State):
        raise TypeError(f"expected state, a State, got {described(state)}: begin with natural.init(q)")
    check_key(key)
    check_choice("curvature", curvature, CURVATURES)
    s = check_count("s", s)
    if not isinstance(step_size, Tensor):
        check_number("step_size", step_size, "[0, 1]", "1 is a whole step")
    blocks, old = state.blocks(), state.precision
    off = blocks.sample(blocks.noise(key, s)) - state.loc
    off = torch.cat([off, -off])
    z = (state.loc + off).flatten(1)
    if curvature == "squares":
        value, slope, negative = _squares(state, log_p, z, off)
    else:
        local = Local.of(lambda z: density(log_p, z.transpose(0, 1)).mT, z)  # draws are samples, not data
        value, slope = local.value, local.slope.reshape(off.shape)
        if curvature == "hessian":
            negative = -_blocks(local.hessian(), off)
        else:  # of log p - log q, whose products vanish where q is p
            negative = old - _stein(old, slope + _pulled(old, off), off)
    new = old + step_size * (negative - old)
    least = torch.linalg.cholesky_ex(new - 0.5 * (1 - step_size) * old)[1] == 0
    definite = 0.5 * (old + new @ torch.linalg.solve(old, new))
    precision = torch.where(least[:, None, None], new, definite)
    precision = 0.5 * (precision + precision.mT)
    step = torch.linalg.solve(precision, slope.mean(0))
    terms = {"log_p": value.mean(), "entropy": blocks.entropy().sum()}
    return State(state.loc + step_size * step, precision), Info(terms["log_p"] + terms["entropy"], terms)


def fit(
    key: Key,
    log_p: LogDensity,
    start: Float[Tensor, "m d"],
    covariance: Covariance = "full",
    curvature: Curvature = "products",
    rounds: int = 8,
    steps: int = 20,
    step_size: float = 0.5,
    s: int = 50,
    tolerance: float = 0.03,
    samples: int = 4000,
    batch: Callable[[Key], LogDensity] | None = None,
    progress: Callable[[str], object] | None = None,
) -> tuple[Approximation, Trace]:
    """The best normal, and what it is worth; the trace is of each round's ELBO, in nats with its error.

    log_p   z (s, m, d) -> (s, m), in nats, such as a `bayes.Posterior`
    start   points that the mode is climbed to from, such as posterior.starts(key, 4)
    curvature  by which the precision moves: see `update`
    batch   key -> the log density of a step's minibatch, in place of log_p in the steps, such as
            lambda key: posterior.minibatch(keys.permutation(key, n)[:b])

    A round is `steps` updates, and its q the average of its second half's. The next has twice as many pairs of draws,
    up to 8 s, so that what noise costs halves and shows as a gain; of minibatches, whose noise stays, it has steps half
    as long. It is the last where a round's ELBO is within `tolerance` nats of gaining nothing, on shared draws, and
    k-hat no longer falls.
    """
    check_key(key)
    check_floating("start", start, "m d", "a row for each start, such as posterior.starts(key, 4)")
    check_choice("covariance", covariance, COVARIANCES)
    check_choice("curvature", curvature, CURVATURES)
    rounds, steps, s = check_count("rounds", rounds), check_count("steps", steps), check_count("s", s)
    samples = check_count("samples", samples, 2)
    step_size = check_number("step_size", step_size, "(0, 1]", "1 is a whole step")
    tolerance = check_number("tolerance", tolerance, "[0, inf)", "in nats, such as 0.01")
    if batch is not None:
        check_function("batch", batch, "lambda key: posterior.minibatch(keys.permutation(key, n)[:b])")
    run_key, shared_key, judge_key, look_key = keys.split(key, 4)
    check_log_p(log_p, look_key)
    where, at_mode = around_a_mode(log_p, start, covariance)
    assert where is not None
    q = normal(where, covariance)
    if at_mode and is_wild(log_p, q, shared_key):
        q, at_mode = normal(around(start), covariance), False

    def go(i: int, q: Q) -> Q:
        round_key, state, half = keys.fold_in(run_key, i), init(q), steps // 2
        total, pairs = trees.map(torch.zeros_like, state), s * min(2**i, MOST)
        size = step_size if batch is None else step_size / 2**i
        for j in range(steps):
            now = log_p if batch is None else batch(keys.fold_in(round_key, steps + j))
            state, _ = update(state, now, keys.fold_in(round_key, j), size, pairs, curvature)
            if j >= half:
                total = trees.map(torch.add, total, state)
        return trees.map(lambda t: t / (steps - half), total).q()

    best, trace = best_of_rounds(go, log_p, q, shared_key, rounds, tolerance, progress)
    return judge(log_p, best, judge_key, samples, at_mode), trace


def _squares(
    state: State, log_p: LogDensity, z: Float[Tensor, "s d"], off: Float[Tensor, "s k b"]
) -> tuple[Float[Tensor, " s"], Float[Tensor, "s k b"], Float[Tensor, "k b b"]]:
    """log p, its slope, and in place of its Hessian the data's squared slopes, and the prior's by "products"."""
    if not isinstance(log_p, Posterior):
        raise TypeError(
            f'expected log_p, a bayes.Posterior, got {described(log_p)}: "squares" are of each datum\'s gradient, so '
            'take "products"'
        )

    def totals(z: Tensor) -> tuple[Tensor, Tensor]:
        prior, each = log_p.terms(z[:, None])
        every = prior[..., None] if each is None else torch.cat([prior[..., None], each], -1)
        return every.sum((0, 1)), every[:, 0]

    slopes, every = torch.func.jacrev(totals, has_aux=True)(z)  # (1 + data, s, d): of each term at each draw
    slopes = slopes.reshape(-1, *off.shape).detach()
    prior, each = slopes[0], slopes[1:]
    scale = log_p.num_data.value / max(len(each), 1)
    squares = scale * torch.einsum("nski,nskj->kij", each, each) / len(z)
    negative = squares - _stein(state.precision, prior, off)
    value = every[:, 0] + scale * every[:, 1:].sum(1)
    return value.detach(), prior + scale * each.sum(0), negative


def _stein(
    precision: Float[Tensor, "k b b"], slope: Float[Tensor, "s k b"], off: Float[Tensor, "s k b"]
) -> Float[Tensor, "k b b"]:
    """The Hessian's expectation by Stein's lemma, E[precision off slope'], symmetric."""
    product = torch.einsum("ski,skj->kij", _pulled(precision, off), slope) / len(off)
    return 0.5 * (product + product.mT)


def _pulled(precision: Float[Tensor, "k b b"], off: Float[Tensor, "s k b"]) -> Float[Tensor, "s k b"]:
    return torch.einsum("kij,skj->ski", precision, off)


def _blocks(hessian: Float[Tensor, "s d d"], off: Float[Tensor, "s k b"]) -> Float[Tensor, "k b b"]:
    """The mean over draws of the blocks on the diagonal."""
    s, k, b = off.shape
    return hessian.reshape(s, k, b, k, b).diagonal(dim1=1, dim2=3).mean(0).movedim(-1, 0)

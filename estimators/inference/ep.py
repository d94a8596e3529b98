"""Expectation propagation for logistic and probit regression (Minka, 2001), all sites at once, with damping.

    approximation, trace = fit(key, x, y)                        # y_i ~ Bernoulli(sigmoid(x_i w)), w ~ N(0, I)
    approximation.draws(key, 1000), approximation.evidence       # by importance sampling from q
    trace.objective[-1]                                          # log p(y | x) by expectation propagation

    state, info = update(init(x, y))                             # one update of every site

Approximates  p(w | x, y) by a normal q, and log p(y | x)
With          a normal site exp(shift a - precision a^2 / 2) of each datum's predictor a, such that q has the mean and
              variance of a under (q without the site) times the datum's likelihood: by the trapezoidal rule for the
              logistic link, in closed form for the probit; at the fixed point a correction of q's covariance and of
              log p(y | x) to second order in the skewness of these
Requires      a linear predictor and a normal prior; predictors whose standard deviations without their own datum are
              some 160 or less, for the logistic link's rule
Unbiased when never; with one datum it is exact. It tends to be nearer in means, standard deviations and log p(y | x)
              than Laplace's normal or the best normal of the ELBO; it bounds nothing. Where classes are apart and the
              prior is wide, standard deviations are off by a tenth
Cost          a Cholesky factor (d, d) and products (n, d) by (d, d) an update; 161 n evaluations of the likelihood, or
              more for wide predictors; one product (n, d) by (d, n) at the end
Reference     Minka, 2001; Rasmussen and Williams, 2006, section 3.6; Vehtari et al., 2020, for updates in parallel;
              Opper, Paquet and Winther, 2013, for the correction
"""

import math
from collections.abc import Callable
from typing import Literal, NamedTuple, get_args

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from jensen.core.checks import (
    check_choice,
    check_count,
    check_floating,
    check_key,
    check_number,
    check_rows,
    check_tensor,
    described,
)
from jensen.core.contracts import Key
from jensen.core.distributions import FullNormal
from jensen.core.numerics import log_normal_cdf
from jensen.estimators.inference._second_order import changed, second_order
from jensen.estimators.inference._tilted import Tilted, log_integral, logistic, probit
from jensen.estimators.inference.approximation import Approximation, judge
from jensen.estimators.inference.fitting import EVERY, Trace, traced

Link = Literal["logistic", "probit"]
LINKS = get_args(Link)
PATIENCE = 10  # updates that come no nearer, after which sites cycle


class State(NamedTuple):
    """The data as (2 y - 1) x, the prior's precision, and the sites of the predictors a = (2 y - 1) x w, in float64."""

    signed: Float[Tensor, "n d"]
    prior: Float[Tensor, ""]
    probit: bool
    precision: Float[Tensor, " n"]
    shift: Float[Tensor, " n"]

    def normal(self) -> tuple[Float[Tensor, " d"], Float[Tensor, "d d"]]:
        """The mean of q, and the Cholesky factor of its precision."""
        a = self.signed
        precision = (a.T * self.precision) @ a + self.prior * torch.eye(a.shape[1], dtype=a.dtype, device=a.device)
        factor = torch.linalg.cholesky(precision)
        return torch.cholesky_solve((a.T @ self.shift)[:, None], factor)[:, 0], factor


class Info(NamedTuple):
    """log p(y | x) by the sites before an update, in nats, and how far q's moments of predictors are from the tilted.

    terms: what "sites" give, and what is of "second_order", which `fit` adds to the last.
    mismatch is the largest difference of means in standard deviations, or of log variances: 0 at a fixed point.
    """

    objective: Float[Tensor, ""]
    terms: dict[str, Float[Tensor, ""]]
    mismatch: Float[Tensor, ""]


class Cavities(NamedTuple):
    """q, and predictors under q without their own datum's site, and under that times their datum's likelihood."""

    loc: Float[Tensor, " d"]
    factor: Float[Tensor, "d d"]  # of q's precision
    directions: Float[Tensor, "d n"]  # of a - mean, in coordinates where q's covariance is I
    mean: Float[Tensor, " n"]
    variance: Float[Tensor, " n"]
    centre: Float[Tensor, " n"]
    apart: Float[Tensor, " n"]  # the cavity's variance
    tilted: Tilted

    @classmethod
    def of(cls, state: State) -> "Cavities":
        loc, factor = state.normal()
        mean = state.signed @ loc
        directions = torch.linalg.solve_triangular(factor, state.signed.T, upper=False)
        variance = directions.square().sum(0)
        # A datum without covariates has the likelihood 1/2 whatever w: so have predictors symmetric about 0.
        variance = torch.where(variance > 0, variance, 1.0)
        apart = 1 / (1 / variance - state.precision)
        centre = apart * (mean / variance - state.shift)
        tilted = probit(centre, apart) if state.probit else logistic(centre, apart)
        return cls(loc, factor, directions, mean, variance, centre, apart, tilted)


def init(x: Float[Tensor, "n d"], y: Tensor, link: Link = "logistic", scale: float = 1.0) -> State:
    """Sites that say nothing. y (n,) are 0 and 1; w ~ N(0, scale^2 I), as in `bayes.logistic_regression`."""
    check_floating("x", x, "n d", "a row for each datum")
    check_tensor("y", y, "n", "a response for each datum")
    check_rows("y", y, x, "x")
    check_choice("link", link, LINKS)
    scale = check_number("scale", scale, "(0, inf)", "the prior's standard deviation")
    if not x.numel():
        raise ValueError(f"expected x (n, d) of one datum and one covariate or more, got {tuple(x.shape)}: add data")
    if not x.isfinite().all():
        raise ValueError("expected x finite, got NaN or inf: leave out or fill in what is missing")
    if not ((y == 0) | (y == 1)).all():
        raise ValueError(f"expected y of 0 and 1, got {y[(y != 0) & (y != 1)][0].item()}: recode it")
    signed = (2 * y.double() - 1)[:, None] * x.double()
    none = torch.zeros_like(signed[:, 0])
    return State(signed, torch.full_like(none.sum(), scale**-2), link == "probit", none, none)


@torch.no_grad()
def update(state: State, step_size: float = 0.5) -> tuple[State, Info]:
    """One update of every site, by `step_size` of the way to the matched one."""
    if not isinstance(state, State):
        raise TypeError(f"expected state, a State, got {described(state)}: begin with ep.init(x, y)")
    step_size = check_number("step_size", step_size, "[0, 1]", "1 is the whole way, and may not converge")
    a, precision, shift = state.signed, state.precision, state.shift
    loc, factor, _, mean, variance, centre, apart, tilted = Cavities.of(state)
    wanted = (1 / tilted.variance - 1).clamp_min(0) / apart  # positive, as the likelihood is log-concave
    tilted_mean = centre + apart.sqrt() * tilted.mean
    wanted_shift = tilted_mean * (wanted + 1 / apart) - centre / apart
    informed = a.abs().amax(1) > 0
    wanted, wanted_shift = wanted * informed, wanted_shift * informed
    off = torch.maximum((tilted_mean - mean).abs() / variance.sqrt(), (apart * tilted.variance / variance).log().abs())
    after = state._replace(
        precision=precision + step_size * (wanted - precision), shift=shift + step_size * (wanted_shift - shift)
    )
    log_site = log_integral(centre, apart, precision, shift)
    log_q = 0.5 * len(loc) * state.prior.log() - factor.diagonal().log().sum() + 0.5 * loc @ (a.T @ shift)
    sites = (tilted.log_mass - log_site).sum() + log_q
    terms = {"sites": sites, "second_order": torch.zeros_like(sites)}
    return after, Info(sites, terms, (off * informed).amax())


def fit(
    key: Key,
    x: Float[Tensor, "n d"],
    y: Tensor,
    link: Link = "logistic",
    scale: float = 1.0,
    steps: int = 200,
    step_size: float = 0.5,
    tolerance: float = 1e-6,
    corrected: bool = True,
    samples: int = 4000,
    progress: Callable[[str], object] | None = None,
) -> tuple[Approximation, Trace]:
    """The normal at the fixed point, and what it is worth; the trace is of log p(y | x) by the sites, in nats.

    Ends where q's moments of predictors are within `tolerance` of the tilted ones, in standard deviations, or after
    `steps`; `step_size` halves where they come no nearer in ten updates. At the fixed point q's covariance and the last
    log p(y | x) are corrected to second order in the tilted distributions' skewness, unless `corrected` is False, by
    (n, n) correlations, 1024 rows at once. The approximation's own evidence is by importance sampling from q with
    `samples` draws; where its k-hat is below 0.7 means by its weights are right though q is not.
    """
    check_key(key)
    steps, samples = check_count("steps", steps), check_count("samples", samples, 2)
    tolerance = check_number("tolerance", tolerance, "[0, inf)")
    state = init(x, y, link, scale)
    after, info = update(state, step_size)
    infos, best, waited = [info], info.mismatch, 0
    while info.mismatch > tolerance and len(infos) <= steps:
        state = after
        after, info = update(state, step_size)
        infos.append(info)
        best, waited = (info.mismatch, 0) if info.mismatch < best else (best, waited + 1)
        if waited == PATIENCE:
            step_size, waited = step_size / 2, 0
        if progress is not None and len(infos) % EVERY == 0:
            progress(f"update {len(infos)} of {steps} at most: moments off by {info.mismatch.item():.2g}")
    converged = bool(info.mismatch <= tolerance)
    loc, covariance, gain = _moments(state, corrected and converged)
    infos[-1] = info._replace(objective=info.objective + gain, terms=info.terms | {"second_order": gain})
    q = FullNormal(*(field.to(x) for field in FullNormal.from_covariance(loc[None], covariance)))
    signed = state.signed.to(x)
    log_link = log_normal_cdf if link == "probit" else logsigmoid
    normaliser = x.shape[1] * math.log(scale * math.sqrt(2 * math.pi))

    def log_p(w: Tensor) -> Tensor:
        return log_link(w @ signed.T).sum(-1) - 0.5 * (w / scale).square().sum(-1) - normaliser

    return judge(log_p, q, key, samples), traced(infos, converged)


def _moments(state: State, corrected: bool) -> tuple[Float[Tensor, " d"], Float[Tensor, "d d"], Float[Tensor, ""]]:
    """Of q at a fixed point, and the change of log p(y | x)."""
    at = Cavities.of(state)
    if not corrected:
        return at.loc, torch.cholesky_inverse(at.factor), torch.zeros_like(at.loc.sum())
    log_p, change = second_order(at.tilted.skewness, at.directions / at.variance.sqrt())
    return at.loc, changed(at.factor, change), log_p

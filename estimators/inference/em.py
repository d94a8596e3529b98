"""Expectation maximisation (Dempster et al., 1977) of mixtures of normals.

    mixture, trace = fit(key, x, 3, covariance="full", restarts=5)
    mixture.distribution().log_prob(x[:, None])                  # (n, 1), of a `Mixture` of `FullNormal`s
    mixture.responsibilities(x), mixture.verdict()

    data = prepare(x, "full")                                    # update by update
    state, info = update(init(key, data, 3), data)

Approximates  the weights, means and covariances of k normals at a local maximum of the log likelihood
With          responsibilities r_k(x) = p(k | x), and the moments of x weighted by them
Requires      x (n, d), finite; full, diagonal, tied or spherical covariances
Unbiased when none; the log likelihood never falls, and its maximum is unbounded without the floor of covariances
Cost          two products (k, f) x (f, n) an update, f = 1 + d + d (d + 1) / 2, or 1 + 2 d without correlations; n f
              numbers are kept
Reference     Dempster et al., 1977; the start of Arthur and Vassilvitskii, 2007

x is centred and scaled first, so that data far from 0 lose no digits, in float32 too; what remains of a weighted square
less the mean's is the covariance, whose rounding grows as the square of clusters' distances over their widths: clusters
a thousand times narrower than their distances call for float64.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from jensen.core import keys
from jensen.core.checks import check_choice, check_count, check_floating, check_key, check_number, described
from jensen.core.concrete import is_concrete
from jensen.core.contracts import Key
from jensen.core.models.quantised import kmeans
from jensen.core.numerics import at_least_float32, drop_negligible
from jensen.core.numerics.quadratics import coefficients, features, moments
from jensen.core.ops import nearest_code
from jensen.core.trees import Static
from jensen.estimators.inference.covariances import KINDS, Kind, crossed, likeliest, matrices, precisions
from jensen.estimators.inference.fitting import Trace, climb
from jensen.estimators.inference.normal_mixture import NormalMixture
from jensen.estimators.wording import listed

ITERATIONS = 10  # of k-means, from which EM starts
RESEEDED = (0.0, 0.1, 0.2, 0.3, 0.5)  # the shares of data explained worse than those that components are moved to
ROUNDING = 32  # of the data's last digit of a variance of 1, below which a floor would be rounding's


class Data(NamedTuple):
    """x as (x - centre) / scale, in features by which densities and moments are products."""

    features: Float[Tensor, "n f"]
    centre: Float[Tensor, " d"]
    scale: Float[Tensor, " d"]
    one_normal: Float[Tensor, ""]  # the log likelihood of one normal, in nats
    kind: Static[Kind]
    floor: Static[float]  # of variances, whose average is 1


class State(NamedTuple):
    """The mixture of the scaled data."""

    weights: Float[Tensor, " k"]
    loc: Float[Tensor, "k d"]
    covariance: Float[Tensor, "k d *e"]  # or its diagonals
    floored: Bool[Tensor, " k"]  # which covariances reach their floor


class Info(NamedTuple):
    """The log likelihood of the state before an update, in nats of x, and how many data each component has.

    terms: `one_normal`, the largest log likelihood of one normal, and `gain`, what the mixture has above it.
    """

    objective: Float[Tensor, ""]
    terms: dict[str, Float[Tensor, ""]]
    counts: Float[Tensor, " k"]


def prepare(x: Float[Tensor, "n d"], covariance: Kind = "full", floor: float = 1e-6) -> Data:
    """The data as the updates read them: for a kind of covariances, none below `floor` of x's own variances.

    ValueError for data that are not finite, and for columns that do not vary.
    """
    check_floating("x", x, "n d", "one row per datum")
    if not len(x):
        raise ValueError("expected x of one datum or more, got none: pass the data")
    check_choice("covariance", covariance, KINDS)
    x, floor = at_least_float32(x), check_number("floor", floor, "(0, 1)")
    wide = x.double()
    centre, scale = wide.mean(0), wide.std(0, correction=0)
    if is_concrete(scale):
        _check(scale, scale <= 4 * torch.finfo(x.dtype).eps * wide.abs().amax(0))
    if covariance == "spherical":
        scale = scale.square().mean().sqrt().expand_as(scale)
    floor = max(floor, ROUNDING * torch.finfo(x.dtype).eps)
    phi = features(((wide - centre) / scale).to(x.dtype), crossed(covariance))
    data = Data(phi, centre, scale, centre.new_zeros(()), Static(covariance), Static(floor))
    sums = phi.sum(0, keepdim=True).double()
    one = (_coefficients(_likeliest(sums, data)) * sums).sum() - len(x) * torch.log(scale).sum()
    return data._replace(one_normal=one.to(x.dtype))


def init(key: Key, data: Data, components: int) -> State:
    """The likeliest mixture of clusters that k-means makes."""
    check_key(key)
    _check_data(data)
    components = check_count("components", components)
    if components > (n := len(data.features)):
        raise ValueError(
            f"expected components of {n} data or fewer, got {components}: pass more data, or fewer of them"
        )
    x = data.features[:, 1 : 1 + len(data.centre)]
    try:
        centres = kmeans.start(key, x, components)
    except ValueError as error:
        raise ValueError(
            f"expected components of no more than the distinct data, got {components}: pass fewer, or more data"
        ) from error
    centres = kmeans.fit(x, centres, ITERATIONS)
    codes, _ = nearest_code(x, centres)
    chosen = torch.nn.functional.one_hot(codes, components).mT.to(x)
    return _likeliest((chosen @ data.features).double(), data)


def init_at(mixture: NormalMixture, data: Data) -> State:
    """The state of a mixture of the data as they came, of the data's kind of covariance."""
    if not isinstance(mixture, NormalMixture):
        raise TypeError(f"expected mixture, a NormalMixture, got {described(mixture)}: such as posterior(state, data)")
    _check_data(data)
    scale = data.scale
    covariance = mixture.covariance.double() / (scale[:, None] * scale)
    if not crossed(data.kind.value):
        covariance = covariance.diagonal(dim1=-2, dim2=-1)
    loc = (mixture.loc.double() - data.centre) / scale
    return State(mixture.weights.double(), loc, covariance, mixture.floored)


def update(state: State, data: Data) -> tuple[State, Info]:
    """One E step and one M step, and the log likelihood before it."""
    _check_state(state)
    _check_data(data)
    phi = data.features
    log_joint = _coefficients(state).to(phi.dtype) @ phi.mT
    shares = drop_negligible(torch.softmax(log_joint, 0))
    log_p = log_joint.amax(0) - torch.log(shares.amax(0))  # of the largest share, log_joint = log_p + log share
    objective = (log_p.double().sum() - len(phi) * torch.log(data.scale).sum()).to(phi.dtype)
    moved = _likeliest((shares @ phi).double(), data)
    terms = {"one_normal": data.one_normal, "gain": objective - data.one_normal}
    return moved, Info(objective, terms, moved.weights * len(phi))


def fit(
    key: Key,
    x: Float[Tensor, "n d"],
    components: int,
    covariance: Kind = "full",
    restarts: int = 1,
    steps: int = 500,
    tolerance: float = 1e-3,
    floor: float = 1e-6,
    progress: Callable[[str], object] | None = None,
) -> tuple[NormalMixture, Trace]:
    """The likeliest mixture of `restarts` starts, each raised until an update gains no more than `tolerance` nats.

    Components that have lost their data, or whose covariance is at its floor, are moved to data that are explained
    badly, and all is raised anew, five times at most. Of all these that with the fewest such components is taken, for
    at the floor the likelihood is the floor's alone, and of equal ones the likeliest. The trace is of its own raise.
    """
    check_key(key)
    data = prepare(x, covariance, floor)
    restarts, steps = check_count("restarts", restarts), check_count("steps", steps)
    tolerance = check_number("tolerance", tolerance, "[0, inf)")
    x, runs = at_least_float32(x), []
    for each in keys.split(key, restarts):
        run = _run(init(each, data, components), data, steps, tolerance, progress)
        for share in RESEEDED:
            if (reseeded := run.mixture.reseeded(x, share)) is not run.mixture:
                again = _run(init_at(reseeded, data), data, steps, tolerance, progress)
                run = max(run, again, key=lambda run: run.worth)
        runs.append(run)
    best = max(runs, key=lambda run: run.worth)
    return best.mixture, best.trace


class _Run(NamedTuple):
    mixture: NormalMixture
    trace: Trace

    @property
    def worth(self) -> tuple[int, float]:
        return -int(self.mixture.degenerate().sum()), self.trace.objective[-1].item()


def _run(state: State, data: Data, steps: int, tolerance: float, progress: Callable[[str], object] | None) -> _Run:
    state, trace = climb(lambda state: update(state, data), state, steps, tolerance, progress)
    return _Run(posterior(state, data), trace)


def posterior(state: State, data: Data) -> NormalMixture:
    """The state's mixture of the data as they came."""
    _check_state(state)
    _check_data(data)
    scale, dtype = data.scale, data.features.dtype
    covariance = matrices(state.covariance) * (scale[:, None] * scale)
    loc = data.centre + scale * state.loc
    counts = state.weights * len(data.features)
    return NormalMixture(state.weights.to(dtype), loc.to(dtype), covariance.to(dtype), state.floored, counts.to(dtype))


def _likeliest(sums: Tensor, data: Data) -> State:
    """The M step."""
    counts, first, second = moments(sums, len(data.centre), crossed(data.kind.value))
    loc = first / counts.clamp_min(torch.finfo(sums.dtype).tiny)[:, None]
    squares = second - (first * loc if second.ndim == 2 else first[:, :, None] * loc[:, None])
    covariance, floored = likeliest(data.kind.value, counts, squares, data.floor.value)
    return State(counts / counts.sum(), loc, covariance, floored)


def _coefficients(state: State) -> Tensor:
    """Of log weight + log N(x; loc, covariance) in the features: (k, f)."""
    precision, log_det = precisions(state.covariance)
    linear = precision * state.loc if precision.ndim == 2 else (precision @ state.loc[..., None])[..., 0]
    log_weight = torch.log(state.weights.clamp_min(torch.finfo(torch.float64).tiny))
    d = state.loc.shape[1]
    constant = log_weight - 0.5 * (d * math.log(2 * math.pi) + log_det + (linear * state.loc).sum(-1))
    return coefficients(constant, linear, -0.5 * precision)


def _check(scale: Tensor, constant: Tensor) -> None:
    if not scale.isfinite().all():
        raise ValueError("expected x finite, got NaN or inf in it: leave out these rows, or impute them")
    if constant.any():
        raise ValueError(f"expected x with columns that vary, got constant columns {listed(constant)}: drop them")


def _check_state(state: object) -> None:
    if not isinstance(state, State):
        raise TypeError(f"expected state, a State, got {described(state)}: begin with em.init(key, data, k)")


def _check_data(data: object) -> None:
    if not isinstance(data, Data):
        raise TypeError(f"expected data, a Data, got {described(data)}: make it with em.prepare(x)")

"""Laws of bounds: functions of log weights (s, n) -> (n,).

A bound that accepts only some numbers of samples is tried on those up to 8. An upper bound, or one that depends on the
order of its samples, is an instance with `expected_failures`.
"""

import math
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor
from torch.func import grad, vmap

from jensen.core.bounds import Renyi
from jensen.core.contracts import Bound, Derivatives
from jensen.laws import strategies
from jensen.laws._law import law
from jensen.laws.transforms import compiled

IWAE = Renyi(0.0)
ORDINARY = st.floats(-20, 20)


def sizes(bound: Bound, most: int = 8) -> list[int]:
    """The numbers of samples that a bound accepts."""
    found = []
    for s in range(1, most + 1):
        try:
            bound(torch.zeros(s, 2))
        except ValueError:
            continue
        found.append(s)
    return found


def finite(bound: Any) -> st.SearchStrategy[Tensor]:
    """Finite log weights (s, n)."""
    return strategies.sized(sizes(bound), ORDINARY)


def any_weights(bound: Any) -> st.SearchStrategy[Tensor]:
    """Ordinary, huge, tiny and -inf log weights (s, n)."""
    return strategies.sized(sizes(bound), st.one_of(st.floats(-50, 50), st.sampled_from([-math.inf, -1e4, 1e4])))


def plain_iwae(log_w: Tensor) -> Tensor:
    return torch.logsumexp(log_w, 0) - math.log(len(log_w))


def close(got: Tensor, expected: Tensor, tolerance: float = 1e-7) -> None:
    torch.testing.assert_close(got, expected, rtol=tolerance, atol=tolerance)


@law("bound", given=any_weights, planted=lambda: [lambda log_w: log_w.mean(), lambda log_w: IWAE(log_w - log_w.mean())])
def each_datum_has_its_own_bound(bound: Bound, log_w: Tensor) -> None:
    """(s, n) -> (n,), and the bound of a datum is the one it has alone: data do not mix."""
    value = bound(log_w)
    assert value.shape == log_w.shape[1:], f"expected {tuple(log_w.shape[1:])}, got {tuple(value.shape)}"
    assert not value.isnan().any(), value
    for i in range(log_w.shape[1]):
        close(bound(log_w[:, i : i + 1]), value[i : i + 1])


@law("bound", given=finite, planted=lambda: [lambda log_w: IWAE(2 * log_w), lambda log_w: log_w.exp().mean(0).log1p()])
def shifts_pass_through(bound: Bound, log_w: Tensor) -> None:
    """bound(log_w + c) = bound(log_w) + c: a density e^c times as large."""
    close(bound(log_w + 3.25), bound(log_w) + 3.25)


@law("bound", given=finite, planted=lambda: [lambda log_w: log_w[0], lambda log_w: IWAE(log_w) + log_w[0] - log_w[-1]])
def order_does_not_matter(bound: Bound, log_w: Tensor) -> None:
    """Samples are exchangeable: the bound of any order of them is the same."""
    for order in (log_w.flip(0), log_w.roll(1, 0)):
        close(bound(order), bound(log_w))


@law("bound", given=finite, planted=lambda: [lambda log_w: torch.logsumexp(log_w, 0), lambda log_w: log_w.sum(0)])
def equal_weights_have_their_value(bound: Bound, log_w: Tensor) -> None:
    """bound(c, …, c) = c: where q is the posterior, every bound is log p(x)."""
    value = log_w[0]
    close(bound(value.expand_as(log_w)), value)


@law("bound", given=finite, planted=lambda: [lambda log_w: log_w.amax(0), lambda log_w: Renyi(-1.0)(log_w)])
def at_most_the_log_mean_weight(bound: Bound, log_w: Tensor) -> None:
    """bound(log_w) <= log mean_s w: a lower bound on log p(x) at every s, and for every population exactly."""
    excess = bound(log_w) - plain_iwae(log_w)
    assert (excess <= 1e-9 * (1 + log_w.abs().amax())).all(), excess


@law("bound", given=any_weights, planted=lambda: [plain_iwae, lambda log_w: IWAE(log_w.clamp_min(-1e6))])
def no_weight_has_no_gradient(bound: Bound, log_w: Tensor) -> None:
    """-inf where all of a datum's log weights are, with gradient 0; finite gradients, and 0 at every -inf."""
    log_w = torch.cat([log_w, torch.full_like(log_w[:, :1], -math.inf)], 1)
    value, slope = bound(log_w), grad(lambda t: bound(t).sum())(log_w)
    lost = (log_w == -math.inf).all(0)
    assert (value[lost] == -math.inf).all(), value[lost]
    assert torch.isfinite(slope).all(), slope
    assert (slope[log_w == -math.inf] == 0).all(), slope


@law("bound", given=finite, planted=lambda: [lambda log_w: IWAE(log_w.nan_to_num())])
def nan_is_not_hidden(bound: Bound, log_w: Tensor) -> None:
    """A datum with a log weight of NaN has the bound NaN."""
    for s in range(len(log_w)):
        bad = log_w.clone()
        bad[s] = math.nan
        assert bound(bad).isnan().all(), bound(bad)


@law("bound", given=finite, planted=lambda: [plain_iwae])
def half_precision_is_computed_in_float32(bound: Bound, log_w: Tensor) -> None:
    """bound(log_w) = bound(log_w.float()) for float16 and bfloat16, in float32."""
    for dtype in (torch.float16, torch.bfloat16):
        low = log_w.to(dtype)
        assert bound(low).dtype == torch.float32, f"expected float32 for {dtype}, got {bound(low).dtype}"
        assert torch.equal(bound(low), bound(low.float()))


@law("bound", planted=lambda: [lambda log_w: IWAE(log_w) if log_w.max() > 0 else IWAE(1 * log_w)])
def bounds_transform(bound: Bound) -> None:
    """vmap(grad) is a loop, and compiled as one graph the gradient is the eager one, -inf included."""
    s = sizes(bound)[-1]
    log_w = torch.linspace(-2, 3, 2 * s, dtype=torch.float64).reshape(s, 2).sin()
    log_w = torch.cat([log_w, torch.where(torch.arange(s)[:, None] == 0, -math.inf, log_w[:, :1])], 1)

    def gradient(log_w: Tensor) -> Tensor:
        return grad(lambda t: (bound(t)[:2] * torch.tensor([2.0, -0.5], dtype=t.dtype)).sum())(log_w)

    eager = gradient(log_w)
    close(vmap(gradient)(torch.stack([log_w, 2 * log_w])), torch.stack([eager, gradient(2 * log_w)]))
    close(compiled(gradient)(log_w), eager)


class Declared:
    """IWAE with derivatives and additivity of somebody's own: a bound for planted bugs."""

    def __init__(self, weights: Any, path: Any, additive: bool) -> None:
        self.weights, self.path, self.additive = weights, path, additive

    def __call__(self, log_w: Tensor) -> Tensor:
        return IWAE(log_w)

    def derivatives(self, log_w: Tensor) -> tuple[Tensor, Tensor]:
        w = torch.softmax(log_w, 0)
        return self.weights(w), self.path(w)


@law(
    "bound",
    needs=Derivatives,
    given=finite,
    planted=lambda: [
        Declared(lambda w: w.square(), lambda w: w, False),
        Declared(lambda w: w, lambda w: w.square(), False),  # DReG's weights for its coefficients
        Declared(lambda w: w, lambda w: torch.ones_like(w), False),
    ],
)
def derivatives_are_those_of_the_bound(bound: Derivatives, log_w: Tensor) -> None:
    """derivatives(log_w) = (u, 1 - h / u): u = d bound / d log_w, h the diagonal of d^2 bound / d log_w^2."""
    u, path = bound.derivatives(log_w)
    first = grad(lambda t: bound(t).sum())
    close(u, first(log_w))
    for s in range(len(log_w)):
        h = grad(lambda t, s=s: first(t)[s].sum())(log_w)[s]
        close(u[s] * path[s], u[s] - h, 1e-6)


@law("bound", needs=Derivatives, planted=lambda: [Declared(lambda w: w, lambda w: w, True)])
def additive_bounds_are_sums_over_samples(bound: Derivatives) -> None:
    """additive says whether the slope in a sample's log weight is the same whatever the other samples' are."""
    s = sizes(bound)[-1]
    log_w = 3 * torch.linspace(-1, 1, s, dtype=torch.float64)[:, None]
    slope = grad(lambda t: bound(t).sum())
    apart = 0.0
    for i in range(s):
        others = torch.where(torch.arange(s)[:, None] == i, log_w, -2 * log_w)
        apart = max(apart, float((slope(others) - slope(log_w))[i].abs()))
    assert s == 1 or bound.additive == (apart <= 1e-9), f"additive is {bound.additive}, slopes differ by {apart:.2g}"

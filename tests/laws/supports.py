"""Laws of supports: no density outside, NaN that stays, a bijection onto all of a constrained one."""

import math

import torch
from hypothesis import strategies as st
from torch import Tensor
from torch.func import grad, vmap

from jensen.core import ops, trees
from jensen.core.bijections import Positive, Real, UnitInterval
from jensen.core.contracts import Bijection, Constrained, Distribution, Enumerable, Event
from jensen.core.distributions import DiagNormal, Gamma, from_real, to_real
from jensen.laws._law import law, spoiled
from jensen.laws.assertions import mean_is_exact
from jensen.laws.distributions import COINS, KEY, ZERO
from jensen.laws.regions import PILOT, flat, is_discrete

EXPONENTIAL = Gamma(*torch.ones(2, 2, 2, dtype=torch.float64))
FAR = [-1e30, -1.0, -1e-30, 1 + 1e-5, 2.0, 1e30, -math.inf, math.inf]
EDGE = 1e-6  # nearer to it than this, a density inside may underflow
Moved = tuple[float, float]  # which component, as a share of all; its value


def moves(q: Distribution) -> st.SearchStrategy[Moved]:
    """A component of a sample, and a value for it that may be anywhere."""
    return st.tuples(st.floats(0, 1, exclude_max=True), st.one_of(st.floats(-1e6, 1e6), st.sampled_from(FAR)))


def moved(row: Event, share: float, value: float | Tensor) -> Event:
    """One sample of one datum, (*event), with the component at this share of all set to the value."""
    vector, unravel = trees.ravel(row)
    vector = vector.clone()
    vector[int(share * len(vector))] = value
    return unravel(vector)


def first_row(z: Event) -> Event:
    """The first datum's first sample, (*event)."""
    return trees.map(lambda t: t[0, 0], z)


def with_first_row(z: Event, row: Event) -> Event:
    """z (s, n, *event) with this sample of the first datum for the first."""
    return trees.map(lambda t, first: torch.cat([torch.cat([first[None], t[0, 1:]])[None], t[1:]]), z, row)


def _signed(q: Gamma, z: Tensor) -> Tensor:
    return (torch.log(q.rate) - q.rate * z).sum(-1)  # finite below 0


def _masked(q: Gamma, z: Tensor) -> Tensor:
    return _signed(q, z) + torch.where((z < 0).any(-1), -torch.inf, 0.0)


def _hidden(q: Gamma, z: Tensor) -> Tensor:
    return torch.where((z >= 0).all(-1), _signed(q, z), -torch.inf)


@law(
    "distribution",
    given=moves,
    planted=lambda: [
        spoiled(EXPONENTIAL, log_prob=_signed),
        spoiled(EXPONENTIAL, log_prob=_masked),  # with the gradient of what is masked
        spoiled(EXPONENTIAL, log_prob=lambda q, z: Gamma.log_prob(q, z - 1)),
        spoiled(COINS, log_prob=lambda q, z: ops.bernoulli_log_prob(z, q.logits)),
    ],
)
def log_prob_is_minus_infinity_outside_the_support(q: Distribution, move: Moved) -> None:
    """Outside the support log_prob is -inf with no gradient in z or in q, by grad mapped by vmap; inside it is finite.

    The support is what `bijection()` contains, all of R^d without one, or within the range of an `Enumerable`'s values.
    The edge itself may be on either side.
    """
    share, value = move
    z = q.sample(q.noise(KEY, 1))
    row = moved(first_row(z), share, value)
    inside = _inside(q, row, share)
    if inside is None:
        return
    vector, unravel = trees.ravel(q)

    def log_prob(vector: Tensor, row: Event) -> Tensor:
        return unravel(vector).log_prob(with_first_row(z, row))[0, 0]

    found = log_prob(vector, row)
    if inside:
        assert found.isfinite() or abs(value) > 1e6, f"{found} inside the support, at {row}"
        return
    assert found == -torch.inf, f"{found} outside the support, at {row}"
    slopes = vmap(grad(log_prob, (0, 1)), in_dims=(None, 0))(vector, trees.map(lambda t: torch.stack([t, t]), row))
    none = all((t == 0).all() for t in trees.leaves(slopes))
    assert math.isinf(value) or none, f"a gradient outside the support, at {row}"


def _inside(q: Distribution, row: Event, share: float) -> bool | None:
    """Whether the support holds the row; None near its edge, and where discrete values do not say."""
    vector, _ = trees.ravel(row)
    here = vector[int(share * len(vector))]
    if is_discrete(q):
        values = flat(q.support()) if isinstance(q, Enumerable) else torch.tensor([-math.inf, math.inf])
        return False if here < values.min() - 1e-5 or here > values.max() + 1e-5 else None
    onto: Bijection = q.bijection() if isinstance(q, Constrained) else Real()
    near = [torch.nextafter(here, torch.full_like(here, end)) for end in (-math.inf, math.inf)]
    far = [here - EDGE, here + EDGE]
    rows = [moved(row, share, value) for value in (here, *near, *far)]
    together = trees.map(lambda *t: torch.stack(t)[:, None], *rows)
    found = onto.contains(together)[:, 0]  # fields of the bijection may have a row for each datum
    return True if found.all() else None if found[:3].any() else False


@law("distribution", given=moves, planted=lambda: [spoiled(EXPONENTIAL, log_prob=_hidden)])
def nan_stays_nan(q: Distribution, move: Moved) -> None:
    """log_prob of a value with a NaN is NaN, that of the other samples is not, whatever else is outside the support."""
    share, value = move
    z = q.sample(q.noise(KEY, 2))
    first = moved(moved(first_row(z), share, value), (share + 0.5) % 1, math.nan)
    found = q.log_prob(with_first_row(z, first))
    assert found[0, 0].isnan(), f"{found[0, 0]} at {first}"
    assert not found.flatten()[1:].isnan().any(), found


@law(
    "distribution",
    given=lambda q: st.floats(-3, 3),
    planted=lambda: [spoiled(EXPONENTIAL, domains={"rate": Positive()}), spoiled(EXPONENTIAL, domains={})],
)
def fields_move_freely(q: Distribution, shift: float) -> None:
    """from_real(q, to_real(q)) = q, and to_real(q) moved by any numbers is a distribution: the fields' `domains`."""
    free = to_real(q)
    for back, field in zip(trees.leaves(from_real(q, free)), trees.leaves(q), strict=True):
        torch.testing.assert_close(back, field, rtol=1e-9, atol=0)
    moved = from_real(q, trees.map(lambda t: t + shift, free))
    assert not moved.log_prob(moved.sample(moved.noise(KEY, 3))).isnan().any(), moved


@law(
    "distribution",
    needs=Constrained,
    planted=lambda: [
        spoiled(EXPONENTIAL, bijection=lambda q: UnitInterval()),
        spoiled(EXPONENTIAL, bijection=lambda q: spoiled(Positive(), forward=lambda b, z: (z.exp(), 0 * z.sum(-1)))),
    ],
)
def the_bijection_is_onto_the_support(q: Constrained) -> None:
    """z = bijection().inverse(sample) has the density log_prob(value) + log_det of forward(z), which integrates to 1.

    By E_q[h(z) / density(z)] = 1 for a narrower normal h. A discrete distribution has no bijection.
    """
    if is_discrete(q):
        return
    onto = q.bijection()
    free, _ = onto.inverse(q.sample(q.noise(PILOT, 1000)))
    middle, log_scale = free.mean(0), torch.log(0.5 * free.std(0))

    def draw(key: Tensor, s: int) -> Tensor:
        z, _ = onto.inverse(q.sample(q.noise(key, s)))
        value, log_det = onto.forward(z)
        assert onto.contains(value).all(), "a value outside the set that the bijection is onto"
        return torch.exp(DiagNormal(middle, log_scale).log_prob(z) - q.log_prob(value) - log_det)

    mean_is_exact(draw, torch.ones_like(ZERO), KEY)

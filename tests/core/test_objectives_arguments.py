"""What every objective takes and refuses: weights and targets, half precision, and terms that are infinite."""

import math

import pytest
import torch
from torch.func import grad

from jensen import laws
from jensen.core import objectives, trees
from jensen.core.distributions import Categorical

INF = math.inf
RECONSTRUCTION = torch.tensor([-80.5, -103.25, -95.0, -90.0])
PARTS = objectives.Decomposition(*torch.tensor([[3.0, 2.0, 4.0, 1.0], [0.1, 0.3, 0.2, 0.4], [9.0, 5.0, 7.0, 6.0]]))
GECO = objectives.Multiplier.start(RECONSTRUCTION)
WEIGHTED = {  # (reconstruction, parts, weight) -> Terms
    "beta": lambda r, parts, weight: objectives.beta(r, parts.kl, weight),
    "capacity": lambda r, parts, weight: objectives.capacity(r, parts.kl, weight, 5.0),
    "free_bits": lambda r, parts, weight: objectives.free_bits(r, parts.kl[:, None], 0.0, weight=weight),
    "geco": lambda r, parts, weight: objectives.geco(r, parts.kl, GECO, 0.0, weight),
    "beta_tc": objectives.beta_tc,
}
AIMED = {  # (reconstruction, kl, target)
    "capacity": lambda r, kl, target: objectives.capacity(r, kl, 2.0, target),
    "geco": lambda r, kl, target: objectives.geco(r, kl, GECO, target),
    "Multiplier.update": lambda r, kl, target: GECO.update(r, target),
}
weighted = pytest.mark.parametrize("objective", WEIGHTED.values(), ids=WEIGHTED)
aimed = pytest.mark.parametrize("objective", AIMED.values(), ids=AIMED)


@weighted
def test_weights_are_one_or_one_per_datum(objective):
    each = torch.tensor([0.5, 1.0, 2.0, 4.0])
    found = objective(RECONSTRUCTION, PARTS, each)[0]
    for i, weight in enumerate(each):
        one = objective(RECONSTRUCTION, PARTS, weight)[0]
        torch.testing.assert_close(one, objective(RECONSTRUCTION, PARTS, weight.item())[0])
        assert one[i] == found[i]
    for shape in ((4, 1), (2, 1), (1,), (1, 4)):
        with pytest.raises(ValueError, match=r"expected a (weight|beta) \(\) or \(4,\), one per datum"):
            objective(RECONSTRUCTION, PARTS, torch.ones(shape))


@weighted
def test_weights_are_no_less_than_zero(objective):
    for weight in (-1.0, math.nan, INF):
        with pytest.raises(ValueError, match=r"expected (weight|beta) in \[0, inf\), got"):
            objective(RECONSTRUCTION, PARTS, weight)


@aimed
def test_targets_are_one_or_one_per_datum(objective):
    for shape in ((4, 1), (2, 1), (1,)):
        with pytest.raises(ValueError, match=r"expected a target \(\) or \(4,\)"):
            objective(RECONSTRUCTION, PARTS.kl, torch.ones(shape))
    for target in (math.nan, INF):
        with pytest.raises(ValueError, match=r"expected target in \(-inf, inf\), got"):
            objective(RECONSTRUCTION, PARTS.kl, target)
    assert all(len(t) == 4 for t in trees.leaves(objective(RECONSTRUCTION, PARTS.kl, torch.zeros(4))) if t.ndim)


def test_no_part_is_repeated_over_the_data():
    for i in range(3):
        parts = objectives.Decomposition(*(t[:1] if i == j else t for j, t in enumerate(PARTS)))
        with pytest.raises(ValueError, match=r"\(n,\) of one size, got"):
            objectives.beta_tc(RECONSTRUCTION, parts, 2.0)
    for name in ("alpha", "gamma"):
        with pytest.raises(ValueError, match=rf"expected {name} in \[0, inf\), got -1"):
            objectives.beta_tc(RECONSTRUCTION, PARTS, 2.0, **{name: -1.0})


@weighted
def test_half_precision_is_computed_in_float32(objective):
    r, parts = (RECONSTRUCTION * 1.01).half(), objectives.Decomposition(*(1.01 * t.half() for t in PARTS))
    if objective is not objectives.beta_tc:  # the sum of the parts is the caller's
        parts = objectives.Decomposition(parts.kl, parts.kl * 0, parts.kl * 0)
    terms = objective(r, parts, 3.3)
    assert {t.dtype for t in trees.leaves(terms)} == {torch.float32}
    laws.terms_sum(terms.objective, [terms.reconstruction, -terms.kl, -terms.penalty])
    wide = objective(r.float(), objectives.Decomposition(*(t.float() for t in parts)), 3.3)
    assert all(torch.equal(a, b) for a, b in zip(trees.leaves(terms), trees.leaves(wide), strict=True))


def test_half_precision_of_the_others_is_computed_in_float32():
    r, kl = (RECONSTRUCTION * 1.01).half(), (torch.stack(PARTS, -1) * 1.01).half()
    for found, expected in (
        (objectives.geco(r, kl[:, 0], GECO, -90.0), objectives.geco(r.float(), kl[:, 0].float(), GECO, -90.0)),
        (objectives.free_bits(r, kl, 0.3), objectives.free_bits(r.float(), kl.float(), 0.3)),
    ):
        assert all(torch.equal(a, b) for a, b in zip(found[:4], expected[:4], strict=True))


def test_infinite_terms_are_no_nan():
    """Where the objective is -inf, the terms say so and their sum is -inf."""
    r, kl = torch.tensor([-5.0, -INF, -INF, -5.0]), torch.tensor([INF, 2.0, INF, 2.0])
    for terms in (
        *(objectives.beta(r, kl, weight) for weight in (0.5, 1.0, 4.0, torch.tensor([0.5, 1, 2, 3]))),
        objectives.capacity(r, kl, 2.0, 1.0),
        objectives.free_bits(r, kl[:, None], 0.1),
        objectives.geco(r, kl, objectives.Multiplier(*torch.tensor([0.7, 0.0, 0.0])), -4.0),
        objectives.geco(r, kl, objectives.Multiplier(*torch.tensor([-0.7, 0.0, 0.0])), -4.0),
    ):
        assert terms.objective[:3].tolist() == [-INF] * 3
        total = terms.reconstruction - terms.kl - terms.penalty
        assert torch.equal(total[:3], terms.objective[:3])
        torch.testing.assert_close(total, terms.objective)


@weighted
def test_a_weight_of_zero_takes_an_infinite_kl_away(objective):
    parts = objectives.Decomposition(torch.zeros(4), torch.tensor([INF, 1.0, 2.0, 3.0]), torch.zeros(4))
    for weight in (0.0, torch.tensor(0.0), torch.zeros(4)):
        total = objective(RECONSTRUCTION, parts, weight)[0]
        torch.testing.assert_close(total.abs(), RECONSTRUCTION.abs())
    slope = grad(lambda r: objective(r, parts, 0.0)[0].sum())(RECONSTRUCTION)
    assert (slope.abs() == 1).all()


def test_geco_refuses_steps_that_leave_no_state():
    for call, message in (
        (lambda: GECO.update(torch.zeros(0), 1.0), "n >= 1, got"),
        (lambda: GECO.update(RECONSTRUCTION, 1.0, decay=1.0), r"expected decay in \[0, 1\), got 1.0"),
        (lambda: GECO.update(RECONSTRUCTION, 1.0, decay=math.nan), r"expected decay in \[0, 1\)"),
        (lambda: GECO.update(RECONSTRUCTION, 1.0, limit=0.0), r"expected limit in \[1, inf\), got 0.0"),
        (lambda: GECO.update(RECONSTRUCTION[:, None], 1.0), "average over samples"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_a_decomposition_is_of_independent_dimensions():
    q = Categorical(torch.zeros(3, 2, 4))
    with pytest.raises(TypeError, match=r"independent dimensions, .* got Categorical and Categorical"):
        objectives.decompose(q, q, torch.zeros(4, 3, 2, 4), 9)

"""Score matching: normal data, whose minimisers are known in closed form, as the oracle."""

import pytest
import torch
from torch.func import grad, vmap

from jensen.core import keys
from jensen.core.models.transport import energies, score_matching, traces

KEY = keys.key(0)
DOUBLE = torch.float64
MIX = torch.tensor([[1.0, 0.0], [0.6, 0.5]], dtype=DOUBLE)
LOC = torch.tensor([0.5, -1.0], dtype=DOUBLE)
COVARIANCE = MIX @ MIX.T
X = LOC + keys.normal(KEY, (1, 4000, 2), DOUBLE)[0] @ MIX.T
PRECISION = torch.linalg.inv((X - X.mean(0)).T @ (X - X.mean(0)) / len(X))  # of the sample
MINIMUM = {"precision": PRECISION, "shift": PRECISION @ X.mean(0), "constant": torch.tensor(3.0, dtype=DOUBLE)}


def energy(params):
    """x' P x / 2 - b' x + constant: a normal density without its normaliser, of any other."""

    def of(x):
        return 0.5 * ((x @ params["precision"]) * x).sum(-1) - x @ params["shift"] + params["constant"]

    return of


def slopes(loss, params):
    """Per-datum gradients of loss(score, x (1, d)) by params."""
    return vmap(grad(lambda p, x: loss(energies.score(energy(p)), x[None])[0]), (None, 0))(params, X)


def test_implicit_score_matching_recovers_a_normal_and_sees_no_normaliser():
    """Its gradient is exactly 0 at the sample's precision and P times its mean, and by the constant everywhere."""
    found = slopes(score_matching.implicit, MINIMUM)
    assert found["precision"].mean(0).abs().max() < 1e-12
    assert found["shift"].mean(0).abs().max() < 1e-12
    assert (found["constant"] == 0).all()
    without_trace = slopes(lambda score, x: 0.5 * score(x).square().sum(-1), MINIMUM)  # what a forgotten trace finds
    assert without_trace["precision"].mean(0).abs().max() > 0.4


def test_implicit_losses_are_fisher_divergences_less_a_constant():
    """E loss + E |grad log p|² / 2 = E |score - grad log p|² / 2 for the score of another normal, in closed form."""
    precision = torch.linalg.inv(COVARIANCE)
    loss = score_matching.implicit(lambda x: -x, X)
    own, other = (LOC - X) @ precision, -X
    away = 0.5 * (other - own).square().sum(-1) - 0.5 * own.square().sum(-1)
    gap = loss - away
    assert abs(gap.mean().item()) < 4 * gap.std().item() / len(X) ** 0.5
    exact = 0.5 * (COVARIANCE.trace() + LOC.square().sum()) - 2  # E |x|² / 2 - d
    assert loss.mean().item() == pytest.approx(exact.item(), abs=4 * loss.std().item() / len(X) ** 0.5)


def test_sliced_losses_are_the_implicit_one_over_probes():
    skew = torch.tensor([[1.0, 0.7], [-0.2, 0.5]], dtype=DOUBLE)

    def score(x):
        return torch.tanh(x @ skew)

    x = X[:3]
    exact = score_matching.implicit(score, x)
    each = torch.stack([score_matching.sliced(score, x, key) for key in keys.split(KEY, 400)])
    assert ((each.mean(0) - exact).abs() < 4 * each.std(0) / 20).all()
    assert (each.std(0) > 0.05).all()
    assert (score_matching.sliced(score, x, KEY, 400) - exact).abs().max() < 4 * each.std(0).max() / 20
    diagonal = score_matching.implicit(lambda x: -(x**3), x)
    torch.testing.assert_close(score_matching.sliced(lambda x: -(x**3), x, KEY), diagonal)


@pytest.mark.parametrize("scale", [0.5, 1.0])
def test_denoising_finds_the_score_of_the_noised_density(scale):
    """Not that of the data's own: its precision is (covariance + scale² I)^-1."""
    noised = torch.linalg.inv(COVARIANCE + scale**2 * torch.eye(2, dtype=DOUBLE))

    def by(precision):
        def loss(p, x, key):
            return score_matching.denoising(energies.score(energy(p)), x[None], key, scale)[0]

        each = torch.stack([keys.fold_in(KEY, i) for i in range(len(X))])
        params = {**MINIMUM, "precision": precision, "shift": precision @ LOC}
        slope = vmap(grad(loss), (None, 0, 0))(params, X, each)
        flat = torch.cat([slope["precision"].flatten(1), slope["shift"]], 1)
        return (flat.mean(0) / (flat.std(0) / len(flat) ** 0.5)).abs().max()

    assert by(noised) < 4
    assert by(torch.linalg.inv(COVARIANCE)) > 6
    loss = score_matching.denoising(lambda x: (LOC - x) @ noised, X, keys.fold_in(KEY, 1), scale)
    exact = 0.5 * (2 / scale**2 - noised.trace())  # d / scale² less E |grad log p_scale|²
    assert loss.mean().item() == pytest.approx(exact.item(), abs=4 * loss.std().item() / len(X) ** 0.5)


def test_traces_are_those_of_jacobians():
    def field(x):
        return torch.stack([x[:, 0] ** 2 * x[:, 1], torch.sin(x[:, 0] * x[:, 1])], 1)

    by_hand = 2 * X[:, 0] * X[:, 1] + X[:, 0] * torch.cos(X[:, 0] * X[:, 1])
    torch.testing.assert_close(traces.exact(field, X), by_hand)
    axes = 2**0.5 * torch.eye(2, dtype=DOUBLE)[:, None].expand(2, *X.shape)  # probes whose mean of e e' is I
    torch.testing.assert_close(traces.probed(field, X, axes), by_hand)


def test_a_gradient_is_a_field_without_curl():
    field = energies.mlp(2, (8, 8))
    params = field.init(KEY, DOUBLE)
    assert (field(params, X, X[:, 0]) == 0).all()
    params["2"]["weight"] = keys.normal(KEY, params["2"]["weight"].shape, DOUBLE)
    t = torch.rand(5, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    step = 1e-5 * torch.eye(2, dtype=DOUBLE)
    numeric = [(field.energy(params, X[:5] + e, t) - field.energy(params, X[:5] - e, t)) / 2e-5 for e in step]
    torch.testing.assert_close(field(params, X[:5], t), torch.stack(numeric, 1), atol=1e-8, rtol=1e-6)
    jacobian = vmap(torch.func.jacrev(lambda x, t: field(params, x, t)))(X[:5], t)
    torch.testing.assert_close(jacobian, jacobian.transpose(1, 2))
    assert jacobian[:, 0, 1].abs().min() > 1e-4


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: score_matching.implicit(3, X), "expected score, a function"),
        (lambda: score_matching.sliced(torch.neg, X, KEY, 0), "expected probes, a whole number >= 1, got 0"),
        (lambda: score_matching.denoising(torch.neg, X, KEY, 0.0), r"expected scale in \(0, inf\), got 0"),
        (lambda: score_matching.denoising(torch.neg, X[0], KEY, 1.0), r"expected x \(n, d\), got \(2,\)"),
        (lambda: energies.score(None), "expected energy, a function"),
        (lambda: energies.mlp(0), "expected data, a whole number >= 1, got 0"),
    ],
)
def test_refusals(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()

"""Laws of gradient estimators, on oracles whose exact gradients are sums over every value or quadrature node.

An estimator is tried on every oracle whose q it accepts: a normal, four Bernoullis, three categoricals; it refuses the
others with a TypeError or a ValueError. Its bound is the default of its keyword `bound`, or that of the
`functools.partial` around it, else the ELBO. A biased one is an instance with `expected_failures`.
"""

import inspect
import math
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor
from torch.func import grad, vmap

from jensen.core import bounds, keys, trees
from jensen.core.contracts import Bound, Distribution, Event, GradientEstimator, LogDensity, Noise
from jensen.laws import gates
from jensen.laws._law import law
from jensen.laws.assertions import mean_is_exact
from jensen.laws.gates import Gate
from jensen.laws.transforms import compiled

KEY = keys.key(23)
ORACLES = {
    "linear Gaussian": gates.linear_gaussian(),
    "four Bernoullis": gates.four_bernoullis(),
    "three categoricals": gates.three_categoricals(),
}


def bound_of(estimator: GradientEstimator) -> Bound:
    """The bound that the estimator's value is."""
    found = inspect.signature(estimator).parameters.get("bound")
    return bounds.elbo if found is None or found.default is inspect.Parameter.empty else found.default


def is_elbo(bound: Bound) -> bool:
    return bool(bounds.additive(bound, 3))


def taken(estimator: GradientEstimator) -> dict[str, tuple[Gate, int]]:
    """The oracles whose q it takes, and the least number of samples, 2 or more, that it takes there."""
    found, refusals = {}, []
    for name, oracle in ORACLES.items():
        for s in (2, 3):
            try:
                oracle.value(estimator, s, oracle.params, KEY)
            except (TypeError, ValueError) as refusal:
                refusals.append(f"{name}, {s} samples: {refusal}")
                continue
            found[name] = (oracle, s)
            break
    assert found, "it takes none of the oracles' q:\n" + "\n".join(refusals)
    return found


@cache
def exact(name: str, bound: Bound, s: int) -> gates.Params:
    return ORACLES[name].exact(bound, s)


def with_noise(oracle: Gate, estimator: GradientEstimator) -> Callable[[gates.Params, Noise], Tensor]:
    """The estimator's values (n,) as a function of parameters and noise."""

    def value(params: gates.Params, noise: Noise) -> Tensor:
        q = oracle.posterior(params["phi"])
        return estimator(lambda z: oracle.log_joint(params["theta"], z), q, noise)

    return value


def noise_of(oracle: Gate, s: int) -> Noise:
    return oracle.posterior(oracle.params["phi"]).noise(KEY, s)


def log_weights(log_p: LogDensity, q: Distribution, z: Event) -> Tensor:
    return log_p(z) - q.log_prob(z)


def plain(log_p: LogDensity, q: Distribution, noise: Noise, /, *, bound: Bound = bounds.elbo) -> Tensor:
    """Pathwise, without care for what lies outside a support: the base of planted bugs."""
    if not q.reparameterised:
        raise TypeError("expected a reparameterised q")
    return bound(log_weights(log_p, q, q.sample(noise)))


def detached(log_p: LogDensity, q: Distribution, noise: Noise, /) -> Tensor:
    return bounds.elbo(log_weights(log_p, q, trees.stop(q.sample(noise))))


def density_forgotten(log_p: LogDensity, q: Distribution, noise: Noise, /, *, bound: Bound = bounds.iwae) -> Tensor:
    """Sticking the landing with a bound of several samples, for which the score's mean is not 0."""
    if not q.reparameterised:
        raise TypeError("expected a reparameterised q")
    return bound(log_weights(log_p, trees.stop(q), q.sample(noise)))


def theta_squared(log_p: LogDensity, q: Distribution, noise: Noise, /, *, bound: Bound = bounds.iwae) -> Tensor:
    """DReG whose weights w^2 scale the model's gradient too, as published code has it."""
    if not q.reparameterised:
        raise TypeError("expected a reparameterised q")
    log_w = log_weights(log_p, trees.stop(q), q.sample(noise))
    surrogate = (torch.softmax(log_w, 0).square().detach() * log_w).sum(0)
    return bound(log_w.detach()) + surrogate - surrogate.detach()


def first_noise_reused(log_p: LogDensity, q: Distribution, noise: Tensor, /, *, bound: Bound = bounds.iwae) -> Tensor:
    return plain(log_p, q, noise[:1].expand_as(noise), bound=bound)


def mixed(log_p: LogDensity, q: Distribution, noise: Noise, /) -> Tensor:
    value = plain(log_p, q, noise)
    return value.mean().expand_as(value) + 0 * value


def branching(log_p: LogDensity, q: Distribution, noise: Noise, /) -> Tensor:
    value = plain(log_p, q, noise)
    return value if value.sum() < 0 else 1 * value


def broken_graph(log_p: LogDensity, q: Distribution, noise: Noise, /) -> Tensor:
    torch._dynamo.graph_break()
    return plain(log_p, q, noise)


class Doubled(torch.autograd.Function):
    """The identity with twice its gradient, which torch.compile of torch.func.grad takes for the identity's."""

    @staticmethod
    def forward(t: Tensor) -> Tensor:
        return t.clone()

    @staticmethod
    def setup_context(ctx: torch.autograd.function.FunctionCtx, inputs: tuple[Tensor], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *grad_outputs: Tensor) -> Tensor:
        return 2 * grad_outputs[0]


def backward_dropped(log_p: LogDensity, q: Distribution, noise: Noise, /) -> Tensor:
    return Doubled.apply(plain(log_p, q, noise))


def naive_score(log_p: LogDensity, q: Distribution, noise: Noise, /) -> Tensor:
    """log_w log q, whose gradient is -inf where the sample lies outside the support of p."""
    z = trees.stop(q.sample(noise))
    log_w = log_weights(log_p, q, z).detach()
    surrogate = (log_w * q.log_prob(z)).mean(0)
    return bounds.elbo(log_w) + surrogate - surrogate.detach()


@law(
    "estimator",
    planted=lambda: [
        lambda log_p, q, noise: plain(log_p, q, noise).sum(),
        lambda log_p, q, noise: bounds.elbo(log_p(q.sample(noise))),
        lambda log_p, q, noise: -plain(log_p, q, noise),
    ],
)
def value_is_the_bound(estimator: GradientEstimator) -> None:
    """(n,): bound(log_p(z) - q.log_prob(z)) of z = q.sample(noise) bit for bit, or with its exact mean."""
    bound = bound_of(estimator)
    for name, (oracle, s) in taken(estimator).items():
        found = oracle.value(estimator, s, oracle.params, KEY)
        expected = oracle.value(partial(_reference, bound), s, oracle.params, KEY)
        assert found.shape == expected.shape, f"{name}: expected {tuple(expected.shape)}, got {tuple(found.shape)}"
        if not torch.equal(found, expected):
            values = vmap(partial(oracle.value, estimator, s, oracle.params))
            exact_value = oracle.exact_value(bound, 1 if is_elbo(bound) else s)
            mean_is_exact(lambda key, reps, f=values: f(keys.split(key, reps)), exact_value, KEY)


def _reference(bound: Bound, log_p: LogDensity, q: Distribution, noise: Noise) -> Tensor:
    return bound(log_weights(log_p, q, q.sample(noise)))


@law("estimator", planted=lambda: [detached, density_forgotten, theta_squared, first_noise_reused])
def mean_gradient_is_exact(estimator: GradientEstimator) -> None:
    """E[grad] = grad E[bound], by sums over every value, for theta (log_p's parameters) and phi (q's fields)."""
    bound = bound_of(estimator)
    for name, (oracle, s) in taken(estimator).items():
        truth = exact(name, bound, 1 if is_elbo(bound) else s)
        seen: dict[int, gates.Params] = {}

        def draw(key: Tensor, reps: int, group: str, oracle: Gate = oracle, s: int = s, seen: Any = seen) -> Tensor:
            if reps not in seen:
                seen[reps] = oracle.draws(estimator, s, reps, key)
            return torch.cat([t.reshape(reps, -1) for t in seen[reps][group].values()], 1)

        for group in ("theta", "phi"):
            flat = torch.cat([t.flatten() for t in truth[group].values()])
            try:
                mean_is_exact(partial(draw, group=group), flat, KEY)
            except AssertionError as error:
                raise AssertionError(f"the gradient of {group}, {name}: {error}") from None


@law("estimator", planted=lambda: [mixed])
def gradients_are_per_datum(estimator: GradientEstimator) -> None:
    """A datum's value has no gradient in another's q, and an upstream gradient scales it: nothing is summed over n."""
    for oracle, s in taken(estimator).values():
        noise, value = noise_of(oracle, s), with_noise(oracle, estimator)

        def first(params: gates.Params, scale: float, value: Any = value, noise: Noise = noise) -> Tensor:
            return scale * value(params, noise)[0]

        one, three = (grad(first)(oracle.params, scale) for scale in (1.0, 3.0))
        for t, scaled in zip(trees.leaves(one), trees.leaves(three), strict=True):
            torch.testing.assert_close(3 * t, scaled, rtol=1e-9, atol=1e-9)
        for t in one["phi"].values():
            assert (t[1:] == 0).all(), "a datum's gradient reaches another datum's q"


@law("estimator", planted=lambda: [branching])
def vmap_over_keys_is_a_loop(estimator: GradientEstimator) -> None:
    """vmap(grad) over keys gives each key's own gradient: how bias and variance are measured."""
    for oracle, s in taken(estimator).values():
        mapped = oracle.draws(estimator, s, 3, KEY)
        for i, key in enumerate(keys.split(KEY, 3)):
            looped = oracle.gradient(estimator, s)(oracle.params, key)
            for a, b in zip(trees.leaves(mapped), trees.leaves(looped), strict=True):
                torch.testing.assert_close(a[i], b, rtol=1e-9, atol=1e-9)


@law("estimator", planted=lambda: [broken_graph, backward_dropped])
def compiled_gradients_are_eager(estimator: GradientEstimator) -> None:
    """grad as one graph is the eager one: a backward that a compiler drops would differ."""
    oracle, s = next(iter(taken(estimator).values()))
    q, noise = oracle.posterior(oracle.params["phi"]), noise_of(oracle, s)
    theta = q.sample(noise)[0].flatten(1) + 0.3

    def value(theta: Tensor, q: Distribution, noise: Noise) -> Tensor:
        return estimator(lambda z: -(z.flatten(2) - theta).square().sum(-1), q, noise).sum()

    gradient = grad(value, (0, 1))
    found, expected = compiled(gradient)(theta, q, noise), gradient(theta, q, noise)
    for a, b in zip(trees.leaves(found), trees.leaves(expected), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@law("estimator", planted=lambda: [naive_score])
def nothing_is_nan_outside_the_support(estimator: GradientEstimator) -> None:
    """Where log_p is -inf for some samples the value is no NaN, and the gradient of the finite values is finite."""

    def log_p(z: Tensor) -> Tensor:
        z = z.flatten(2)
        return torch.where(z[..., 0] < 0.5, -math.inf, z.sum(-1))

    for oracle, s in taken(estimator).values():
        q = oracle.posterior(oracle.params["phi"])
        noise = noise_of(oracle, max(s, 8))
        assert not estimator(log_p, q, noise).isnan().any()
        slopes = grad(lambda q, noise=noise: estimator(log_p, q, noise).nan_to_num(neginf=0.0).sum())(q)
        for slope in trees.leaves(slopes):
            assert torch.isfinite(slope).all(), slope

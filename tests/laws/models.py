"""Laws of latent-variable models: the joint is its two parts, parameters are the model's own, bounds lie below."""

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.func import grad

from jensen.core import bounds, keys, trees
from jensen.core.contracts import Distribution, LatentModel
from jensen.core.distributions import DiagNormal
from jensen.core.trees import Params
from jensen.laws import distributions
from jensen.laws._law import Subject, law, spoiled
from jensen.laws.assertions import mean_is_at_most
from jensen.laws.transforms import compiled

KEY = keys.key(24)
MANY = 2000  # samples of an estimate of log p(x)


@dataclasses.dataclass(frozen=True)
class FactorAnalysis:
    """z ~ N(0, I_d), x | z ~ N(W z, 1): a model for planted bugs."""

    latent: int = 2

    def init(self, key: Tensor, x: Tensor, /) -> Params:
        return {
            "weight": keys.normal(key, (x.shape[1], self.latent), x.dtype),
            "up": x.new_zeros(self.latent, x.shape[1]),
        }

    def posterior(self, params: Params, x: Tensor, /) -> DiagNormal:
        trees.check_keys(params, ("weight", "up"))
        loc = x @ params["up"].T
        return DiagNormal(loc, torch.zeros_like(loc) - 0.2)

    def prior(self, params: Params, n: int, /) -> DiagNormal:
        zeros = params["weight"].new_zeros(n, self.latent)
        return DiagNormal(zeros, zeros)

    def likelihood(self, params: Params, z: Tensor, /) -> DiagNormal:
        loc = z @ params["weight"].T
        return DiagNormal(loc, torch.zeros_like(loc))

    def log_prior(self, params: Params, z: Tensor, /) -> Tensor:
        return self.prior(params, z.shape[1]).log_prob(z)

    def log_joint(self, params: Params, x: Tensor, z: Tensor, /) -> Tensor:
        trees.check_keys(params, ("weight", "up"))
        return self.log_prior(params, z) + self.likelihood(params, z).log_prob(x)


X = keys.normal(keys.key(25), (5, 3), torch.float64)


def of(**methods: Any) -> list[Subject]:
    return [Subject(spoiled(FactorAnalysis(), **methods), X)]


def drawn(model: LatentModel, x: Tensor, s: int) -> tuple[Params, Distribution, Any]:
    """Parameters, q(z | x) and s samples of it."""
    params = model.init(KEY, x)
    q = model.posterior(params, x)
    return params, q, q.sample(q.noise(keys.fold_in(KEY, 1), s))


def _counted_twice(model: FactorAnalysis, params: Params, x: Tensor, z: Tensor) -> Tensor:
    return FactorAnalysis.log_joint(model, params, x, z) + model.log_prior(params, z)


@law("model", planted=lambda: of(log_joint=_counted_twice))
def the_joint_is_prior_and_likelihood(model: LatentModel, x: Tensor) -> None:
    """log_joint(x, z) = log_prior(z) + likelihood(z).log_prob(x), (s, n), in nats per datum."""
    params, _, z = drawn(model, x, 3)
    joint = model.log_joint(params, x, z)
    assert joint.shape == (3, len(x)), f"expected log_joint (3, {len(x)}), got {tuple(joint.shape)}"
    parts = model.log_prior(params, z) + model.likelihood(params, z).log_prob(x)
    torch.testing.assert_close(joint, parts, rtol=1e-5, atol=1e-5)


@law("model", planted=lambda: of(log_prior=lambda model, params, z: -0.5 * z.square().sum(-1)))
def log_prior_is_that_of_the_prior(model: LatentModel, x: Tensor) -> None:
    """log_prior(z) = prior(n).log_prob(z)."""
    params, _, z = drawn(model, x, 3)
    found, expected = model.log_prior(params, z), model.prior(params, len(x)).log_prob(z)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def _one_row(model: FactorAnalysis, params: Params, x: Tensor) -> DiagNormal:
    q = FactorAnalysis.posterior(model, params, x)
    return DiagNormal(q.loc + x.mean(), q.log_scale)


@law(
    "model",
    planted=lambda: [
        *of(posterior=_one_row),
        *of(prior=lambda model, params, n: FactorAnalysis.prior(model, params, n + 1)),
    ],
)
def posterior_and_prior_are_distributions(model: LatentModel, x: Tensor) -> None:
    """One row per datum, as the laws of distributions have it, and a datum's posterior is the one it has alone."""
    params, q, z = drawn(model, x, 3)
    for p in (q, model.prior(params, len(x))):
        assert isinstance(p, Distribution), f"expected a Distribution, got {type(p).__name__}"
        assert distributions.data(p) == len(x), f"expected {len(x)} rows, got {distributions.data(p)}"
        distributions.shapes(p)
        distributions.sample_is_a_function_of_noise(p)
    alone = model.posterior(params, x[-1:])
    last = trees.map(lambda t: t[:, -1:], z)
    torch.testing.assert_close(alone.log_prob(last), q.log_prob(z)[:, -1:], rtol=1e-4, atol=1e-4)


def _global_noise(model: FactorAnalysis, key: Tensor, x: Tensor) -> Params:
    return {"weight": torch.randn(x.shape[1], model.latent, dtype=x.dtype), "up": x.new_zeros(model.latent, x.shape[1])}


def _writes(model: FactorAnalysis, params: Params, x: Tensor) -> DiagNormal:
    params["up"] += 0.1
    return FactorAnalysis.posterior(model, params, x)


@law("model", planted=lambda: [*of(init=_global_noise), *of(posterior=_writes)])
def functions_are_pure(model: LatentModel, x: Tensor) -> None:
    """init of one key gives the same bits twice, and no method changes the parameters it is given."""
    params, again = model.init(KEY, x), model.init(KEY, x)
    before = trees.map(lambda t: t.clone(), params)
    q = model.posterior(params, x)
    model.log_joint(params, x, q.sample(q.noise(KEY, 2)))
    for t, kept, other in zip(*map(trees.leaves, (params, before, again)), strict=True):
        assert torch.equal(t, kept), "a method changed the parameters it was given"
        assert torch.equal(kept, other), "init of one key gives different parameters"


def refusal(call: Callable[[Params], object], params: Params) -> str:
    """What the KeyError says, or nothing."""
    try:
        call(params)
    except KeyError as error:
        return str(error)
    return ""


def _unchecked(model: FactorAnalysis, params: Params, x: Tensor) -> DiagNormal:
    return FactorAnalysis.posterior(model, {name: params[name] for name in ("weight", "up")}, x)


@law("model", planted=lambda: of(posterior=_unchecked))
def unknown_parameters_are_named(model: LatentModel, x: Tensor) -> None:
    """posterior and log_joint raise a KeyError that names a parameter they do not know, or miss."""
    params, _, z = drawn(model, x, 1)
    name = next(iter(params))
    longer, shorter = {**params, "mistyped": torch.zeros(())}, {k: t for k, t in params.items() if k != name}
    for call in (lambda p: model.posterior(p, x), lambda p: model.log_joint(p, x, z)):
        for wrong, word in ((longer, "mistyped"), (shorter, name)):
            said = refusal(call, wrong)
            assert word in said, f"expected a KeyError that names {word!r}, got {said or 'none'}"


@law(
    "model",
    planted=lambda: [
        *of(log_joint=lambda m, params, x, z: FactorAnalysis.log_joint(m, trees.stop(params), x, z)),
        *of(log_joint=lambda m, params, x, z: FactorAnalysis.log_joint(m, params, x, z).mul(2000).exp()),
    ],
)
def gradients_are_finite_and_reach_every_part(model: LatentModel, x: Tensor) -> None:
    """The ELBO's gradient is finite, and not 0 in every leaf of a top-level part of floating-point parameters."""
    params, _, z = drawn(model, x, 4)
    loss = grad(lambda p: (model.log_joint(p, x, z) - model.posterior(p, x).log_prob(z)).mean())
    slopes = trees.paths(loss(params))
    assert slopes, "the model has no parameters"
    for path, slope in slopes.items():
        assert torch.isfinite(slope).all(), f"the gradient of {path} is not finite"
    for part in params:
        own = [t for path, t in slopes.items() if path.split(".")[0] == part]
        assert not own or any((t != 0).any() for t in own), f"no gradient reaches {part}"


@law("model", planted=lambda: of(log_joint=lambda m, params, x, z: FactorAnalysis.log_joint(m, params, x, z) + 5))
def the_elbo_is_below_the_evidence(model: LatentModel, x: Tensor) -> None:
    """E_q[log w] <= log E_prior[p(x | z)], each estimated by samples of its own, within 5 standard errors."""
    params, q, z = drawn(model, x, MANY)
    log_w = model.log_joint(params, x, z) - q.log_prob(z)
    prior = model.prior(params, len(x))
    of_prior = prior.sample(prior.noise(keys.fold_in(KEY, 2), 10 * MANY))
    likelihood = model.likelihood(params, of_prior).log_prob(x)
    evidence = bounds.iwae(likelihood)
    error = (likelihood - evidence).exp().std(0) / (10 * MANY) ** 0.5
    mean_is_at_most(log_w, evidence + 5 * error, errors=5)


def _branches(model: FactorAnalysis, params: Params, x: Tensor) -> DiagNormal:
    if x.sum() > 0:
        params = dict(params)
    return FactorAnalysis.posterior(model, params, x)


@law("model", planted=lambda: of(posterior=_branches))
def models_compile(model: LatentModel, x: Tensor) -> None:
    """The IWAE gradient as one graph is the eager one."""
    params, q, _ = drawn(model, x, 1)
    noise = q.noise(KEY, 2)

    def bound(params: Params, x: Tensor, noise: Any) -> Tensor:
        q = model.posterior(params, x)
        z = q.sample(noise)
        return bounds.iwae(model.log_joint(params, x, z) - q.log_prob(z)).sum()

    for a, b in zip(trees.leaves(compiled(grad(bound))(params, x, noise)), trees.leaves(grad(bound)(params, x, noise)),
                    strict=True):  # fmt: skip
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)

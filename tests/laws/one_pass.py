"""Laws of distributions that give a sample together with its log density, or with the gradient of that."""

import torch
from torch import Tensor
from torch.func import grad

from jensen.core import trees
from jensen.core.contracts import Event, Noise, OnePass, Scored
from jensen.core.distributions import DiagNormal
from jensen.laws._law import law, spoiled
from jensen.laws.distributions import KEY, NORMAL
from jensen.laws.regions import flat


def _without_path(q: DiagNormal, eps: Tensor) -> tuple[Tensor, Tensor]:
    """The right values, with the gradient of log q at a fixed z."""
    z = DiagNormal.sample(q, eps)
    return z, q.log_prob(z.detach())


@law("distribution", needs=OnePass, planted=lambda: [spoiled(NORMAL, sample_and_log_prob=_without_path)])
def one_pass_is_two(q: OnePass) -> None:
    """sample_and_log_prob(noise) = (z, log_prob(z)) at z = sample(noise), and so are its gradients in every field."""
    vector, unravel = trees.ravel(q)
    noise = q.noise(KEY, 3)

    def both(z: Event, log_q: Tensor) -> Tensor:
        return flat(z).sin().sum() + (torch.linspace(1, 2, log_q.numel()).reshape(log_q.shape) * log_q).sum()

    def in_one(v: Tensor) -> Tensor:
        return both(*unravel(v).sample_and_log_prob(noise))

    def in_two(v: Tensor) -> Tensor:
        z = unravel(v).sample(noise)
        return both(z, unravel(v).log_prob(z))

    z, log_q = q.sample_and_log_prob(noise)
    assert torch.equal(flat(z), flat(q.sample(noise))), "another sample"
    torch.testing.assert_close(log_q, q.log_prob(z), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(grad(in_one)(vector), grad(in_two)(vector), rtol=1e-8, atol=1e-8)


def _scored(q: DiagNormal, eps: Noise, share: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    z, log_q = q.sample_and_log_prob(eps)
    return z, log_q, -share * (z - q.loc).detach() * torch.exp(-2 * q.log_scale).detach()


@law(
    "distribution",
    needs=Scored,
    planted=lambda: [
        spoiled(NORMAL, sample_and_score=lambda q, eps: _scored(q, eps, 0.5)),
        spoiled(NORMAL, sample_and_score=lambda q, eps: (*_without_path(q, eps), _scored(q, eps)[2])),
    ],
)
def the_score_is_the_gradient_in_the_sample(q: Scored) -> None:
    """sample_and_score(noise) adds to `sample_and_log_prob` the gradient of log_prob in z, to 1e-12 of its size."""
    vector, unravel = trees.ravel(q)
    noise = q.noise(KEY, 3)
    z, _, score = q.sample_and_score(noise)
    exact = flat(grad(lambda z: q.log_prob(z).sum())(trees.stop(z)))
    assert (flat(score) - exact).abs().max() <= 1e-12 * exact.abs().max(), (flat(score) - exact).abs().max()
    slope, same = (
        grad(lambda v, take=take: take(unravel(v))[1].cos().sum())(vector)
        for take in (lambda q: q.sample_and_score(noise), lambda q: q.sample_and_log_prob(noise))
    )
    torch.testing.assert_close(slope, same, rtol=1e-8, atol=1e-8)

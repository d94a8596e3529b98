"""Distributions; more families are in `jensen.laws.families`."""

import torch
from torch import Tensor

from jensen.core.contracts import Distribution
from jensen.core.distributions import (
    Bernoulli,
    Beta,
    Categorical,
    ContinuousBernoulli,
    DiagNormal,
    Dirichlet,
    FullNormal,
    Gamma,
    Given,
    Hierarchical,
    Joint,
    LinearBernoulli,
    LinearCategorical,
    Pushforward,
)
from jensen.core.distributions.joint import Latents
from jensen.core.flows import Reverse
from jensen.core.trees import Params
from jensen.laws.instances._noise import noise
from jensen.laws.instances.flows import FLOWS


def normal_given(params: Params, z: Tensor) -> DiagNormal:
    return DiagNormal(z @ params["weight"], 0.3 * torch.tanh(z[..., :1]).expand(*z.shape[:-1], 2))


def wide_given(params: Params, z: Tensor) -> DiagNormal:
    loc = z * params["weight"][:2]
    return DiagNormal(loc, 0.2 * loc)


def gamma_given(params: Params, z: Tensor) -> Gamma:
    concentration = 2 + torch.sigmoid((z * params["weight"]).sum(-1, keepdim=True))
    return Gamma(concentration, concentration)


def named_given(params: Params, earlier: Latents) -> Gamma:
    return gamma_given(params, earlier["z"])


def coins_given(params: Params, z: Tensor) -> Bernoulli:
    return Bernoulli((2 * z - 1) @ params["weight"])


WEIGHT: Params = {"weight": 0.7 * noise(43, 2, 2)}
WIDE: Params = {"weight": 0.7 * noise(45, 3)}
DISTRIBUTIONS: dict[str, Distribution] = {
    "DiagNormal": DiagNormal(noise(1, 2, 3), 0.3 * noise(2, 2, 3)),
    "FullNormal": FullNormal(noise(3, 2, 3), 0.3 * noise(4, 2, 3), 0.5 * noise(5, 2, 3, 3)),
    "Bernoulli": Bernoulli(noise(6, 2, 3)),
    "Categorical": Categorical(noise(7, 2, 2, 3)),
    "ContinuousBernoulli": ContinuousBernoulli(2 * noise(8, 2, 3)),
    "Gamma": Gamma(torch.exp(0.3 * noise(9, 2, 2)) + 1, torch.exp(0.3 * noise(10, 2, 2))),
    "Beta": Beta(torch.exp(0.3 * noise(11, 2, 2)) + 1, torch.exp(0.3 * noise(12, 2, 2)) + 1),
    "Dirichlet": Dirichlet(torch.exp(0.3 * noise(13, 2, 3)) + 1),
    "Hierarchical of normals": Hierarchical.of(
        (DiagNormal(noise(14, 3, 2), 0.3 * noise(15, 3, 2)), 2), (Given(WEIGHT, normal_given), 2)
    ),
    "Hierarchical of Bernoullis": Hierarchical.of((Bernoulli(noise(16, 3, 2)), 2), (Given(WEIGHT, coins_given), 2)),
    "Hierarchical of three": Hierarchical.of(
        (DiagNormal(noise(25, 2, 1), 0.3 * noise(27, 2, 1)), 1),
        (Given(WIDE, wide_given), 2),
        (Given(WIDE, gamma_given), 1),
    ),
    "Joint": Joint(z=DiagNormal(noise(26, 2, 3), 0.3 * noise(28, 2, 3)), y=Given(WIDE, named_given)),
    "Pushforward": Pushforward(
        DiagNormal(noise(17, 2, 3), 0.3 * noise(18, 2, 3)), (FLOWS["Coupling per datum"], Reverse())
    ),
    "LinearBernoulli": LinearBernoulli(noise(19, 2, 4), noise(20, 3, 4), noise(21, 3)),
    "LinearCategorical": LinearCategorical(noise(22, 2, 4), noise(23, 3, 4), noise(24, 3)),
}

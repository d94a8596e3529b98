"""What flows cost: a VAE's step with four layers beside one without, and a coupling of splines beside zuko's."""

from functools import partial
from importlib.util import find_spec

import torch
from torch import Tensor
from torch.func import grad_and_value

from jensen.core import flows, keys, trees
from jensen.core.contracts import Flow
from jensen.core.distributions import DiagNormal, Pushforward
from jensen.core.models.latent import vae
from jensen.experiments.run.compilation import compiled
from tests.bench.race import Call, Race

KEY = keys.key(0)
BATCH, PIXELS, HIDDEN, LATENT, LAYERS = 100, 784, 200, 50, 4


def step(device: str) -> Race:
    """K = 1, batch 100, 784-200-200-50, with fused Adam; networks of the flows are as wide as their names say."""
    key = KEY.to(device)
    x = (keys.uniform(KEY, (BATCH, PIXELS)) < 0.3).float().to(device)
    model = vae.mlp(PIXELS, (HIDDEN, HIDDEN), LATENT)
    each = keys.split(key, LAYERS)

    def loss(params: trees.Params, layers: tuple[Flow, ...], x: Tensor, key: Tensor) -> Tensor:
        z, log_q = Pushforward(model.posterior(params, x), layers).draw(key, 1)
        return (log_q - model.log_joint(params, x, z)).mean()

    def candidate(layers: tuple[Flow, ...]) -> Call:
        params = model.init(key, x)
        gradient = compiled(grad_and_value(loss, (0, 1)))
        optimizer = torch.optim.Adam(trees.leaves((params, layers)), lr=1e-3, fused=True)

        def step() -> None:
            slopes, _ = gradient(params, layers, x, key)
            for leaf, slope in zip(trees.leaves((params, layers)), trees.leaves(slopes), strict=True):
                leaf.grad = slope
            optimizer.step()

        return step

    posteriors: dict[str, tuple[Flow, ...]] = {
        "mean field": (),
        "IAF, 64 units": flows.iaf(key, LATENT, LAYERS, (64,)),
        "RealNVP, 64 units": flows.real_nvp(key, LATENT, LAYERS, (64,)),
        "splines, 32 units": flows.spline_couplings(key, LATENT, LAYERS, (32,)),
        "planar": tuple(flows.Planar.identity(k, LATENT) for k in each),
        "Sylvester, orthogonal 8": tuple(flows.Sylvester.orthogonal(k, LATENT, 8) for k in each),
        "Sylvester, 8 reflections": tuple(flows.Sylvester.householder(k, LATENT, 8, 8) for k in each),
    }
    candidates = {name: candidate(layers) for name, layers in posteriors.items()}
    return Race("step of a VAE through 4 flows, 784-200-200-50, batch 100", "mean field", candidates)


def coupling(device: str) -> Race:
    """Samples, their log density and its gradient in all parameters, of one coupling of splines of 8 bins, d = 50."""
    network, bins = (64, 64), 8
    zeros = torch.zeros(BATCH, LATENT, device=device)
    spline = flows.RationalQuadratic(bins)
    layer = flows.Coupling.identity(KEY.to(device), LATENT, network, transform=spline)

    def loss(layer: Flow, key: Tensor) -> Tensor:
        q = Pushforward(DiagNormal(zeros, zeros), (layer,))
        z, log_q = q.sample_and_log_prob(q.noise(key, 1))
        return (log_q + z.square().sum(-1)).mean()

    gradient = grad_and_value(loss)
    candidates: dict[str, Call] = {
        "compiled": partial(compiled(gradient), layer, KEY.to(device)),
        "eager": partial(gradient, layer, KEY.to(device)),
    }
    if find_spec("zuko"):
        candidates["zuko, eager"] = in_zuko(network, bins, device)
    return Race("sample, log density and gradient of a spline coupling", "compiled", candidates)


def in_zuko(network: tuple[int, ...], bins: int, device: str) -> Call:
    """The same in zuko, whose flows torch.compile does not take as one graph."""
    import zuko
    from zuko.transforms import MonotonicRQSTransform

    shapes = [(bins,), (bins,), (bins - 1,)]
    flow = zuko.flows.NICE(
        LATENT, transforms=1, hidden_features=network, univariate=MonotonicRQSTransform, shapes=shapes
    ).to(device)

    def step() -> None:
        flow.zero_grad()
        z, log_q = flow().rsample_and_log_prob((1, BATCH))
        (log_q + z.square().sum(-1)).mean().backward()

    return step

"""What a flow costs: a step of a VAE whose posterior goes through four layers, beside one without."""

import torch
from torch import Tensor
from torch.func import grad_and_value

from jensen.core import flows, keys, trees
from jensen.core.contracts import Flow
from jensen.core.distributions import Pushforward
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

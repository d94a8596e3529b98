"""Evidence by importance sampling beside the matrix products of its decoder."""

import torch
from torch import Tensor

from jensen.core import keys, trees
from jensen.core.distributions import DiagNormal
from jensen.core.models.latent import vae
from jensen.estimators.evidence import from_log_weights
from jensen.experiments.run.compilation import compiled
from tests.bench.race import Race

KEY = keys.key(0)
HIDDEN, LATENT, PIXELS, CHUNK, IMAGES = 200, 50, 784, 40, 100


def thousand(device: str) -> Race:
    return evidence(device, 1000, 15)


def five_thousand(device: str) -> Race:
    return evidence(device, 5000, 7)


def evidence(device: str, k: int, rounds: int) -> Race:
    """K particles for each of 100 images, 784-200-200-50, in chunks of 40 particles."""
    x = (keys.uniform(KEY, (IMAGES, PIXELS)) < 0.3).float().to(device)
    model, key = vae.mlp(PIXELS, (HIDDEN, HIDDEN), LATENT), KEY.to(device)
    params = model.init(key, x)
    layers = list(params["decoder"].values())

    @compiled
    def log_weights(params: trees.Params, q: DiagNormal, x: Tensor, key: Tensor) -> Tensor:
        z = q.sample(q.noise(key, CHUNK))
        return model.log_joint(params, x, z) - q.log_prob(z)

    z = keys.normal(KEY, (CHUNK * IMAGES, LATENT)).to(device)

    @torch.no_grad()
    def whole() -> None:
        q = model.posterior(params, x)
        from_log_weights(lambda at: log_weights(params, q, x, at), key, k)

    @torch.no_grad()
    def products() -> None:
        for _ in range(k // CHUNK):
            h = z
            for layer in layers:
                h = h @ layer["weight"].T

    candidates = {"the matrix products alone": products, "evidence": whole}
    return Race(
        f"evidence of 100 images, K = {k:,} in chunks of 40", "the matrix products alone", candidates, rounds, 1
    )

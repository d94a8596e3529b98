"""The ladder variational autoencoder (Sønderby et al., 2016), a bidirectional one (Kingma et al., 2016).

p(x, z) is that of `hvae`, and q goes the same way, from the top layer down: q(z | x) = q(zL | x) ... q(z1 | z2, x). A
deterministic pass upwards gives each layer a normal N(loc_i, scale_i²), which is q of the top layer. Below, q is what
this and the layer's prior p(zi | z(i+1)), of the same networks as in p(x, z), say together: their product, normalised,

    1 / scale_q² = 1 / scale_i² + 1 / scale_p²        loc_q = scale_q² (loc_i / scale_i² + loc_p / scale_p²).

Parameters are those of `hvae`, but that network i + 1 of the encoder reads the last hidden layer of network i.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.distributions import DiagNormal, Given, Hierarchical
from jensen.core.models.latent import hvae
from jensen.core.models.latent.data import check_data, check_rows
from jensen.core.models.latent.hvae import HVAE
from jensen.core.models.latent.likelihoods import BERNOULLI, Likelihood
from jensen.core.models.latent.top_down import TopDown
from jensen.core.nn import linear, mlp
from jensen.core.nn.initial import Activation
from jensen.core.numerics import bounded, log_add_exp
from jensen.core.trees import Params


@dataclass(frozen=True)
class Ladder(HVAE):
    """Stochastic layers of given sizes, inferred from the top down; every method is a function of its parameters."""

    def posterior(self, params: Params, x: Float[Tensor, "n D"], /) -> TopDown:
        """q(z | x), of n data. ValueError for grey x where it must be binary, while torch runs eagerly."""
        *below, top = self._messages(params, x)
        networks = self._networks(params, "decoder")
        parts = [
            (Given({"network": networks[str(i + 1)], "message": message._asdict()}, self._combined), self.latents[i])
            for i, message in reversed(list(enumerate(below)))
        ]
        return TopDown(Hierarchical.of((top, self.latents[-1]), *parts))

    def kl_per_layer(
        self, params: Params, x: Float[Tensor, "n D"], z: Float[Tensor, "s n d"], /
    ) -> Float[Tensor, "n L"]:
        """KL(q(zi | z(i+1), x) || p(zi | z(i+1))) of each layer, from the data up, in nats per datum: a mean over s.

        Each is in closed form given the layer above; with z drawn from q they sum to KL(q || p) on average.
        """
        self._check(params, z)
        *below, top = self._messages(params, x)
        check_rows(x, z)
        networks, layers = self._networks(params, "decoder"), z.split(self.latents, -1)
        found = []
        for i, message in enumerate(below):
            p = self._normal(networks[str(i + 1)], layers[i + 1])
            found.append(_product(message, p).kl(p).mean(0))
        zeros = torch.zeros_like(top.loc)
        return torch.stack([*found, top.kl(DiagNormal(zeros, zeros))], -1)

    def _messages(self, params: Params, x: Tensor) -> list[DiagNormal]:
        """N(loc_i, scale_i²) of each layer, from the data up."""
        check_data(x, self.data, self.observation.binary)
        found = []
        for _, network in sorted(self._networks(params, "encoder").items(), key=lambda item: int(item[0])):
            x = mlp.features(network, x, self.activation)
            found.append(DiagNormal(*linear.apply(mlp.last(network), x).chunk(2, -1)))
        return found

    def _combined(self, params: Params, z: Float[Tensor, "... d"]) -> DiagNormal:
        return _product(DiagNormal(**params["message"]), self._beside(params["network"], z))

    def _upward(self) -> tuple[int, ...]:
        """What each network of the encoder reads: what the one below it has made of the data."""
        return (self.data, *(self.hidden[-1:] or (self.data,)) * (len(self.latents) - 1))


def _product(a: DiagNormal, b: DiagNormal) -> DiagNormal:
    """The normalised product of two normals' densities, one of which may have samples in front."""
    log_a, log_b = bounded(a.log_scale), bounded(b.log_scale)
    share = torch.sigmoid(2 * (log_b - log_a))  # of a in the precision
    return DiagNormal(share * a.loc + (1 - share) * b.loc, -0.5 * log_add_exp(-2 * log_a, -2 * log_b))


def build(
    data: int,
    latents: Sequence[int],
    hidden: Sequence[int] = (200, 200),
    activation: Activation = torch.tanh,
    likelihood: Likelihood = BERNOULLI,
) -> Ladder:
    """data -> *hidden -> *hidden -> ... up, with latents of sizes (z1, z2, ...), and the way down of `hvae.build`."""
    return Ladder(**vars(hvae.build(data, latents, hidden, activation, likelihood)))

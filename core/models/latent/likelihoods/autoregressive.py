"""Binary pixels that also depend on those before them: a decoder so strong that it may leave z unused."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from jensen.core.contracts import Key
from jensen.core.distributions import Bernoulli
from jensen.core.models.latent.likelihoods.likelihood import clipped_mean, laplace_mean
from jensen.core.models.latent.likelihoods.outputs import Outputs, materialised
from jensen.core.trees import Params, check_keys

RIDGE = 0.05  # added to variances of pixels, some of which never change


class AutoregressiveBernoulli(NamedTuple):
    """P(x_i = 1 | x_1 ... x_(i - 1)) = sigmoid(logits_i + sum_(j < i) weight_ij x_j) (Frey, 1998).

    Support       {0, 1}^D
    Noise         uniform, as that of independent pixels
    Closed forms  none; a sample takes a pass for every pixel, and a mean is an approximation
    """

    logits: Float[Tensor, "*s n D"]
    weight: Float[Tensor, "D D"]  # of which only what is below the diagonal counts

    reparameterised = False

    def noise(self, key: Key, s: int, /) -> Float[Tensor, "..."]:
        """Uniform noise for `sample`."""
        return Bernoulli(self.logits).noise(key, s)

    def sample(self, u: Float[Tensor, "..."], /) -> Float[Tensor, "..."]:
        """Pixel after pixel: x_i = 1 where u_i is below its probability; no gradient passes."""
        return self._forward(lambda i, p: (u[..., i] < p).to(p), u[..., :0])

    def log_prob(self, x: Float[Tensor, "... D"], /) -> Float[Tensor, "..."]:
        """log P(x) in nats per datum, for x in {0, 1}: all pixels in one pass."""
        return Bernoulli(self.logits + F.linear(x, self.weight.tril(-1))).log_prob(x)

    def mean(self) -> Float[Tensor, "*s n D"]:
        """Pixel after pixel, with means in place of those before it: an approximation, exact where weights are 0."""
        return self._forward(lambda i, p: p, self.logits[..., :0])

    def _forward(self, pixel: Callable[[int, Tensor], Tensor], x: Tensor) -> Tensor:
        """The pixels, each a function of its place and its probability given those before it; x has none yet."""
        weight, x = self.weight.tril(-1), x.to(self.logits)
        for i in range(self.logits.shape[-1]):
            x = torch.cat([x, pixel(i, torch.sigmoid(self.logits[..., i] + x @ weight[i, :i]))[..., None]], -1)
        return x


@dataclass(frozen=True)
class AutoregressiveLikelihood:
    """Pixels in the order of the data, each given the decoder's output and a linear function of those before it.

    That function starts fitted to the training data, so that from the first step z has little to add.
    """

    binary = True

    def init(self, x: Float[Tensor, "N D"], /) -> tuple[Params, Float[Tensor, " D"]]:
        """Least squares of each pixel on those before it, in logits; at their means, the logit of the data's mean."""
        mean = clipped_mean(x)
        weight = _fitted(x - x.mean(0), mean)
        return {"weight": weight}, Bernoulli.from_mean(mean).logits - weight @ mean

    def __call__(self, params: Params, out: Outputs, /) -> AutoregressiveBernoulli:
        check_keys(params, ("weight",))
        return AutoregressiveBernoulli(materialised(out), params["weight"])

    def independent(self, x: Float[Tensor, "N D"], /) -> Bernoulli:
        """The Bernoulli of each pixel's mean by Laplace's rule."""
        return Bernoulli.from_mean(laplace_mean(x))


def _fitted(x: Float[Tensor, "N D"], mean: Float[Tensor, " D"]) -> Float[Tensor, "D D"]:
    """weight_ij: the slope of pixel i on pixel j < i, beside the others before i, over the variance of pixel i.

    With L L^T the covariance and L of unit diagonal but for scales, row i of I - L^-1 has those slopes.
    """
    eye = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    lower = torch.linalg.cholesky(x.T @ x / len(x) + RIDGE * eye)
    slopes = eye - torch.linalg.solve_triangular(lower / lower.diagonal(), eye, upper=False)
    return (slopes / (mean * (1 - mean) + RIDGE)[:, None]).tril(-1)


AUTOREGRESSIVE = AutoregressiveLikelihood()

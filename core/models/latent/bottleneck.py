"""The variational information bottleneck (Alemi et al., 2017): a latent z that keeps of x what its label y needs.

q(z | x) is a diagonal normal, p(y | z) a classifier of latents, and r(z) = N(0, I). What is maximised,
E_q log p(y | z) - beta KL(q(z | x) || r(z)), is but for H(Y) the difference of two bounds, in nats:

    I(Z; Y) >= H(Y) + E log p(y | z)    I(X; Z) <= E KL(q(z | x) || r(z))

They are off by E KL(q(y | z) || p(y | z)) and KL(q(z) || r(z)), with q(y | z) and q(z) those of q and the data.
Parameters are {"encoder": an mlp's, "classifier": the classifier's}.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from einops import rearrange, repeat
from jaxtyping import Float, Int
from torch import Tensor

from jensen.core import bounds, keys
from jensen.core.checks import check_count, check_floating, check_key, check_sizes, check_tensor, check_value
from jensen.core.contracts import Key
from jensen.core.distributions import DiagNormal
from jensen.core.models.classifier import Classifier
from jensen.core.models.labels import check_labels
from jensen.core.models.latent.data import check_data
from jensen.core.models.latent.priors.standard import standard_normal
from jensen.core.nn import mlp
from jensen.core.nn.initial import Activation, initialiser
from jensen.core.trees import Params, check_keys


class Terms(NamedTuple):
    """What a datum's latents say of its label, and what they cost, in nats: (n,) each."""

    log_prob: Float[Tensor, " n"]  # E_q log p(y | z)
    kl: Float[Tensor, " n"]  # KL(q(z | x) || r(z))


@dataclass(frozen=True)
class Bottleneck:
    """An encoder of data and a classifier of latents; every method is a pure function of its parameters."""

    data: int
    hidden: tuple[int, ...]  # of the encoder
    classifier: Classifier
    activation: Activation

    @property
    def latent(self) -> int:
        """The dimensions d of z."""
        return self.classifier.data

    def init(self, key: Key, dtype: torch.dtype = torch.float32, /) -> Params:
        """Both networks' parameters."""
        check_key(key)
        up, down = keys.split(key)
        weight = initialiser(self.activation)
        return {
            "encoder": mlp.init(up, (self.data, *self.hidden, 2 * self.latent), weight, dtype),
            "classifier": self.classifier.init(down, dtype),
        }

    def posterior(self, params: Params, x: Float[Tensor, "n D"], /) -> DiagNormal:
        """q(z | x): fields (n, d)."""
        check_data(x, self.data)
        return DiagNormal(*mlp.apply(_part(params, "encoder"), x, self.activation).chunk(2, -1))

    def prior(self, params: Params, n: int, /) -> DiagNormal:
        """r(z) = N(0, I) with fields (n, d), in the parameters' dtype."""
        bias = mlp.last(_part(params, "encoder"))["bias"]
        return standard_normal(bias, n, self.latent)

    def log_likelihood(
        self, params: Params, z: Float[Tensor, "s n d"], labels: Int[Tensor, " n"], /
    ) -> Float[Tensor, "s n"]:
        """log p(y | z) in nats per datum. ValueError for labels out of range, while torch runs eagerly."""
        check_floating("z", z, f"s n {self.latent}", "samples lead, then data, then latent dimensions")
        check_labels(labels, z.shape[1], self.classifier.classes)
        each = rearrange(z, "s n d -> (s n) d"), repeat(labels, "n -> (s n)", s=len(z))
        return self.classifier.log_prob(_part(params, "classifier"), *each).reshape(z.shape[:2])

    def terms(
        self, params: Params, x: Float[Tensor, "n D"], labels: Int[Tensor, " n"], noise: Float[Tensor, "s n d"], /
    ) -> Terms:
        """The two terms, the first as a mean over samples; their difference under a weight beta is maximised."""
        q = self.posterior(params, x)
        log_prob = self.log_likelihood(params, q.sample(noise), labels).mean(0)
        return Terms(log_prob, q.kl(self.prior(params, len(x))))

    def log_prob(
        self, params: Params, x: Float[Tensor, "n D"], labels: Int[Tensor, " n"], noise: Float[Tensor, "s n d"], /
    ) -> Float[Tensor, " n"]:
        """log mean_s p(y | z_s): how a label is predicted, in nats per datum."""
        log_p = self.log_likelihood(params, self.posterior(params, x).sample(noise), labels)
        return bounds.iwae(log_p)

    def correct(
        self, params: Params, x: Float[Tensor, "n D"], labels: Int[Tensor, " n"], noise: Float[Tensor, "s n d"], /
    ) -> Float[Tensor, " n"]:
        """1 where the label has the largest mean probability over samples, else 0: its mean is the accuracy."""
        z = self.posterior(params, x).sample(noise)
        check_labels(labels, len(x), self.classifier.classes)
        logits = self.classifier.logits(_part(params, "classifier"), rearrange(z, "s n d -> (s n) d"))
        mean = logits.softmax(-1).unflatten(0, z.shape[:2]).mean(0)
        return (mean.argmax(-1) == labels).to(x.dtype)


def build(data: int, hidden: Sequence[int], classifier: Classifier, activation: Activation = torch.tanh) -> Bottleneck:
    """data -> *hidden -> latents, as many as the classifier takes, such as classifier.mlp(2, (), classes)."""
    initialiser(activation)
    check_value("classifier", classifier, Classifier, "classifier.mlp(2, (), 10)")
    return Bottleneck(check_count("data", data), check_sizes("hidden", hidden), classifier, activation)


def label_entropy(labels: Int[Tensor, " n"], classes: int) -> Float[Tensor, ""]:
    """H(Y) of the labels' frequencies, in nats. ValueError for labels out of range, while torch runs eagerly."""
    check_tensor("labels", labels, "n", "one for each datum")
    check_labels(labels, len(labels), check_count("classes", classes, 2))
    counts = (labels[:, None] == torch.arange(classes, device=labels.device)).double().mean(0)
    return -torch.special.xlogy(counts, counts).sum().float()


def _part(params: Params, name: str) -> Params:
    check_keys(params, ("encoder", "classifier"))
    return params[name]

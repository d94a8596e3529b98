"""The categorical distribution, with one-hot values."""

from itertools import product
from typing import NamedTuple

import torch
from jaxtyping import Float, Integer
from torch import Tensor
from torch.nn import functional as F

from jensen.core import keys
from jensen.core.bijections.simplex import slack
from jensen.core.contracts import Key
from jensen.core.distributions._draw import sample_then_log_prob
from jensen.core.distributions._tempered import like_field
from jensen.core.distributions.shapes import check_enumerable, check_pair, check_value, noise_shape
from jensen.core.distributions.support import off_simplex, zero_density
from jensen.core.distributions.uniform import exponential
from jensen.core.numerics import at_least_float32, entropy_of, kl_of_masses, log_add_exp
from jensen.core.ops import categorical_log_prob
from jensen.core.ops._indexed_log_prob import are_indices, check_indices, indexed_log_prob


class Categorical(NamedTuple):
    """d independent k-way choices with P = softmax(logits), per datum: field (n, d, k).

    Support       one-hot values, (s, n, d, k), or for log_prob their indices, (s, n, d); elsewhere on the simplex, by
                  the rule of `bijections.Simplex.contains`, it is minus a cross-entropy, differentiable in relaxations
    Noise         uniform, (s, n, d, k)
    Closed forms  mean, entropy, KL by dimension, Renyi and alpha divergences, transport, powers; enumerable, relaxable
                  by a temperature
    """

    logits: Float[Tensor, "*n d k"]

    reparameterised = False
    sample_and_log_prob = sample_then_log_prob

    def noise(self, key: Key, s: int, /) -> Float[Tensor, "s n d k"]:
        """Uniform noise (s, n, d, k) for `sample`."""
        return keys.uniform(key, noise_shape(self.logits, s, 3), at_least_float32(self.logits).dtype)

    def sample(self, u: Float[Tensor, "s n d k"], /) -> Float[Tensor, "s n d k"]:
        """One-hot of argmax_k logits + Gumbel noise, -log(-log(1 - u)) (Maddison et al., 2014); no gradient passes."""
        choice = self.perturbed(u).argmax(-1, keepdim=True)
        return (choice == torch.arange(self.logits.shape[-1], device=u.device)).to(self.logits.dtype)

    def perturbed(self, u: Float[Tensor, "s n d k"], /) -> Float[Tensor, "s n d k"]:
        """t = logits - log(-log(1 - u)), logits plus Gumbel noise, differentiable; `sample` is its argmax, one-hot.

        Rare choices come of small u, which is finer than u near 1.
        """
        check_value(u, self.logits, "noise")
        return at_least_float32(self.logits) - torch.log(exponential(u))

    def perturbed_given(self, u: Float[Tensor, "s n d k"], z: Float[Tensor, "s n d k"], /) -> Float[Tensor, "s n d k"]:
        """The same t for z = sample(u), as a draw of t given z: its derivative takes z and the noise within z as fixed.

        With p = softmax(logits), e^-t is exponential: its least entry, at z, has rate sum_k e^logits, and the others
        exceed it by e^-logits times the noise (Tucker et al., 2017; Grathwohl et al., 2018).
        """
        logits, t = at_least_float32(self.logits), self.perturbed(u).detach()
        possible, largest = t != -torch.inf, torch.where(z == 1, t, -torch.inf).amax(-1, keepdim=True)
        total, logits = torch.logsumexp(logits, -1, keepdim=True), torch.where(possible, logits, 0.0)
        log_first = total.detach() - total - largest
        late = possible & (z == 0)
        below = torch.where(late, t - largest, -1.0)
        log_excess = torch.log(-torch.expm1(below)) - below - largest + logits.detach() - logits
        again = -torch.where(late, log_add_exp(log_first, log_excess), log_first)
        return torch.where(possible, again, -torch.inf)

    def relaxed(self, t: Float[Tensor, "s n d k"], temperature: float | Tensor, /) -> Float[Tensor, "s n d k"]:
        """softmax(t / temperature): the Concrete relaxation, Gumbel-softmax."""
        return torch.softmax(t / temperature, -1).to(self.logits.dtype)

    def log_prob(self, z: Float[Tensor, "... d k"] | Integer[Tensor, "... d"], /) -> Float[Tensor, "..."]:
        """sum_d log softmax(logits) at z in nats per datum: (s, n, d, k) -> (s, n).

        z of an integer type are class indices, (s, n, d), as `ops.categorical_log_prob` takes them.
        """
        if are_indices(z):
            check_indices("z", z, self.logits)
            return indexed_log_prob(z, self.logits).sum(-1)
        check_value(z, self.logits)
        rounding = slack(z.dtype)
        log_p = categorical_log_prob(z.clamp(-rounding, 1 + rounding), self.logits).sum(-1)
        return zero_density(log_p, off_simplex(z, -rounding).any(-1))

    def mean(self) -> Float[Tensor, "*n d k"]:
        """softmax(logits): (n, d, k)."""
        return torch.softmax(self.logits, -1)

    def entropy(self) -> Float[Tensor, "..."]:
        """-sum_{d, k} P log P, in nats: (n,)."""
        return entropy_of(self.log_masses()).sum(-1)

    def kl(self, p: "Categorical", /) -> Float[Tensor, "..."]:
        """KL(self || p) in nats per datum: (n,). Exact for tiny values, and never negative."""
        return self.kl_per_dimension(p).sum(-1)

    def kl_per_dimension(self, p: "Categorical", /) -> Float[Tensor, "... d"]:
        """The terms of `kl`: (n, d)."""
        check_pair(self, p)
        gap = at_least_float32(p.logits) - at_least_float32(self.logits)
        return kl_of_masses(self.log_masses(), p.log_masses(), gap)

    def squared_wasserstein2(self, p: "Categorical", /) -> Float[Tensor, "..."]:
        """sum_{d, k} |P - p's P|, of one-hot values: (n,)."""
        check_pair(self, p)
        return (self.log_masses().exp() - p.log_masses().exp()).abs().sum((-2, -1))

    def tempered(self, temperature: float | Tensor, /) -> "Categorical":
        """That of logits / T."""
        t = like_field(temperature, self.logits[..., 0])
        return Categorical((self.logits / t[..., None]).to(self.logits.dtype))

    def log_masses(self) -> Float[Tensor, "*n d k"]:
        """log softmax(logits): (n, d, k)."""
        return torch.log_softmax(at_least_float32(self.logits), -1)

    def support(self) -> Float[Tensor, "m n d k"]:
        """All k^d values, (k^d, n, d, k), for exact expectations. ValueError for more than 2^20."""
        d, k = self.logits.shape[-2:]
        check_enumerable(k, d)
        choices = torch.tensor(list(product(range(k), repeat=d)), device=self.logits.device)
        values = F.one_hot(choices, k).to(self.logits.dtype)
        return values[:, None].expand(-1, *self.logits.shape)

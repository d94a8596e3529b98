"""Mixtures of one continuous family."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import grad, vmap

from jensen.core import keys, trees
from jensen.core.bijections import Real
from jensen.core.checks import check_floating
from jensen.core.contracts import Bijection, Cdf, ClosedForm, Constrained, Distribution, Event, Key, Noise, can
from jensen.core.distributions._draw import sample_then_log_prob
from jensen.core.distributions.shapes import noise_shape
from jensen.core.distributions.uniform import inside
from jensen.core.numerics import at_least_float32, log_sum_exp


class Mixture(NamedTuple):
    """sum_k softmax(logits)_k times component k, one per datum: logits (n, k), the components' fields (n, k, ...).

    The path of a sample is the implicit one (Graves, 2016; Figurnov et al., 2018), for components that are a `Cdf`
    with independent dimensions; others have none. `strata` draws from every component, with paths of their own.

    Support       the components', all together
    Noise         a dict: of the choice uniform, (s, n), and that of one component
    Closed forms  mean, where the components' is
    """

    logits: Float[Tensor, "n k"]
    components: Distribution

    sample_and_log_prob = sample_then_log_prob

    @property
    def reparameterised(self) -> bool:
        return can(self.components, Cdf)

    def noise(self, key: Key, s: int, /) -> Noise:
        """{"choice": (s, n), "component": that of the first component, which all share}."""
        self._check()
        of_choice, of_component = keys.split(key)
        shape = noise_shape(self.logits, s, 2)[:2]
        first = trees.map(lambda t: t[:, 0], self.components)
        choice = keys.uniform(of_choice, shape, at_least_float32(self.logits).dtype)
        return {"choice": choice, "component": first.noise(of_component, s)}

    def sample(self, noise: Noise, /) -> Event:
        """The chosen component's sample; differentiable in all fields where `reparameterised`, of no second derivative.

        With G_i the distribution function of z_i given z_1 … z_(i - 1), a mixture whose weights follow from them, the
        path is dz = -J^-1 dG, J = dG / dz, lower triangular.
        """
        self._check()
        every = _samples(trees.stop(self.components), noise["component"])
        below = torch.softmax(at_least_float32(self.logits), -1).detach().cumsum(-1)[..., :-1]
        choice = (inside(noise["choice"])[..., None] >= below).sum(-1, keepdim=True)
        picked = choice == torch.arange(self.logits.shape[-1], device=choice.device)
        z = trees.map(lambda t: _picked(t, picked), every)
        if not self.reparameterised:
            return z
        return z + self._path(z).to(z.dtype)

    def strata(self, noise: Noise, /) -> tuple[Event, Float[Tensor, "n k"]]:
        """Samples of every component, (s, n, k, *event), and their weights: E f = sum_k weights_k E f(z_k).

        Both with the gradient of the components' paths and of the weights (Roeder et al., 2017): of less variance than
        `sample`, at k times the cost.
        """
        self._check()
        return _samples(self.components, noise["component"]), torch.softmax(self.logits, -1)

    def log_prob(self, z: Event, /) -> Float[Tensor, "..."]:
        """log sum_k exp(log weight_k + log p_k(z)) in nats per datum: (s, n, *event) -> (s, n)."""
        self._check()
        each = vmap(lambda q: q.log_prob(z), in_dims=1, out_dims=-1)(self.components)
        return log_sum_exp(torch.log_softmax(at_least_float32(self.logits), -1) + each, -1)

    def bijection(self) -> Bijection:
        """The components', which is to be one for all."""
        return self.components.bijection() if can(self.components, Constrained) else Real()

    def mean(self) -> Event:
        """sum_k weight_k mean_k: (n, *event). TypeError where the components have none."""
        self._check()
        if not can(self.components, ClosedForm):
            raise TypeError(f"expected components with a mean, got {type(self.components).__name__}: average samples")
        weights = torch.softmax(self.logits, -1)
        means = vmap(lambda q: q.mean(), in_dims=1, out_dims=1)(self.components)
        return trees.map(lambda t: (weights.reshape(*weights.shape, *[1] * (t.ndim - 2)) * t).sum(1), means)

    def _path(self, z: Tensor) -> Tensor:
        """0, with the implicit gradient."""
        log_p = vmap(lambda q: _by_dimension(q, z), in_dims=1, out_dims=2)(self.components)
        slopes = vmap(grad(lambda q, z: _by_dimension(q, z).sum(), 1), in_dims=(1, 2), out_dims=2)
        slope = slopes(trees.stop(self.components), z[:, :, None].expand(log_p.shape))
        below = vmap(lambda q: q.cdf(z), in_dims=1, out_dims=2)(self.components)
        before = torch.cat([torch.zeros_like(log_p[..., :1]), log_p.cumsum(-1)[..., :-1]], -1)
        weights = torch.softmax(torch.log_softmax(at_least_float32(self.logits), -1)[..., None] + before, 2)
        level = (weights * below).sum(2)
        weights, below, density = weights.detach(), below.detach(), (weights * log_p.exp()).sum(2).detach()
        excess = weights * (below - (weights * below).sum(2, keepdim=True))
        of_weights = torch.einsum("...ki,...kj->...ij", excess, slope.to(excess.dtype))
        jacobian = torch.tril(of_weights, -1) + torch.diag_embed(density)
        moved = (level - level.detach())[..., None]
        return -torch.linalg.solve_triangular(jacobian, moved, upper=False)[..., 0]

    def _check(self) -> None:
        check_floating("logits", self.logits, "n k", "one row per datum")
        for leaf in trees.leaves(self.components):
            if leaf.shape[:2] != self.logits.shape:
                raise ValueError(
                    f"expected components with fields {tuple(self.logits.shape)} first as logits, "
                    f"got {tuple(leaf.shape)}: stack k of them on the axis after the data"
                )


def _samples(components: Distribution, noise: Noise) -> Event:
    """Of every component, (s, n, k, *event)."""
    return vmap(lambda q: q.sample(noise), in_dims=1, out_dims=2)(components)


def _picked(t: Tensor, picked: Tensor) -> Tensor:
    """The chosen of (s, n, k, *event)."""
    return torch.where(picked.reshape(*picked.shape, *[1] * (t.ndim - 3)), t, 0.0).sum(2)


def _by_dimension(q: Distribution, z: Tensor) -> Tensor:
    """log p of each of independent dimensions, (s, n, d): each is an event of its own."""
    return trees.map(lambda t: t[..., None], q).log_prob(z[..., None])

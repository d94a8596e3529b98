"""Mixtures of one continuous family."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import vjp, vmap
from torch.nn import functional as F

from jensen.core import keys, trees
from jensen.core.bijections import Real
from jensen.core.checks import check_floating
from jensen.core.contracts import (
    Bijection,
    Cdf,
    ClosedForm,
    Constrained,
    Distribution,
    Event,
    Key,
    Marginal,
    Noise,
    can,
)
from jensen.core.distributions._draw import sample_then_log_prob
from jensen.core.distributions.shapes import check_value, noise_shape
from jensen.core.distributions.uniform import inside
from jensen.core.numerics import at_least_float32, log_sum_exp, softmax

FEW = 8  # dimensions that are solved for one after another


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
        z = self._chosen(noise)
        return z + self._path(*self._marginals(z)).to(z.dtype) if self.reparameterised else z

    def sample_and_log_prob(self, noise: Noise, /) -> tuple[Event, Float[Tensor, "s n"]]:
        """The sample of this noise and its log density, in nats per datum; of `Marginal` components in one pass."""
        if not can(self.components, Marginal):
            return sample_then_log_prob(self, noise)
        self._check()
        z = self._chosen(noise)
        log_p, below, slope = self._marginals(z)
        path = self._path(log_p, below, slope)
        joint = torch.log_softmax(at_least_float32(self.logits), -1) + log_p.sum(-1)
        pull = (softmax(joint.detach(), -1)[..., None] * slope).sum(2)
        return z + path.to(z.dtype), log_sum_exp(joint, -1) + (pull * path).sum(-1)

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
        if can(self.components, Marginal):
            check_value(z, trees.leaves(self.components)[0][:, 0])
            each = self.components.log_prob(z[..., None, :].expand(*z.shape[:-1], self.logits.shape[-1], -1))
        else:
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

    def _chosen(self, noise: Noise) -> Event:
        """The sample, without a gradient."""
        below = torch.softmax(at_least_float32(self.logits), -1).detach().cumsum(-1)[..., :-1]
        choice = (inside(noise["choice"])[..., None] >= below).sum(-1)  # (s, n)
        data = torch.arange(choice.shape[1], device=choice.device)
        chosen = trees.map(lambda t: t[data, choice].flatten(0, 1), trees.stop(self.components))
        z = chosen.sample(trees.map(lambda t: t.flatten(0, 1)[None], noise["component"]))
        return trees.map(lambda t: t[0].unflatten(0, choice.shape), z)

    def _marginals(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Those of `contracts.Marginal` of every component, (s, n, k, d); of others each dimension is a row."""
        z, components = z[:, :, None].expand(-1, -1, self.logits.shape[-1], -1), self.components
        if can(components, Marginal):
            return components.marginals(z)
        rows = trees.map(lambda t: t.flatten().unsqueeze(-1), components)

        def each(f: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
            return f(z.flatten(1).unsqueeze(-1)).reshape(z.shape)

        log_p, pull, *_ = vjp(lambda z: each(rows.log_prob, z), z)
        return log_p, each(rows.cdf, z), pull(torch.ones_like(log_p))[0].detach().to(log_p.dtype)

    def _path(self, log_p: Tensor, below: Tensor, slope: Tensor) -> Tensor:
        """0, with the implicit gradient."""
        log_weights = torch.log_softmax(at_least_float32(self.logits), -1)[..., None]
        log_weights = log_weights + F.pad(log_p[..., :-1].cumsum(-1), (1, 0))
        weights, fixed = softmax(log_weights.detach(), 2), below.detach()
        excess = weights * (fixed - (weights * fixed).sum(2, keepdim=True))
        density = (weights * log_p.detach().exp()).sum(2)
        level = (weights * below + excess * log_weights).sum(2)  # of the right slopes
        moved = level.detach() - level
        return _solved(excess, slope, density, moved)

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


def _solved(excess: Tensor, slope: Tensor, density: Tensor, moved: Tensor) -> Tensor:
    """J^-1 moved, with J_ij = sum_k excess_ki slope_kj below the diagonal and density_i on it; `moved` (s, n, d)."""
    d = moved.shape[-1]
    if d > FEW:
        jacobian = torch.diagonal_scatter(excess.mT @ slope, density, dim1=-2, dim2=-1)
        return torch.linalg.solve_triangular(jacobian, moved[..., None], upper=False)[..., 0]
    path, before = [], torch.zeros_like(excess[..., 0])
    for i in range(d):
        path.append((moved[..., i] - (excess[..., i] * before).sum(-1)) / density[..., i])
        before = before + slope[..., i] * path[i][..., None]
    return torch.stack(path, -1)

"""Distributions over several named latents, of which later ones may depend on earlier ones."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils import _pytree as pytree

from jensen.core import keys, trees
from jensen.core.bijections import Named, Real
from jensen.core.checks import check_count, check_distribution, check_floating, check_function, check_key, described
from jensen.core.contracts import Bijection, Constrained, Distribution, Key, Noise, can
from jensen.core.distributions._draw import sample_and_log_prob
from jensen.core.distributions.support import moved_inside, some_value, zero_density
from jensen.core.trees import Params, Static, Tree

Latents: TypeAlias = dict[str, Tree]  # name -> (s, n, *event)
Part: TypeAlias = "Distribution | Given"


@dataclass(frozen=True)
class Given:
    """A distribution that depends on earlier latents: condition(params, z), z what was drawn before it.

    `condition` is a pure function of both, onto a distribution with a row per sample and datum, fields (s, n, ...).
    `params` are a part of the tree and `condition` is not; a tensor that condition encloses has no gradient that
    `trees.stop` could remove.
    """

    params: Params
    condition: Callable[[Params, Tree], Distribution]

    def __call__(self, z: Tree, /) -> Distribution:
        """The distribution given z."""
        check_function("condition", self.condition, "lambda params, z: Bernoulli(z @ params['weight'])")
        q = self.condition(self.params, z)
        check_distribution("condition(params, z)", q)
        return q


class Joint:
    """The product of q(latent | latents before it), in the order of the arguments: z is a dict of the same names.

        q = Joint(c=Categorical(logits), z=Given(params, lambda params, earlier: DiagNormal(...)))
        q.sample(q.noise(key, s))  # {"c": (s, n, d, k), "z": (s, n, d)}

    The latents may be of different families, continuous and discrete: `gradients.mixed` gives each of them its own
    gradient estimator. log_prob evaluates every condition at the z of its argument, so that `trees.stop(q)` detaches
    parameters alone and the path through earlier latents remains.

    Support       the product of the latents' supports, of continuous ones by `bijection`
    Noise         a dict of the latents' noise, (s, n, ...) each
    Closed forms  none
    """

    def __init__(self, /, **latents: Part) -> None:
        if not latents:
            raise ValueError(
                "expected latents by name, got none: write Joint(c=Categorical(logits), z=Given(params, f))"
            )
        for i, (name, part) in enumerate(latents.items()):
            if isinstance(part, Given) and not i:
                raise TypeError(
                    f"expected {name}, the first latent, to be a distribution, got a Given: nothing precedes it"
                )
        self.latents = latents

    @property
    def reparameterised(self) -> bool:
        """Whether every latent is; those given others are asked at one draw."""
        draw = self.noise(keys.key(0, self._device()), 1)
        return all(q.reparameterised for q in self.conditionals(draw).values())

    def noise(self, key: Key, s: int, /) -> dict[str, Noise]:
        """Each latent's noise for s samples, of a key of its own."""
        check_key(key)
        s, noise, z = check_count("s", s), {}, {}
        for i, (name, part) in enumerate(trees.stop(self).latents.items()):
            q = at(part, z)
            noise[name] = _alone(part, q).noise(keys.fold_in(key, i), s)
            z[name] = q.sample(_first_sample(noise[name]))
        return noise

    def sample(self, noise: Mapping[str, Noise], /) -> Latents:
        """Each latent given those before it; differentiable where it is reparameterised."""
        self._check("noise", noise)
        z: Latents = {}
        for name, part in self.latents.items():
            z[name] = at(part, z).sample(noise[name])
        return z

    def sample_and_log_prob(self, noise: Mapping[str, Noise], /) -> tuple[Latents, Float[Tensor, "s n"]]:
        """The sample of this noise and its log density, in nats per datum, in one pass through the conditions."""
        self._check("noise", noise)
        z: Latents = {}
        terms = []
        for name, part in self.latents.items():
            z[name], log_q = sample_and_log_prob(at(part, z), noise[name])
            terms.append(log_q)
        return z, torch.stack(terms).sum(0)

    def log_prob(self, z: Latents, /) -> Float[Tensor, "s n"]:
        """sum log q(latent | latents before it) in nats per datum: (s, n)."""
        self._check("z", z)
        terms, never, earlier = [], [], {}
        for name, part in self.latents.items():
            q = at(part, earlier)
            log_q = q.log_prob(z[name])
            outside = log_q.detach() == -torch.inf
            earlier[name] = _inside(q, z[name], outside)
            terms.append(log_q)
            never.append(outside)
        return zero_density(torch.stack(terms).sum(0), torch.stack(never).any(0))

    def conditionals(self, noise: Mapping[str, Noise], /) -> dict[str, Distribution]:
        """Each latent's distribution given the first sample of those before it, with fields (n, ...), detached."""
        self._check("noise", noise)
        found, z = {}, {}
        for name, part in trees.stop(self).latents.items():
            q = at(part, z)
            found[name] = _alone(part, q)
            z[name] = q.sample(_first_sample(noise[name]))
        return found

    def bijection(self) -> Bijection:
        """Onto the latents' supports by name, from one vector.

        TypeError for a discrete latent, for one whose support is a function of its fields, which moves with the latents
        before, and for events of several axes.
        """
        draw = self.noise(keys.key(0, self._device()), 1)
        z, parts, free = self.sample(draw), {}, []
        for name, q in self.conditionals(draw).items():
            parts[name] = onto_support(name, q)
            u, _ = parts[name].inverse(z[name])
            if u.ndim != 3:
                raise TypeError(f"expected {name} with an event of one axis, got {tuple(u.shape[2:])}: flatten it")
            free.append(u.shape[-1])
        return Named(parts, Static(tuple(free)))

    def _device(self) -> torch.device:
        return next((t.device for t in trees.leaves(self)), torch.device("cpu"))

    def _check(self, what: str, given: object) -> None:
        if not isinstance(given, Mapping):
            names = ", ".join(self.latents)
            raise TypeError(
                f"expected {what}, a dict of the latents {names}, got {described(given)}: see q.noise(key, s)"
            )
        trees.check_keys(given, self.latents, f"the latents of {what}")
        for name, each in given.items():
            for leaf in trees.leaves(each):
                check_floating(f"{what}[{name!r}]", leaf, "s n *event")


def onto_support(name: str, q: Distribution) -> Bijection:
    """The bijection of a latent's support, which does not move with the latents before it."""
    kind = type(q).__name__
    if not q.reparameterised:
        raise TypeError(f"expected {name} continuous, got {kind}: no bijection maps real numbers onto its values")
    part = q.bijection() if can(q, Constrained) else Real()
    if trees.leaves(part):
        onto = type(part).__name__.lower()
        raise TypeError(f"expected {name} with a support that is no function of the fields, got {kind} on an {onto}")
    return part


def at(part: Part, z: Tree) -> Distribution:
    """The distribution of a latent given those before it."""
    return part(z) if isinstance(part, Given) else part


def _alone(part: Part, q: Distribution) -> Distribution:
    """q, of one sample's fields (1, n, ...) if it is given others, with fields (n, ...).

    What all samples share, such as a flow's weights, stays.
    """
    return trees.map(lambda t: t[0] if t.ndim and len(t) == 1 else t, q) if isinstance(part, Given) else q


def _first_sample(noise: Noise) -> Noise:
    return trees.map(lambda t: t[:1], noise)


def _inside(q: Distribution, z: Tree, outside: Tensor) -> Tree:
    """z with a value of q's support in the rows that are outside it, so that what depends on z has one to depend on."""
    if not isinstance(z, Tensor):
        return z
    return moved_inside(z, outside, some_value(z, q.bijection()) if can(q, Constrained) else 0.0)


def _entry(key: Any, child: Tree) -> tuple[Any, Tree]:
    return key, child


pytree.register_pytree_node(
    Given,
    lambda given: ([given.params], given.condition),
    lambda children, condition: Given(next(iter(children)), condition),
    flatten_with_keys_fn=lambda given: ([_entry(pytree.GetAttrKey("params"), given.params)], given.condition),
)
pytree.register_pytree_node(
    Joint,
    lambda joint: (list(joint.latents.values()), tuple(joint.latents)),
    lambda children, names: Joint(**dict(zip(names, children, strict=True))),
    flatten_with_keys_fn=lambda joint: (
        [_entry(pytree.MappingKey(name), part) for name, part in joint.latents.items()],
        tuple(joint.latents),
    ),
)

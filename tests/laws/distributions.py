"""Laws of every distribution: noise by key, data that do not mix, a density that is that of the samples.

Monte Carlo means are tested in standard errors, sequentially: see `assertions.mean_is_exact`, which fails by chance
with probability 7e-6 per component. Fields whose first axis is n have one row per datum; others are shared.
"""

import math
from collections.abc import Callable
from typing import TypeVar, cast

import torch
from torch import Tensor
from torch.func import grad, vmap

from jensen.core import keys, trees
from jensen.core.contracts import ClosedForm, Constrained, Distribution, Event
from jensen.core.distributions import Bernoulli, DiagNormal
from jensen.laws._law import law, spoiled
from jensen.laws.assertions import mean_is_exact
from jensen.laws.regions import boxes, flat, is_discrete, values
from jensen.laws.transforms import compiled

Q = TypeVar("Q", bound=Distribution)
KEY = keys.key(20)
ZERO = torch.zeros((), dtype=torch.float64)


def example(seed: int, *shape: int) -> Tensor:
    return keys.normal(keys.key(seed), shape, torch.float64)


NORMAL = DiagNormal(example(1, 2, 3), 0.3 * example(2, 2, 3))
COINS = Bernoulli(example(3, 2, 3))


def data(q: Distribution) -> int:
    """The number of data, n."""
    return trees.leaves(q.noise(KEY, 1))[0].shape[1]


def rows(q: Q, start: int) -> Q:
    """The distribution of the data from `start` on."""
    n = data(q)
    return trees.map(lambda t: t[start:] if t.ndim and t.shape[0] == n else t, q)


def partner(q: Q, n: int) -> Q:
    """Another member of the family: each of the n data has its neighbour's row."""
    return trees.map(lambda t: t.roll(1, 0) if t.ndim and t.shape[0] == n else t, q)


def per_sample(f: Callable[[Q, Event], Tensor], q: Q, each: Event) -> Tensor:
    """The gradient of f(q, each sample with its axis of length 1) in q's fields: (s, all fields)."""
    vector, unravel = trees.ravel(q)

    def one(sample: Event) -> Tensor:
        alone = trees.map(lambda t: t[None], sample)
        return grad(lambda v: f(unravel(v), alone).sum())(vector)

    return vmap(one)(each)


@law("distribution", planted=lambda: [spoiled(NORMAL, log_prob=lambda q, z: DiagNormal.log_prob(q, z).sum(-1))])
def shapes(q: Distribution) -> None:
    """noise (s, n, …), sample (s, n, *event) and log_prob (s, n) without NaN, for one sample as for several."""
    for s in (1, 3):
        noise = q.noise(KEY, s)
        z = q.sample(noise)
        n = data(q)
        for leaf in trees.leaves((noise, z)):
            assert leaf.shape[:2] == (s, n), f"expected ({s}, {n}, ...), got {tuple(leaf.shape)}"
        log_q = q.log_prob(z)
        assert log_q.shape == (s, n), f"expected log_prob ({s}, {n}), got {tuple(log_q.shape)}"
        assert not log_q.isnan().any(), log_q


@law("distribution", planted=lambda: [spoiled(NORMAL, sample=lambda q, e: q.loc + e + torch.randn_like(e))])
def sample_is_a_function_of_noise(q: Distribution) -> None:
    """The same noise gives the same sample, bit for bit."""
    noise = q.noise(KEY, 4)
    assert torch.equal(flat(q.sample(noise)), flat(q.sample(noise))), "one noise gives two samples"


def _restarted(q: DiagNormal, key: Tensor, s: int) -> Tensor:
    """Noise of the key's seed alone, whatever its particle and datum."""
    return torch.randn((s, *q.loc.shape), generator=torch.Generator().manual_seed(int(key[0])), dtype=q.loc.dtype)


@law("distribution", planted=lambda: [spoiled(NORMAL, noise=_restarted)])
def noise_is_of_key_particle_and_datum(q: Distribution) -> None:
    """noise(key, s)[a:, u:] = noise(at(key, particle=a, datum=u), s - a) of the data from u on; no two keys agree."""
    whole = flat(q.noise(KEY, 4))
    assert torch.equal(whole[1:], flat(q.noise(keys.at(KEY, particle=1), 3))), "particles"
    if data(q) > 1:
        assert torch.equal(whole[:, 1:], flat(rows(q, 1).noise(keys.at(KEY, datum=1), 4))), "data"
        assert not torch.equal(whole[:, 0], whole[:, 1]), "two data share their noise"
    assert not torch.equal(whole[0], whole[1]), "two samples share their noise"
    assert not torch.equal(whole, flat(q.noise(keys.fold_in(KEY, 1), 4))), "two keys share their noise"


@law(
    "distribution",
    planted=lambda: [
        spoiled(NORMAL, log_prob=lambda q, z: DiagNormal.log_prob(q, z) + q.loc.mean()),
        spoiled(NORMAL, sample=lambda q, e: q.loc - q.loc.mean(0) + e),
    ],
)
def data_do_not_mix(q: Distribution) -> None:
    """The samples and densities of a datum are those it has alone."""
    noise, n = q.noise(KEY, 3), data(q)
    z = q.sample(noise)
    alone = rows(q, n - 1)
    last = trees.map(lambda t: t[:, n - 1 :], (noise, z))
    torch.testing.assert_close(flat(alone.sample(last[0])), flat(last[1]), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(alone.log_prob(last[1]), q.log_prob(z)[:, n - 1 :], rtol=1e-9, atol=1e-9)


@law(
    "distribution",
    planted=lambda: [
        spoiled(NORMAL, log_prob=lambda q, z: DiagNormal.log_prob(q, z) + 0.3),  # not normalised
        spoiled(NORMAL, log_prob=lambda q, z: DiagNormal(q.loc, q.log_scale + 0.5).log_prob(z)),
        spoiled(COINS, log_prob=lambda q, z: Bernoulli.log_prob(q, 1 - z)),
    ],
)
def density_is_that_of_samples(q: Distribution) -> None:
    """P(z in A) = integral of exp(log_prob) over A, for boxes A of all components; or P(z = v) for values v."""
    found = values(q) if is_discrete(q) else boxes(q, inside=True)
    mean_is_exact(lambda key, s: found.excess(q, key, s), ZERO, KEY)


def _half_normal() -> DiagNormal:
    """|z| of a standard normal, with a density on the other side too."""
    return spoiled(
        DiagNormal(*torch.zeros(2, 2, 1, dtype=torch.float64)),
        sample=lambda q, e: e.abs(),
        log_prob=lambda q, z: DiagNormal.log_prob(q, z) + math.log(2),
    )


@law(
    "distribution",
    planted=lambda: [_half_normal(), spoiled(COINS, log_prob=lambda q, z: Bernoulli.log_prob(q, z).abs())],
)
def nothing_lies_outside(q: Distribution) -> None:
    """Beyond the samples' range there is as much density as samples: outside the support log_prob is -inf, never NaN.

    The most frequent values of a discrete distribution have a mass of at most 1.
    """
    if is_discrete(q):
        mass = q.log_prob(values(q).values).exp()
        assert (mass <= 1 + 1e-6).all(), mass
        return
    mean_is_exact(lambda key, s: boxes(q, inside=False).excess(q, key, s), ZERO, KEY)


@law(
    "distribution",
    planted=lambda: [
        spoiled(NORMAL, log_prob=lambda q, z: DiagNormal(q.loc, q.log_scale.detach()).log_prob(z)
                + q.log_scale.sum(-1)),
        spoiled(COINS, log_prob=lambda q, z: (z * q.logits).sum(-1)),
    ],
)  # fmt: skip
def score_has_mean_zero(q: Distribution) -> None:
    """E_q[grad log q(z)] = 0 in every field: what score-function gradients rest on."""

    def draw(key: Tensor, s: int) -> Tensor:
        z = trees.stop(q.sample(q.noise(key, s)))
        return per_sample(lambda q, z: q.log_prob(z), q, z)

    mean_is_exact(draw, ZERO, KEY)


@law(
    "distribution",
    planted=lambda: [
        spoiled(NORMAL, sample=lambda q, e: q.loc + q.log_scale.exp().detach() * e),
        spoiled(COINS, sample=lambda q, u: (u < q.logits.sigmoid()).double() + q.logits.sigmoid()
                - q.logits.sigmoid().detach()),  # straight through: no derivative of any expectation
    ],
)  # fmt: skip
def path_has_the_gradient_of_the_expectation(q: Distribution) -> None:
    """grad E_q[f(z)] = E[grad f(sample(noise))] = E_q[f(z) grad log q(z)] where reparameterised, else no path."""

    def value(z: Event) -> Tensor:
        return torch.sin(flat(z)).sum(-1)

    def difference(q: Distribution, noise: Event) -> Tensor:
        z = q.sample(noise)
        return value(z) - value(z).detach() * q.log_prob(trees.stop(z))

    if q.reparameterised:
        mean_is_exact(lambda key, s: per_sample(difference, q, q.noise(key, s)), ZERO, KEY)
    else:
        path = per_sample(lambda q, noise: value(q.sample(noise)), q, q.noise(KEY, 4))
        assert (path == 0).all(), "a sample that is not reparameterised has a gradient"


def everything(q: Distribution, noise: Event, closed: bool) -> Tensor:
    """Samples and every function of q, as one vector; `closed` says whether q is a `ClosedForm`."""
    z, n = q.sample(noise), trees.leaves(noise)[0].shape[1]
    found = [flat(z).sin(), q.log_prob(trees.stop(z))]
    if closed:
        q = cast(ClosedForm, q)
        found += [q.entropy(), q.kl(partner(q, n)), *trees.leaves(q.mean())]
    return torch.cat([t.reshape(-1) for t in found])


def _branches(q: DiagNormal, z: Tensor) -> Tensor:
    return DiagNormal.log_prob(q, z) if z.max() > 0 else DiagNormal.log_prob(q, 1 * z)


@law("distribution", planted=lambda: [spoiled(NORMAL, log_prob=_branches)])
def transforms_agree(q: Distribution) -> None:
    """Gradients mapped by vmap, or compiled as one graph, are what eager calls give."""
    vector, unravel = trees.ravel(q)
    noise, closed = q.noise(KEY, 2), isinstance(q, ClosedForm)  # asked before: a graph cannot ask a property
    weights = torch.linspace(-1, 2, len(everything(q, noise, closed)), dtype=vector.dtype)

    def gradient(v: Tensor, noise: Event) -> Tensor:
        return grad(lambda v: (weights * everything(unravel(v), noise, closed)).sum())(v)

    batch, both = torch.stack([vector, 0.9 * vector]), trees.map(lambda t: torch.stack([t, t.flip(0)]), noise)
    eager = torch.stack([gradient(batch[i], trees.map(lambda t, i=i: t[i], both)) for i in range(2)])
    torch.testing.assert_close(vmap(gradient)(batch, both), eager, rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(compiled(gradient)(vector, noise), eager[0], rtol=1e-7, atol=1e-7)


@law("distribution", planted=lambda: [spoiled(NORMAL, log_prob=lambda q, z: -((z - q.loc) ** 2).sum(-1))])
def half_precision(q: Distribution) -> None:
    """Densities of float16 and bfloat16 fields come in float32, as close to those in float64 as the fields allow."""
    for dtype in (torch.float16, torch.bfloat16):
        low = trees.map(lambda t, dtype=dtype: t.to(dtype), q)
        z = low.sample(low.noise(KEY, 4))
        wide, found = trees.map(lambda t: t.double(), low), low.log_prob(z)
        exact = wide.log_prob(_inside(wide, trees.map(lambda t: t.double(), z)))
        assert found.dtype == torch.float32, f"expected log_prob in float32 for {dtype}, got {found.dtype}"
        torch.testing.assert_close(found.double(), exact, rtol=0.02, atol=0.05)


def _inside(q: Distribution, z: Event) -> Event:
    """z on the support of a wider type, where rounded shares may sum to 1 no longer."""
    if is_discrete(q) or not isinstance(q, Constrained):
        return z
    onto = q.bijection()
    return onto.forward(onto.inverse(z)[0])[0]

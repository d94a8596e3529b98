"""An estimator for each latent of a joint posterior, of whatever kinds they are.

Approximates  grad E_q[bound(log_w)], log_w = log p(x, z) - log q(z | x), q = prod_i q(z_i | z_<i)
With          for an additive bound, of which exact latents are summed inside,
              sum_s u_s (sum_c q(c) f_sc + sum_i sum_c q(c) (f_sc - b_is) log q(z_isc)), f = log_w;
              for others, with log_w_s = log sum_c exp(log p - log q of the latents that are not exact),
              bound(log_w) + sum_s sum_i (bound - b_is) log q(z_is), in which i runs over the latents by `score`,
              every log q of bound(log_w) has its gradient, but for those by `stl` and `dreg`, and the paths of
              latents by `dreg` are multiplied by dreg's coefficients and the branch's share of w_s
Requires      a `Joint`; of each latent what its estimator requires
Unbiased when each estimator is, for the bound at this number of samples; for a bound that is not additive an exact
              latent is summed out, so that its own parameters have no part in the bound and their gradient is 0
Cost          one evaluation of log_p per row of noise: samples times the values of the exact latents
Reference     Schulman et al., 2015, for the score of what is drawn before; Tucker et al., 2019, and Bauer and Mnih,
              2021, for `dreg`; Liu et al., 2019, for `exact`
"""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from jensen.core import bounds, trees
from jensen.core.checks import check_distribution, described
from jensen.core.contracts import Bound, Distribution, Enumerable, LogDensity, Noise, can
from jensen.core.distributions import Given, Joint
from jensen.core.distributions.joint import Latents, Part, at
from jensen.core.numerics import log_sum_exp
from jensen.core.ops import path_scale
from jensen.core.trees import Tree
from jensen.estimators.gradients.baselines import Baseline
from jensen.estimators.gradients.contract import (
    additive,
    apply_bound,
    carry,
    check_density,
    density,
    difference,
    first,
    sample_with_density,
    sample_with_path,
    sample_with_score,
    shares,
    sizes,
    weighted,
)
from jensen.estimators.gradients.enumeration import support
from jensen.estimators.gradients.treatments import Treatment, check_bounds, treatments


def mixed(
    log_p: LogDensity,
    q: Joint,
    noise: Mapping[str, Noise],
    /,
    *,
    how: Mapping[str, Callable[..., Tensor]],
    bound: Bound = bounds.elbo,
) -> Float[Tensor, " n"]:
    """bound(log_w) in nats per datum, (n,), with the gradient that `how` names for each latent of q.

        how = {"c": partial(score, baseline=baselines.leave_one_out), "z": stl}
        value = mixed(log_p, q, q.noise(key, s), how=how)

    log_p takes the dict of latents, (s, n, *event) each, to (s, n). `how` has one of `pathwise`, `stl`, `dreg`,
    `score`, `exact`, `straight_through` and `gumbel_straight_through` for each latent, with its baseline or temperature
    by functools.partial; a baseline of `score` gets the joint's log weights. For an additive bound `dreg` is `stl`.

    Noise has a row for every evaluation of log_p. Where exact latents have m values together, these are the m
    branches of each of s samples, with noise of their own in later latents: draw q.noise(key, m * s).

    The bound is one from below for every choice that is unbiased. With relaxed latents its value is that of the
    discrete ones, as for `straight_through` alone.

    KeyError for a latent without an estimator, TypeError for one whose latent does not fit, ValueError for rows of
    noise that are no multiple of m, for `stl` of a bound that is not additive, and for `dreg` of a latent that a
    discrete one is drawn given, which would be biased.
    """
    check_distribution("q", q)
    if not isinstance(q, Joint):
        raise TypeError(f"expected q, a Joint of named latents, got {described(q)}: use pathwise, stl, dreg or score")
    conditionals = q.conditionals(noise)
    each = treatments(q, how, conditionals)
    rows, n = sizes(noise)
    exact = {name: q_i for name, q_i in conditionals.items() if each[name].name == "exact"}
    values = {name: support("exact", q_i)[0] for name, q_i in exact.items() if can(q_i, Enumerable)}
    branches = math.prod([len(each) for each in values.values()])
    s, left = divmod(rows, branches)
    if left:
        raise ValueError(
            f"expected noise with {branches} rows per sample, for the values of {', '.join(values)}, got {rows} rows: "
            f"draw q.noise(key, {branches} * s)"
        )
    check_bounds(q, each, conditionals, bound, s, n)
    return bounds.choose(
        additive(bound, first(noise).new_zeros(s, n)),
        lambda: _of_terms(log_p, q, _draw(q, noise, each, values, s, several=False), bound),
        lambda: _of_all(log_p, q, _draw(q, noise, each, values, s, several=True), bound),
    )


class _Draws(NamedTuple):
    """What one pass through the latents leaves. Rows are branches by samples; m branches of one latent repeat to M."""

    z: Latents  # (M s, n, *event) each
    log_q: list[Tensor]  # (m, s, n) each, of the latents that are not exact
    log_mass: Tensor  # (M, s, n) of the exact latents
    scores: list[tuple[Baseline, Tensor]]  # (m, s, n)
    paths: list[tuple[Tensor, Tensor]]  # the zeros of `path_scale`, (m, s, n)


def _draw(
    q: Joint, noise: Mapping[str, Noise], how: Mapping[str, Treatment], values: Latents, s: int, several: bool
) -> _Draws:
    """Every latent in turn; `several` for a bound that is not additive."""
    n = sizes(noise)[1]
    z, log_q, log_mass, scores, paths = {}, [], first(noise).new_zeros(1, s, n), [], []
    for name, part in q.latents.items():
        given, treatment, m = at(part, z), how[name], len(log_mass)
        if name in values:
            log_mass = _masses(given, values[name], m * s if isinstance(part, Given) else 1) + log_mass.reshape(-1, n)
            log_mass = log_mass.reshape(-1, s, n)
            z = {earlier: _repeated(each, len(values[name])) for earlier, each in z.items()}
            z[name] = values[name].repeat_interleave(m * s, 0)
            continue
        own = _leading(noise[name], m * s)
        if treatment.name == "pathwise":
            z[name], log_density = sample_with_density(given, own)
        elif treatment.name == "score":
            value, attached = sample_with_score(given, own)
            scores.append((treatment.baseline, attached.reshape(m, s, n)))
            log_density = attached if several else _detached(part, z, attached, value)
            z[name] = value
        else:
            doubly = treatment.name == "dreg" and several
            value, log_q_of, zeros = _along_path(part, given, own, z, doubly)
            if doubly:
                paths.append(tuple(zero.reshape(m, s, n) for zero in zeros))
            z[name] = treatment.relaxed(given, value, own)
            log_density = log_q_of(z[name])
        log_q.append(log_density.reshape(m, s, n))
    return _Draws(z, log_q, log_mass, scores, paths)


def _detached(part: Part, z: Latents, log_q: Tensor, value: Tree) -> Tensor:
    """log q of the value with its parameters detached, and not the latents before it."""
    return at(trees.stop(part), z).log_prob(value) if isinstance(part, Given) else log_q.detach()


def _masses(q: Distribution, values: Tree, rows: int) -> Float[Tensor, "m rows n"]:
    """log q of each value, in each row of q's fields."""
    return q.log_prob(trees.map(lambda t: t[:, None].expand(-1, rows, *t.shape[1:]), values))


def _leading(noise: Noise, rows: int) -> Noise:
    return trees.map(lambda t: t[:rows], noise)


def _repeated(z: Tree, m: int) -> Tree:
    """m branches of z, one after the other."""
    return trees.map(lambda t: t.repeat(m, *[1] * (t.ndim - 1)), z)


def _along_path(
    part: Part, given: Distribution, noise: Noise, z: Latents, doubly: bool
) -> tuple[Tree, Callable[[Tree], Tensor], tuple[Tensor, ...]]:
    """A sample, log q as a function of it with parameters detached, and the zeros of `path_scale` if `doubly`.

    Of a latent given others, the path through its own parameters is scaled: that through earlier ones is theirs to
    scale.
    """
    if not isinstance(part, Given):
        value, log_q = sample_with_path(given, noise)
        value, *zeros = path_scale(value) if doubly else (value,)
        return value, log_q, tuple(zeros)
    fixed = trees.stop(part)(z)
    if not doubly:
        return given.sample(noise), fixed.log_prob, ()
    own, *zeros = path_scale(part(trees.stop(z)).sample(noise))
    return trees.map(lambda a, b: a + carry(b), own, fixed.sample(noise)), fixed.log_prob, tuple(zeros)


def _of_terms(log_p: LogDensity, q: Joint, draws: _Draws, bound: Bound) -> Float[Tensor, " n"]:
    """An additive bound: the weighted mean of each sample's term, the expectation of f over the branches."""
    f = _log_weights(log_p, draws) - draws.log_mass
    mass = draws.log_mass.exp().expand_as(f)
    terms = weighted(mass, f)
    share = shares(bound, terms)
    value, surrogate = apply_bound(bound, terms.detach()), weighted(share, terms)
    for baseline, log_q in draws.scores:
        b = _checked(baseline, bound, terms, q, draws)
        signal = share * mass.detach() * torch.where(value == -torch.inf, 0.0, difference(f.detach(), b.expand_as(f)))
        surrogate = surrogate + (_by_latent(signal, log_q) * log_q).sum((0, 1))
    return value + carry(surrogate)


def _of_all(log_p: LogDensity, q: Joint, draws: _Draws, bound: Bound) -> Float[Tensor, " n"]:
    """Any other bound, of one weight per sample: the sum over its branches."""
    of_branches = _log_weights(log_p, draws)
    log_w = log_sum_exp(of_branches, 0)
    value, surrogate = apply_bound(bound, log_w), torch.zeros_like(log_w[0])
    if draws.paths:
        u, path = bounds.derivatives(bound, log_w.detach())
        value, surrogate = value.detach(), weighted(u, log_w)
        factor = path * torch.exp(difference(of_branches, log_w.expand_as(of_branches)))
        for first, second in draws.paths:
            surrogate = surrogate + (_by_latent(factor.detach(), first) * first + second).sum((0, 1))
    for baseline, log_q in draws.scores:
        b = _checked(baseline, bound, log_w, q, draws)
        signal = torch.where(value == -torch.inf, 0.0, value - b).detach()
        surrogate = surrogate + (signal * log_q.sum(0)).sum(0)
    return value + carry(surrogate)


def _log_weights(log_p: LogDensity, draws: _Draws) -> Float[Tensor, "M s n"]:
    """log p less log q of the latents that are not exact."""
    total = density(log_p, draws.z).reshape(draws.log_mass.shape)
    for log_q in draws.log_q:
        total = total - log_q.repeat(len(total) // len(log_q), 1, 1)
    return total


def _by_latent(t: Float[Tensor, "M s n"], like: Float[Tensor, "m s n"]) -> Float[Tensor, "m s n"]:
    """The sum over the branches of latents after this one, which have one draw of it."""
    return rearrange(t, "(later m) s n -> later m s n", m=len(like)).sum(0)


def _checked(
    baseline: Baseline, bound: Bound, log_w: Float[Tensor, "s n"], q: Joint, draws: _Draws
) -> Float[Tensor, "s n"]:
    b = baseline(bound, log_w.detach(), q, draws.z)
    check_density(b, log_w.shape, "baseline(bound, log_w, q, z)")
    return b.detach()

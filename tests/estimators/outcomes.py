"""Exact means of `mixed` without Monte Carlo: every value of a coin and every node of a normal is one datum.

The right mean is the derivative of the expected bound, a sum over the same outcomes in plain formulas.
"""

from functools import partial
from itertools import product

import numpy as np
import torch
from torch.func import grad

from jensen.core import bounds, trees
from jensen.core.distributions import Bernoulli, DiagNormal, Given, Joint
from jensen.estimators import gradients as g
from jensen.laws.oracles import bernoulli_log_density, normal_log_density

F64 = torch.float64
SCALAR = partial(torch.tensor, dtype=F64)
PARAMS = {
    "theta": {"a": SCALAR(0.5), "b": SCALAR(-0.5)},
    "phi": {
        "c": {"bias": SCALAR([0.4]), "slope": SCALAR([0.9])},
        "d": {"bias": SCALAR([-0.3]), "slope": SCALAR([0.7])},
        "z": {"loc": SCALAR([0.3]), "shift": SCALAR([-0.7]), "log_scale": SCALAR([-0.1])},
        "y": {"loc": SCALAR([-0.2]), "shift": SCALAR([0.25]), "log_scale": SCALAR([-0.15])},
    },
}
X = SCALAR(0.9)


def coin(params, earlier, n):
    """q(c | what is before it)."""
    logits = params["bias"]
    for each in earlier.values():
        logits = logits + params["slope"] * torch.tanh(each - 0.2)
    return Bernoulli(logits.expand(*logits.shape[:-2], n, 1))


def normal(params, earlier, n):
    """q(z | what is before it)."""
    loc = params["loc"]
    for each in earlier.values():
        loc = loc + params["shift"] * torch.sin(1 + each)
    loc = loc.expand(*loc.shape[:-2], n, 1)
    return DiagNormal(loc, params["log_scale"].expand_as(loc))


FAMILIES = {"c": coin, "d": coin, "z": normal, "y": normal}
COINS = ("c", "d")


def joint(phi, names, n):
    """The latents in this order, each given all before it."""
    first, *later = names
    root = FAMILIES[first](phi[first], {}, n)
    return Joint(**{first: root}, **{a: Given(phi[a], partial(_given, FAMILIES[a])) for a in later})


def _given(family, params, earlier):
    return family(params, earlier, next(iter(earlier.values())).shape[-2])


def log_joint(theta, z):
    """A joint log density of whichever latents there are: coins shift and scale what the others are near."""
    total, mean = SCALAR(0.0), SCALAR(0.4)
    for name, each in z.items():
        if name in COINS:
            total = total + (0.6 * each - 0.3).sum(-1)
            mean = mean * (1 + 0.5 * each) - theta["b"] * each
        else:
            total = total + normal_log_density(each, theta["a"] * torch.tanh(mean) + 0 * each, SCALAR(0.2))
            mean = mean + theta["a"] * each
    return total + normal_log_density(X.expand_as(mean), mean, SCALAR(0.4))


def outcomes(names, exact, s, branches, nodes):
    """Every outcome of the sampled latents in s samples of several branches: values and log weights by latent.

    Values are (combinations, s, branches), and equal in all branches for a latent drawn before the exact ones; weights
    are those of the quadrature, and 0 for coins, (combinations,).
    """
    eps, weight = np.polynomial.hermite_e.hermegauss(nodes)
    of_normal = (SCALAR(eps), SCALAR(np.log(weight / np.sqrt(2 * np.pi))))
    of_coin = (SCALAR([0.0, 1.0]), SCALAR([0.0, 0.0]))
    sampled = [a for a in names if a not in exact]
    width = {a: branches if exact and names.index(a) > names.index(exact[0]) else 1 for a in sampled}
    slots = [(a, of_coin if a in COINS else of_normal) for a in sampled for _ in range(s * width[a])]
    index = torch.cartesian_prod(*[torch.arange(len(v)) for _, (v, _) in slots]).reshape(-1, len(slots))
    weights = sum(w[index[:, i]] for i, (_, (_, w)) in enumerate(slots))
    columns = [v[index[:, i]] for i, (_, (v, _)) in enumerate(slots)]
    values = {}
    for a in sampled:
        mine = torch.stack([columns[i] for i, (b, _) in enumerate(slots) if b == a], -1)
        values[a] = mine.reshape(-1, s, width[a]).expand(-1, s, branches)
    return values, weights


def expected(bound, names, s, nodes, exact=()):
    """E[bound], a function of the parameters, by a sum over all outcomes in plain formulas."""
    choices = list(product((0.0, 1.0), repeat=len(exact)))
    additive = bound is bounds.elbo or s == 1
    values, weights = outcomes(names, exact, s, len(choices), nodes)
    shared = [a for a in values if not exact or names.index(a) < names.index(exact[0])]

    def value(params):
        of_branches, chance, masses = [], weights, []
        for b, choice in enumerate(choices):
            z, log_q, mass = {}, 0.0, SCALAR(0.0)
            for a in names:
                q = FAMILIES[a](params["phi"][a], z, s)  # data are samples here
                if a in exact:
                    z[a] = torch.full((len(weights), s, 1), choice[exact.index(a)], dtype=F64)
                elif a in COINS:
                    z[a] = values[a][..., b : b + 1]
                else:
                    z[a] = q.loc + q.log_scale.exp() * values[a][..., b : b + 1]
                density = bernoulli_log_density(z[a], q.logits) if a in COINS else normal_log_density(z[a], *q)
                log_q = log_q + (0.0 if a in exact and not additive else density)
                mass = mass + (density if a in exact else 0.0)
                if a in COINS and a in values and (b == 0 or a not in shared):
                    chance = chance + density.expand(len(weights), s).sum(-1)
            of_branches.append((log_joint(params["theta"], z) - log_q).expand(len(weights), s))
            masses.append(mass.expand(len(weights), s))
        f, mass = torch.stack(of_branches), torch.stack(masses)
        each = (mass.exp() * f).sum(0).mean(-1) if additive else bound(f.logsumexp(0).T)
        return (chance.exp() * each).sum()

    return value


def estimated(how, bound, names, s, nodes, mixed=g.mixed):
    """The mean of the estimator's values, a function whose gradient is the mean estimate: combinations are data."""
    exact = [a for a in names if how[a] is g.exact]
    branches = 2 ** len(exact)
    values, weights = outcomes(names, exact, s, branches, nodes)
    n, rows = len(weights), s * branches
    table = {a: v.permute(2, 1, 0).reshape(rows, n, 1) for a, v in values.items()}
    for a in exact:  # of the conditions alone: branches differ in value, not in noise
        position = 2 ** exact.index(a)
        table[a] = (
            ((torch.arange(branches) // position) % 2).to(F64).repeat_interleave(s)[:, None, None].expand(-1, n, 1)
        )

    def noise_of(params):
        """Noise that gives each coin its value, and the log probability of those values."""
        z, noise, total = {}, {}, 0.0
        q = joint(params["phi"], names, n)
        for a, part in q.latents.items():
            given = part(z) if isinstance(part, Given) else part
            drawn = rows if exact and names.index(a) > names.index(exact[0]) else s
            if a in exact:
                noise[a], z[a] = torch.zeros(rows, n, 1, dtype=F64), table[a]
            elif a in COINS:
                z[a] = table[a]
                rarely = (z[a] == 1) != (given.logits > 0)
                noise[a] = torch.where(rarely, 0.0, 1 - 1e-9).expand(rows, n, 1)
                total = total + given.log_prob(z[a])[:drawn].sum(0)
            else:
                noise[a], z[a] = table[a], given.sample(table[a])
        return noise, total

    def value(params):
        noise, log_chance = noise_of(trees.stop(params))
        q = joint(params["phi"], names, n)
        found = mixed(partial(log_joint, params["theta"]), q, noise, bound=bound, how=how)
        return ((weights + log_chance).exp() * found).sum()

    return value


def gap(how, bound, names, s, nodes, mixed=g.mixed):
    """The largest error of the mean gradient, and that of the value."""
    exact = tuple(a for a in names if how[a] is g.exact)
    right, found = expected(bound, names, s, nodes, exact), estimated(how, bound, names, s, nodes, mixed)
    off = trees.map(lambda a, b: (a - b).abs().max(), grad(right)(PARAMS), grad(found)(PARAMS))
    return max(float(t) for t in trees.leaves(off)), abs(float(right(PARAMS) - found(PARAMS)))

"""The longitudinal VAE: repeated measures of a subject, and a conditional flow from one visit to the next.

After Chadebec and Allassonnière (2023), with noise at every step:

    z1 ~ N(0, I)    z_t = flow(u_t | z_t-1, elapsed)    u_t ~ N(loc_t, scale_t^2)
    x_t ~ N(decode(z_t), exp(log_scale)^2)

where loc_t and scale_t are functions of z_t-1 and the time elapsed. The posterior factorises over visits as the exact
one does, q(z1 | x) q(z2 | z1, x) ...: its steps have the same flow, of another N(loc, scale^2) for u_t, which knows the
observations from visit t on by an encoder of their set. So the divergence of each step has a closed form given z_t-1,
whatever the flow; and where nothing is observed from t on, q is the prior's transition.

Parameters are {"encoder": a deep set's, "first", "transition", "update", "decoder": perceptrons', "flows": a tuple of
flows, "likelihood": {"log_scale"}}.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import flows as maps
from jensen.core import keys, trees
from jensen.core.checks import check_count, check_floating, check_key, check_sizes
from jensen.core.contracts import Key
from jensen.core.distributions import DiagNormal, Given, Hierarchical, Pushforward
from jensen.core.distributions.joint import Part, at
from jensen.core.models.latent.likelihoods import GAUSSIAN
from jensen.core.models.latent.priors.standard import standard_normal
from jensen.core.models.latent.series import Inferred, Series, check_series, moments, observed_log_prob
from jensen.core.nn import deep_set, mlp
from jensen.core.trees import Params, check_keys

START = 0.1  # times its initial weights: the last layer of a transition, which starts near z_t-1


@dataclass(frozen=True)
class Longitudinal:
    """Visits in the order of their times, z (s, n, visits * latent); methods are pure functions of their parameters."""

    channels: int
    latent: int  # dimensions of a visit
    flows: int  # layers of a step's flow; 0 leaves it conditionally normal
    transition: tuple[int, ...]  # widths of the hidden layers from one visit to the next; () is linear
    decoder: tuple[int, ...]  # () is linear
    encoder: tuple[int, ...]

    def init(self, key: Key, x: Series, /) -> Params:
        """Parameters in x's dtype, with a decoder bias and a scale of training series x. ValueError as `moments`."""
        check_key(key)
        check_series(x, self.channels)
        mean, log_scale = moments(x)
        encoder_key, first_key, transition_key, update_key, flow_key, decoder_key = keys.split(key, 6)
        dtype, d, known = x.values.dtype, self.latent, self.encoder[-1]
        transition = mlp.init(transition_key, (d + 1, *self.transition, 2 * d), dtype=dtype)
        mlp.last(transition)["weight"] = START * mlp.last(transition)["weight"]
        decoder = mlp.init(decoder_key, (d, *self.decoder, self.channels), dtype=dtype)
        mlp.last(decoder)["bias"] = mean
        layers = maps.iaf(flow_key, d, self.flows, (32,), d + 1, dtype=dtype) if self.flows else ()
        return {
            "encoder": deep_set.init(encoder_key, self.channels + 1, self.encoder, known, dtype=dtype),
            "first": mlp.init(first_key, (known, 2 * d), dtype=dtype),
            "transition": transition,
            "update": mlp.init(update_key, (d + 1 + known, *self.encoder, 2 * d), dtype=dtype),
            "flows": layers,
            "decoder": decoder,
            "likelihood": {"log_scale": log_scale},
        }

    def prior(self, params: Params, times: Float[Tensor, "n m"], /) -> Hierarchical:
        """p(z1) p(z2 | z1) ... of visits at these times, with rows for n subjects."""
        _check(params)
        _check_times(times)
        first = standard_normal(params["likelihood"]["log_scale"], len(times), self.latent)
        step = {"transition": params["transition"], "flows": params["flows"]}
        return self._chain(first, [{**step, "elapsed": e} for e in _elapsed(times)])

    def posterior(self, params: Params, x: Series, /) -> Hierarchical:
        """q(z1 | x) q(z2 | z1, x) ..., of the observations in x."""
        check_series(x, self.channels)
        _check(params)
        known, seen = self._known(params, x)
        first = DiagNormal(*mlp.apply(params["first"], known[:, 0]).chunk(2, -1))
        prior = trees.map(torch.zeros_like, first)
        first = trees.map(lambda q, p: torch.where(seen[:, :1], q, p), first, prior)
        step = {name: params[name] for name in ("transition", "flows", "update")}
        steps = [
            {**step, "elapsed": elapsed, "known": known[:, t], "seen": seen[:, t : t + 1]}
            for t, elapsed in enumerate(_elapsed(x.times), 1)
        ]
        return self._chain(first, steps)

    def likelihood(self, params: Params, z: Float[Tensor, "s n d"], times: Float[Tensor, "n m"], /) -> DiagNormal:
        """p(x_t | z_t) at each visit: fields (s, n, m, c)."""
        _check(params)
        self._check(z, times)
        visits = z.unflatten(-1, (times.shape[-1], self.latent))
        return GAUSSIAN(params["likelihood"], mlp.apply(params["decoder"], visits))

    def log_joint(self, params: Params, x: Series, z: Float[Tensor, "s n d"], /) -> Float[Tensor, "s n"]:
        """log p(z1) + log p(z2 | z1) + ... + log p(x | z) of what is observed, in nats per subject."""
        check_series(x, self.channels)
        self._check(z, x.times)
        log_prior = self.prior(params, x.times).log_prob(z)
        return log_prior + observed_log_prob(self.likelihood(params, z, x.times), x)

    def infer(self, params: Params, x: Series, key: Key, s: int, /) -> Inferred:
        """p(x | z) of s samples of q(z | x) at all visits, and the KL by visit, (n, m): its mean over z_t-1."""
        q, p = self.posterior(params, x), self.prior(params, x.times)
        n, visits = x.times.shape
        noise = keys.normal(key, (check_count("s", s), n, visits, self.latent), x.values.dtype)
        z, kl = noise.new_zeros(s, n, 0), []
        for of_q, of_p, eps in zip(q.layers, p.layers, noise.unbind(-2), strict=True):
            (step, base), (_, prior) = _at(of_q, z), _at(of_p, z)
            kl.append(base.kl(prior).reshape(-1, n).mean(0))
            z = torch.cat([z, step.sample(eps)], -1)
        return Inferred(self.likelihood(params, z, x.times), torch.stack(kl, -1))

    def _check(self, z: Tensor, times: Tensor) -> None:
        _check_times(times)
        check_floating("z", z, f"s n {times.shape[-1] * self.latent}", "the visits' latents side by side")

    def _chain(self, first: DiagNormal, steps: Sequence[Params]) -> Hierarchical:
        return Hierarchical.of(*((part, self.latent) for part in (first, *(Given(p, self._step) for p in steps))))

    def _step(self, params: Params, z: Float[Tensor, "s n d"]) -> Pushforward:
        """z_t given the visits before it: the prior's, or with what is known from t on the posterior's."""
        last = z[..., -self.latent :]
        context = torch.cat([last, params["elapsed"].expand(*last.shape[:-1], 1)], -1)
        change, log_scale = mlp.apply(params["transition"], context).chunk(2, -1)
        base = DiagNormal(last + change, log_scale)
        if "update" in params:
            known = params["known"].expand(*last.shape[:-1], -1)
            update = mlp.apply(params["update"], torch.cat([context, known], -1)).chunk(2, -1)
            base = DiagNormal(*(torch.where(params["seen"], b + u, b) for b, u in zip(base, update, strict=True)))
        return Pushforward(base, (maps.Conditional(params["flows"], context),) if params["flows"] else ())

    def _known(self, params: Params, x: Series) -> tuple[Tensor, Tensor]:
        """What the encoder makes of the observations from each visit on, (n, m, e), and whether there is one."""
        n, visits = x.times.shape
        later = torch.ones(visits, visits, dtype=torch.bool, device=x.mask.device).triu() & x.mask[:, None]
        ahead = x.times[:, None] - x.times[:, :, None]
        elements = torch.cat([x.filled()[:, None].expand(n, visits, visits, -1), ahead[..., None]], -1)
        return deep_set.apply(params["encoder"], elements, later), later.any(-1)


def build(
    channels: int,
    latent: int,
    flows: int = 2,
    transition: Sequence[int] = (32,),
    decoder: Sequence[int] = (32,),
    encoder: Sequence[int] = (64, 64),
) -> Longitudinal:
    """A longitudinal VAE of that many measures at each visit."""
    encoder = check_sizes("encoder", encoder)
    if not encoder:
        raise ValueError("expected encoder of one width or more, got (): pass (64,)")
    return Longitudinal(
        check_count("channels", channels),
        check_count("latent", latent),
        check_count("flows", flows, 0),
        check_sizes("transition", transition),
        check_sizes("decoder", decoder),
        encoder,
    )


def _check_times(times: Tensor) -> None:
    check_floating("times", times, "n m", "a row per subject")


def _elapsed(times: Tensor) -> list[Tensor]:
    """Between each visit and the next: (n, 1) each."""
    return list(times.diff(dim=-1)[..., None].unbind(-2))


def _at(part: Part, z: Tensor) -> tuple[Pushforward, DiagNormal]:
    """The distribution of a visit given those before it, as a flow of a normal, and that normal."""
    step = at(part, z)
    pushed = step if isinstance(step, Pushforward) else Pushforward(step, ())
    return pushed, cast(DiagNormal, pushed.base)


def _check(params: Params) -> None:
    check_keys(params, ("encoder", "first", "transition", "update", "flows", "decoder", "likelihood"))

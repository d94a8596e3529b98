"""The latent ordinary differential equation (Chen et al., 2018; Rubanova et al., 2019), for irregular series.

    z(0) ~ N(0, I)    dz / dt = field(z)    x(t) ~ N(decode(z(t)), exp(log_scale)^2)

and q(z(0) | x) = family(encode(x)), with an encoder of the set of observations (t, x), which any number of them at any
times make, in any order; the family is one of `posteriors`. Parameters are {"encoder": a deep set's, "field" and
"decoder": perceptrons', "likelihood": {"log_scale"}, "posterior": the family's own}.

The equation is solved by equal steps on a grid that all series share, with a cubic between them: a series' states, at
times of its own, are the same alone as in a batch.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import keys, objectives
from jensen.core.checks import check_count, check_dtype, check_floating, check_key, check_number, check_sizes
from jensen.core.concrete import is_concrete
from jensen.core.contracts import Dimensional, Distribution, Key, can
from jensen.core.distributions import DiagNormal
from jensen.core.divergences import kl_per_dimension
from jensen.core.models.latent.likelihoods import GAUSSIAN
from jensen.core.models.latent.posteriors import DIAG, Posterior, check_posterior
from jensen.core.models.latent.priors.standard import standard_normal
from jensen.core.models.latent.series import Inferred, Series, check_series, moments, observed_log_prob
from jensen.core.nn import deep_set, mlp
from jensen.core.numerics import between_steps, rk4_step
from jensen.core.trees import Params, check_keys


@dataclass(frozen=True)
class LatentODE:
    """Times from 0 to `duration`; every method is a pure function of its parameters."""

    channels: int
    latent: int
    duration: float
    steps: int  # of the solver, over the duration
    field: tuple[int, ...]  # widths of dz / dt's hidden layers; () is a linear equation
    decoder: tuple[int, ...]  # () is linear
    encoder: tuple[int, ...]
    frequencies: int  # of times' cosines and sines in the encoder, up to frequencies / 2 turns over the duration
    family: Posterior

    def init(self, key: Key, x: Series, /) -> Params:
        """Parameters in x's dtype, with a decoder bias and a scale of training series x. ValueError as `moments`."""
        check_key(key)
        self._check_series(x)
        mean, log_scale = moments(x)
        encoder_key, field_key, decoder_key, posterior_key = keys.split(key, 4)
        elements, dtype = self.channels + 2 * self.frequencies * (1 + self.channels), x.values.dtype
        outputs = 2 * self.latent + self.family.extra(self.latent)
        encoder = deep_set.init(encoder_key, elements, self.encoder, outputs, dtype=dtype)
        mlp.last(encoder["all"])["weight"][2 * self.latent :] = 0
        decoder = mlp.init(decoder_key, (self.latent, *self.decoder, self.channels), dtype=dtype)
        mlp.last(decoder)["bias"] = mean
        return {
            "encoder": encoder,
            "field": mlp.init(field_key, (self.latent, *self.field, self.latent), dtype=dtype),
            "decoder": decoder,
            "likelihood": {"log_scale": log_scale},
            "posterior": self.family.init(posterior_key, self.latent, dtype),
        }

    def posterior(self, params: Params, x: Series, /) -> Distribution:
        """q(z(0) | x), with rows for n series, of the observations in x."""
        self._check_series(x)
        _check(params)
        outputs, d = deep_set.apply(params["encoder"], self._elements(x), x.mask), self.latent
        loc, log_scale, extra = outputs.split([d, d, outputs.shape[-1] - 2 * d], -1)
        return self.family(params["posterior"], DiagNormal(loc, log_scale), extra)

    def prior(self, params: Params, times: Float[Tensor, "n m"], /) -> Distribution:
        """N(0, I) with rows for n series."""
        _check(params)
        self._check_times(times)
        return self.family.prior(standard_normal(params["likelihood"]["log_scale"], len(times), self.latent))

    def states(
        self, params: Params, z: Float[Tensor, "s n d"], times: Float[Tensor, "n m"], /
    ) -> Float[Tensor, "s n m d"]:
        """z(t) of z(0) at each series' times, with an error of O(steps^-4)."""
        _check(params)
        check_floating("z", z, f"s n {self.latent}", "samples lead, then data, then latent dimensions")
        check_dtype("z", z, params["likelihood"]["log_scale"], "the parameters")
        self._check_times(times)
        step, path = self.duration / self.steps, [z]
        for i in range(self.steps):
            path.append(rk4_step(lambda z, t: mlp.apply(params["field"], z), path[-1], i * step, step))
        grid = torch.stack(path)
        of_states, of_slopes = between_steps(times, step, self.steps)
        states = torch.einsum("nmk,ksnd->snmd", of_states, grid)
        return states + torch.einsum("nmk,ksnd->snmd", of_slopes, mlp.apply(params["field"], grid))

    def likelihood(self, params: Params, z: Float[Tensor, "s n d"], times: Float[Tensor, "n m"], /) -> DiagNormal:
        """p(x(t) | z(0)) at each series' times: fields (s, n, m, c)."""
        _check(params)
        return GAUSSIAN(params["likelihood"], mlp.apply(params["decoder"], self.states(params, z, times)))

    def log_joint(self, params: Params, x: Series, z: Float[Tensor, "s n d"], /) -> Float[Tensor, "s n"]:
        """log N(z; 0, I) + log p(x | z) of what is observed, in nats per series."""
        self._check_series(x)
        log_prior = self.prior(params, x.times).log_prob(z)
        return log_prior + observed_log_prob(self.likelihood(params, z, x.times), x)

    def infer(self, params: Params, x: Series, key: Key, s: int, /) -> Inferred:
        """p(x | z) of s samples of q(z | x) at all of x's times, and the KL, by dimension of a diagonal normal."""
        q, prior = self.posterior(params, x), self.prior(params, x.times)
        z = q.sample(q.noise(key, s))
        kl = kl_per_dimension(q, prior) if can(q, Dimensional) else objectives.kl(q, prior, z)[:, None]
        return Inferred(self.likelihood(params, z, x.times), kl)

    def _elements(self, x: Series) -> Tensor:
        """Each observation's value, its time's cosines and sines, and their products with it: as a Fourier sum's."""
        turns = torch.arange(self.frequencies, dtype=x.times.dtype, device=x.times.device)
        angle = math.pi / self.duration * turns * x.times[..., None]
        waves, values = torch.cat([angle.cos(), angle.sin()], -1), x.filled()
        return torch.cat([values, waves, (values[..., None] * waves[..., None, :]).flatten(-2)], -1)

    def _check_series(self, x: Series) -> None:
        check_series(x, self.channels)
        self._check_times(x.times)

    def _check_times(self, times: Tensor) -> None:
        check_floating("times", times, "n m", "a row per series")
        if is_concrete(times) and times.numel() and not (times.amin() >= 0 and times.amax() <= self.duration):
            raise ValueError(
                f"expected times from 0 to {self.duration:g}, got {times.amin().item():.4g} to "
                f"{times.amax().item():.4g}: build the model for a longer duration"
            )


def build(
    channels: int,
    latent: int,
    duration: float,
    steps: int = 32,
    field: Sequence[int] = (64,),
    decoder: Sequence[int] = (),
    encoder: Sequence[int] = (64, 64),
    frequencies: int = 16,
    posterior: Posterior = DIAG,
) -> LatentODE:
    """A latent ODE of series of that many channels at times from 0 to the duration."""
    check_posterior(posterior)
    encoder = check_sizes("encoder", encoder)
    if not encoder:
        raise ValueError("expected encoder of one width or more, got (): pass (64,)")
    return LatentODE(
        check_count("channels", channels),
        check_count("latent", latent),
        check_number("duration", duration, "(0, inf)"),
        check_count("steps", steps),
        check_sizes("field", field),
        check_sizes("decoder", decoder),
        encoder,
        check_count("frequencies", frequencies),
        posterior,
    )


def _check(params: Params) -> None:
    check_keys(params, ("encoder", "field", "decoder", "likelihood", "posterior"))

"""The variational diffusion model (Kingma et al., 2021): in continuous time, trained by its bound, with learned ends.

    x_t = sqrt(a) x + sqrt(1 - a) noise,    log snr = logit(a) = start - (start - end) t,    t in [0, 1]
    log p(x) >= elbo = reconstruction - transitions - prior
    reconstruction = log p(x | x_0),  prior = KL(q(x_1 | x) || N(0, I)),
    transitions    = (start - end) / 2  E_t |noise(x_t, t) - noise|²

with x (n, d). The transitions are those of a chain of infinitely many steps, where the weight is -d log snr / dt; the
path of log snr between its ends changes nothing but the variance of an estimate, and is a line here, so that each time
counts for as much as another. Both ends are parameters: `start` trades reconstruction for transitions, `end` the prior.

Of real x p(x | x_0) is the normal that q(x_0 | x) says, so that its log density has one mean for all x. Of pixels at
equally spaced shades it is the shade's posterior, each pixel by itself, and the noise is by `choices`.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import keys
from jensen.core.checks import check_count, check_floating, check_key, check_value
from jensen.core.contracts import Key
from jensen.core.models.transport import choices
from jensen.core.models.transport.fields import Field
from jensen.core.models.transport.pixel_diffusion import check_shades
from jensen.core.trees import Params, check_keys

START, END = 13.3, -5.0  # of log snr, before they are learned: the paper's
GOLDEN = (math.sqrt(5) - 1) / 2
LOG_2PI = math.log(2 * math.pi)


class Terms(NamedTuple):
    """Terms of an ELBO, in nats per datum, (n,) each: elbo = reconstruction - transitions - prior."""

    reconstruction: Tensor  # log p(x | x_0)
    transitions: Tensor
    prior: Tensor  # KL(q(x_1 | x) || N(0, I))

    @property
    def elbo(self) -> Tensor:
        return self.reconstruction - self.transitions - self.prior


@dataclass(frozen=True)
class VariationalDiffusion:
    """A field of noise, or of logits of shades; every method is a pure function of {"field", "start", "length"}."""

    field: Field
    shades: int | None

    def init(self, key: Key, dtype: torch.dtype = torch.float32, /) -> Params:
        """The field's parameters, the first log snr, and the logarithm of what it falls by."""
        start = torch.tensor(START, dtype=dtype, device=key.device)
        return {"field": self.field.init(key, dtype), "start": start, "length": (start - END).log()}

    def log_snr(self, params: Params, t: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Of times t in [0, 1]."""
        return params["start"] - params["length"].exp() * t

    def predicted(
        self, params: Params, x: Float[Tensor, "*s n d"], t: Float[Tensor, "*s n"]
    ) -> Float[Tensor, "*s n d"]:
        """The noise in x_t."""
        given = self.field(params["field"], x, t)
        return given if self.shades is None else choices.noise(given, x, self.log_snr(params, t), self.shades)

    def loss(self, params: Params, x: Float[Tensor, "n d"], key: Key) -> Float[Tensor, " n"]:
        """Minus the ELBO at one time for each datum, unbiased; in the mean of a batch times are evenly spread."""
        self._check(params, x)
        check_key(key)
        time_key, noise_key, first_key = keys.split(key, 3)
        t = spread(time_key, len(x)).to(x.dtype)[None]
        return -self._bound(params, x, t, noise_key, first_key).elbo

    def bound(self, params: Params, x: Float[Tensor, "n d"], key: Key, draws: int = 100) -> Terms:
        """Every term by so many times for each datum, evenly spread from one at random: unbiased, each datum alone."""
        self._check(params, x)
        check_key(key)
        time_key, noise_key, first_key = keys.split(key, 3)
        first = keys.uniform(time_key, (1, len(x)), x.dtype)
        steps = torch.arange(check_count("draws", draws), dtype=x.dtype, device=x.device)[:, None] / draws
        return self._bound(params, x, (first + steps) % 1, noise_key, first_key)

    @torch.no_grad()
    def sample(
        self, params: Params, key: Key, n: int, steps: int = 200, dtype: torch.dtype = torch.float32
    ) -> Float[Tensor, "n d"]:
        """The mean of p(x | x_0), or its likeliest shades, from x_1 ~ N(0, I) by equal steps of log snr."""
        check_key(key)
        check_keys(params, ("field", "start", "length"))
        shape, steps = (1, check_count("n", n), self.field.data), check_count("steps", steps)
        x = keys.normal(keys.fold_in(key, 0), shape, dtype)[0]
        for i in range(steps, 0, -1):
            t = torch.full((n,), i / steps, dtype=dtype, device=x.device)
            now, after = (self.log_snr(params, at)[:, None] for at in (t, t - 1 / steps))
            share = -torch.expm1(now - after)  # of x_s's variance that x_t has not seen
            rest = x - share * (-now).sigmoid().sqrt() * self.predicted(params, x, t)
            x = (after.sigmoid() / now.sigmoid()).sqrt() * rest
            x = x + ((-after).sigmoid() * share).sqrt() * keys.normal(keys.fold_in(key, i), shape, dtype)[0]
        x = x / params["start"].sigmoid().sqrt()
        return x if self.shades is None else self._nearest(x)

    def _bound(self, params: Params, x: Tensor, t: Tensor, noise_key: Key, first_key: Key) -> Terms:
        """At times t (s, n)."""
        noise = keys.normal(noise_key, (len(t), *x.shape), x.dtype)
        error = (self.predicted(params, self._noised(params, x, t, noise), t) - noise).square().sum(-1)
        transitions = 0.5 * params["length"].exp() * error.mean(0)
        return Terms(self._reconstruction(params, x, first_key), transitions, self._prior(params, x))

    def _reconstruction(self, params: Params, x: Tensor, key: Key) -> Tensor:
        """By one draw of x_0 of pixels, where there is noise in it; exact of real x."""
        start = params["start"]
        if self.shades is None:
            return -0.5 * x.shape[-1] * (LOG_2PI + 1 - start) + 0 * x[:, 0]
        zero = torch.zeros_like(x[:, 0])
        first = self._noised(params, x, zero, keys.normal(key, (1, *x.shape), x.dtype)[0])
        log_p = choices.log_likelihood(first, self.log_snr(params, zero), self.shades).log_softmax(-1)
        shade = ((x + 1) * ((self.shades - 1) / 2)).round().long()
        return log_p.gather(-1, shade[..., None])[..., 0].sum(-1)

    def _prior(self, params: Params, x: Tensor) -> Tensor:
        end = self.log_snr(params, torch.ones_like(params["start"]))
        kept, lost = end.sigmoid(), (-end).sigmoid()
        return 0.5 * (kept * x.square() + lost - 1 - lost.log()).sum(-1)

    def _noised(self, params: Params, x: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        log_snr = self.log_snr(params, t)[..., None]
        return log_snr.sigmoid().sqrt() * x + (-log_snr).sigmoid().sqrt() * noise

    def _nearest(self, x: Tensor) -> Tensor:
        last = (check_count("shades", self.shades) - 1) / 2
        return ((x.clamp(-1, 1) + 1) * last).round() / last - 1

    def _check(self, params: Params, x: Tensor) -> None:
        check_keys(params, ("field", "start", "length"))
        check_floating("x", x, f"n {self.field.data}", "one row per datum")
        if self.shades is not None:
            check_shades(x, self.shades)


def build(field: Field, shades: int | None = None) -> VariationalDiffusion:
    """A diffusion of real x by a field of noise, or of so many shades by one of logits: choices.mlp(d, shades)."""
    check_value("field", field, Field, "fields.mlp(2)")
    return VariationalDiffusion(field, None if shades is None else check_count("shades", shades, 2))


def spread(key: Key, n: int) -> Float[Tensor, " n"]:
    """Uniform times of n data, frac(u + i / golden ratio) with one u for all: evenly spread over any run of data i."""
    check_key(key)
    own, at = keys.at(key, datum=-key[2]), key[2] + torch.arange(check_count("n", n), device=key.device)
    return (keys.uniform(own, (1, 1), torch.float64)[0] + GOLDEN * at) % 1

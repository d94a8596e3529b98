"""The diffusion posterior: q(z | x) that takes noise out step by step, fitted to log p(x, z) (Vargas et al., 2023).

    q(z_T) = N(0, scale² I)
    q(z_(t-1) | z_t) = N(sqrt(1 - beta_t) z_t + scale sqrt(beta_t) push(z_t, t), scale² beta_t I)
    p(z_t | z_(t-1)) = N(sqrt(1 - beta_t) z_(t-1), scale² beta_t I)         the noise that the target is given

Its density at z_0 has no closed form, and the steps' ratio takes its place: in the bound of the extended target,

    log_w = log p(x, z_0) - log_q,  log_q = log N(z_0; 0, scale² I) + sum_t push_t' noise_t + |push_t|² / 2
    E log_w <= log p(x),  E exp log_w = p(x)

equal where the push is that of the reversed noise, up to the discretisation, which falls with T. The ELBO's gradient
follows the path through every step.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import keys
from jensen.core.checks import check_count, check_floating, check_key, check_number, check_value
from jensen.core.contracts import Key
from jensen.core.distributions import DiagNormal
from jensen.core.models.transport.fields import Field
from jensen.core.models.transport.noise_levels import NoiseLevels
from jensen.core.trees import Params


@dataclass(frozen=True)
class DiffusionPosterior:
    """A field of pushes and its levels; every method is a pure function of the field's parameters."""

    field: Field  # of latents beside the context, to latents
    levels: NoiseLevels
    scale: float
    context: int

    @property
    def latent(self) -> int:
        """Coordinates of z."""
        return self.field.data - self.context

    def init(self, key: Key, dtype: torch.dtype = torch.float32, /) -> Params:
        """The field's parameters; of a field that starts at 0, q starts as N(0, scale² I)."""
        return self.field.init(key, dtype)

    def draw(
        self, params: Params, key: Key, s: int, context: Float[Tensor, "n c"] | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> tuple[Float[Tensor, "s n d"], Float[Tensor, "s n"]]:  # fmt: skip
        """(z, log_q), in nats per datum: of each row of the context, in its type, or of one datum without."""
        check_key(key)
        s = check_count("s", s)
        if context is None and self.context:
            raise ValueError(f"expected context (n, {self.context}), got None: pass one row for each datum")
        if context is not None:
            check_floating("context", context, f"n {self.context}", "one row per datum")
            dtype = context.dtype
        shape = (s, 1 if context is None else len(context), self.latent)
        given = torch.zeros(*shape[:2], 0, dtype=dtype) if context is None else context.expand(s, *context.shape)
        kept = self.levels.kept()
        beta = (1 - kept / torch.cat([torch.ones_like(kept[:1]), kept[:-1]])).tolist()
        z = self.scale * keys.normal(keys.fold_in(key, 0), shape, dtype)
        log_ratio = torch.zeros_like(z[..., 0])
        for t in range(self.levels.steps, 0, -1):
            noise = keys.normal(keys.fold_in(key, t), shape, dtype)
            times = torch.full_like(log_ratio, t / self.levels.steps)
            push = self.field(params, torch.cat([z, given.to(z)], -1), times)
            log_ratio = log_ratio + (push * noise).sum(-1) + 0.5 * push.square().sum(-1)
            z = math.sqrt(1 - beta[t - 1]) * z + self.scale * math.sqrt(beta[t - 1]) * (push + noise)
        zero = torch.zeros_like(z[0])
        return z, DiagNormal(zero, zero + math.log(self.scale)).log_prob(z) + log_ratio


def build(field: Field, levels: NoiseLevels, scale: float = 1.0, context: int = 0) -> DiffusionPosterior:
    """Of as many latents as the field has inputs beside the context: fields.mlp(d + c, outputs=d) for c of context.

    scale is that of the start, N(0, scale² I): it must be wide enough to cover the target.
    """
    check_value("field", field, Field, "fields.mlp(2)")
    check_value("levels", levels, NoiseLevels, "noise_levels.cosine(50)")
    context = check_count("context", context, 0)
    if context >= field.data:
        raise ValueError(f"expected context below the field's {field.data} inputs, got {context}: the rest are latents")
    return DiffusionPosterior(field, levels, check_number("scale", scale, "(0, inf)"), context)

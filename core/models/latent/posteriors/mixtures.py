"""Mixture posteriors."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import keys
from jensen.core.checks import check_count
from jensen.core.contracts import Key
from jensen.core.distributions import DiagNormal, Mixture
from jensen.core.trees import Params, check_keys


@dataclass(frozen=True)
class MixtureOfNormals:
    """Mixture of diagonal normals: outputs are what each component's fields differ by, and the logits.

    The means start apart by offsets that all data share, for equal components have equal gradients.
    """

    components: int = 4

    def __post_init__(self) -> None:
        check_count("components", self.components)

    def extra(self, d: int, /) -> int:
        return self.components * (2 * d + 1)

    def init(self, key: Key, d: int, dtype: torch.dtype, /) -> Params:
        return {"loc": 0.1 * keys.normal(key, (self.components, d), dtype)}

    def prior(self, p: DiagNormal, /) -> DiagNormal:
        return p

    def __call__(self, params: Params, q: DiagNormal, extra: Float[Tensor, "n e"], /) -> Mixture:
        check_keys(params, ("loc",))
        each = extra.unflatten(-1, (self.components, -1))
        d = q.loc.shape[-1]
        loc, log_scale, logits = each.split([d, d, 1], -1)
        components = DiagNormal(q.loc[:, None] + params["loc"] + loc, q.log_scale[:, None] + log_scale)
        return Mixture(logits[..., 0], components)

"""The discretised logistic likelihood of grey pixels at equally spaced levels (Kingma et al., 2016)."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.checks import check_count, check_floating
from jensen.core.distributions import DiscretisedLogistic
from jensen.core.models.latent.likelihoods.outputs import Outputs, materialised
from jensen.core.trees import Params, Static, check_keys

MOST = 2**16  # levels


@dataclass(frozen=True)
class DiscretisedLogisticLikelihood:
    """The level nearest to Logistic(output, exp(log_scale)), the scale shared by all pixels: masses, no densities."""

    levels: int = 256
    binary: bool = False

    def __post_init__(self) -> None:
        check_count("levels", self.levels, 2)

    @classmethod
    def of(cls, x: Float[Tensor, "N D"]) -> "DiscretisedLogisticLikelihood":
        """With the levels of data x in [0, 1]: ValueError where they are not equally spaced from 0 to 1."""
        check_floating("x", x, "N D", "one row per datum")
        values = x.unique().double()
        gap = values.diff().min().item() if len(values) > 1 else 1.0
        last = round(1 / max(gap, 1 / MOST))
        places = values * last
        if (places - places.round()).abs().max() > 1e-3 or values[0] < 0 or values[-1] > 1:
            raise ValueError(
                f"expected x at equally spaced levels from 0 to 1, got {len(values)} values whose least gap is "
                f"{gap:.2g}: round x (levels - 1) / (levels - 1), or take the gaussian likelihood"
            )
        return cls(last + 1)

    def init(self, x: Float[Tensor, "N D"], /) -> tuple[Params, Float[Tensor, " D"]]:
        """{"log_scale": ()}, -2 at the start, about the scale of pixels; the data's mean."""
        return {"log_scale": x.new_full((), -2.0)}, x.mean(0)

    def __call__(self, params: Params, out: Outputs, /) -> DiscretisedLogistic:
        check_keys(params, ("log_scale",))
        loc = materialised(out)
        return DiscretisedLogistic(loc, params["log_scale"].expand_as(loc), Static(self.levels))

    def independent(self, x: Float[Tensor, "N D"], /) -> DiscretisedLogistic:
        """Each pixel's mean, and one scale for all as in the model: that of a logistic of the data's variance."""
        mean = x.mean(0)
        log_scale = (x - mean).square().mean().sqrt().log() + 0.5 * torch.tensor(3 / torch.pi**2).log()
        return DiscretisedLogistic(mean, log_scale.expand_as(mean), Static(self.levels))


DISCRETISED_LOGISTIC = DiscretisedLogisticLikelihood()

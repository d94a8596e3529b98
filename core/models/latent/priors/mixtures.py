"""Mixture priors: of normals, and of the encoder's posteriors at learned inputs."""

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from jensen.core import keys, trees
from jensen.core.checks import check_count, check_key
from jensen.core.contracts import ClosedForm, Distribution, Key, can
from jensen.core.distributions import DiagNormal, Mixture
from jensen.core.trees import Params, check_keys


@dataclass(frozen=True)
class MixtureOfNormals:
    """sum_k w_k N(loc_k, diag scale_k²), all learned; the means start apart, for equal components stay equal."""

    standard = False
    components: int = 10

    def __post_init__(self) -> None:
        check_count("components", self.components)

    def init(self, key: Key, d: int, x: Float[Tensor, "N D"], /) -> Params:
        zeros = x.new_zeros(self.components, d)
        return {"logits": zeros[:, 0].clone(), "loc": 0.5 * keys.normal(key, zeros.shape, x.dtype), "log_scale": zeros}

    def __call__(self, params: Params, normal: DiagNormal, posterior: Callable[[Tensor], Distribution], /) -> Mixture:
        check_keys(params, ("logits", "loc", "log_scale"))
        return _for_each(len(normal.loc), params["logits"], DiagNormal(params["loc"], params["log_scale"]))


@dataclass(frozen=True)
class MixtureOfPosteriors:
    """The VampPrior: 1 / K sum_k q(z | u_k) at learned pseudo-inputs u (K, D) (Tomczak and Welling, 2018).

    The pseudo-inputs start at random training data and take any real values, as the encoder does. The posterior is to
    be of a family with closed forms: diag, full, low-rank.
    """

    standard = False
    inputs: int = 50

    def __post_init__(self) -> None:
        check_count("inputs", self.inputs)

    def init(self, key: Key, d: int, x: Float[Tensor, "N D"], /) -> Params:
        """ValueError for fewer training data than pseudo-inputs."""
        check_key(key)
        if len(x) < self.inputs:
            raise ValueError(
                f"expected at most {len(x)} pseudo-inputs, one for each datum, got {self.inputs}: ask for fewer"
            )
        return {"inputs": x[keys.permutation(key, len(x))[: self.inputs]].clone()}

    def __call__(self, params: Params, normal: DiagNormal, posterior: Callable[[Tensor], Distribution], /) -> Mixture:
        """TypeError for a posterior without closed forms."""
        check_keys(params, ("inputs",))
        q = posterior(params["inputs"])
        if not can(q, ClosedForm):
            raise TypeError(
                f"expected a posterior with closed forms for a mixture of them, got {type(q).__name__}: choose diag, "
                "full or low-rank, or another prior"
            )
        return _for_each(len(normal.loc), params["inputs"].new_zeros(self.inputs), q)


def _for_each(n: int, logits: Tensor, components: Distribution) -> Mixture:
    """The mixture of components (k, ...) with a row for each of n data."""
    return Mixture(*trees.map(lambda t: t.expand(n, *t.shape), (logits, components)))

"""Normalising flows as density models: x = T(z), z ~ N(0, I), of couplings that are the model's own.

    model = build(data=2, transform=RationalQuadratic(bins=8, bound=5.0))
    params = model.init(key, x)
    grads = torch.func.grad(lambda p: -model.log_prob(p, x).mean())(params)

    log p(x) = log N(T⁻¹(x); 0, I) + log |det dT⁻¹ / dx|

Couplings of `Affine` are RealNVP (Dinh et al., 2017), those of `RationalQuadratic` are neural spline flows (Durkan et
al., 2019). Both ways are one pass, so densities and samples are exact.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from jensen.core import keys
from jensen.core.checks import check_count, check_floating, check_key, check_sizes
from jensen.core.contracts import Flow, Key
from jensen.core.distributions import DiagNormal, Pushforward
from jensen.core.flows import Actnorm, Affine, Coupling, Inverse, Permutation, Reverse
from jensen.core.flows.transform import Transform, check_transform
from jensen.core.trees import Params, Static, check_keys


@dataclass(frozen=True)
class NormalisingFlow:
    """Couplings, then an affine map of each coordinate; every method is a pure function of its parameters."""

    data: int
    transform: Transform
    couplings: int
    hidden: tuple[int, ...]

    def init(self, key: Key, x: Float[Tensor, "n d"], /) -> Params:
        """{"flows": from z to x}: couplings that start as the identity, and x's mean and scale in each coordinate."""
        check_key(key)
        self._check(x)
        flows: list[Flow] = []
        for i, each in enumerate(keys.split(key, self.couplings)):
            flows += [Coupling.identity(each, self.data, self.hidden, transform=self.transform, dtype=x.dtype)]
            flows += [Reverse()] if i % 2 == 0 else [Reverse(), self._dealt]
        return {"flows": (*flows, Inverse(Actnorm.normalising(x)))}

    def distribution(self, params: Params, n: int, /) -> Pushforward:
        """p(x) as a distribution of n rows, all the same."""
        check_keys(params, ("flows",))
        zero = params["flows"][-1].flow.shift.new_zeros(check_count("n", n), self.data)
        return Pushforward(DiagNormal(zero, zero), params["flows"])

    def log_prob(self, params: Params, x: Float[Tensor, "n d"], /) -> Float[Tensor, " n"]:
        """log p(x) in nats per datum."""
        self._check(x)
        return self.distribution(params, len(x)).log_prob(x[None])[0]

    def sample(self, params: Params, key: Key, n: int, /) -> Float[Tensor, "n d"]:
        """n draws."""
        check_key(key)
        p = self.distribution(params, n)
        return p.sample(p.noise(key, 1))[0]

    @property
    def _dealt(self) -> Permutation:
        """Even places before odd ones: the next two couplings divide the coordinates in another way."""
        return Permutation(Static((*range(0, self.data, 2), *range(1, self.data, 2))))

    def _check(self, x: Tensor) -> None:
        check_floating("x", x, f"n {self.data}", "one row per datum")


def build(
    data: int,
    transform: Transform = Affine(),
    couplings: int = 8,
    hidden: Sequence[int] = (64, 64),
) -> NormalisingFlow:
    """An even number of couplings, each of half of the coordinates given the others by a network of these widths."""
    if check_count("couplings", couplings) % 2:
        raise ValueError(f"expected couplings, an even number, got {couplings}: each changes half of the coordinates")
    if not (hidden := check_sizes("hidden", hidden)):
        raise ValueError("expected hidden of one width or more, got (): pass (64,)")
    return NormalisingFlow(check_count("data", data, 2), check_transform(transform), couplings, hidden)

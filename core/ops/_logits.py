"""Log densities of data under logits as operations. Fused: data x are never expanded over samples."""

from collections.abc import Callable

from torch import Tensor

from jensen.core.operation import differentiable, fitted
from jensen.core.ops._reduced import fake_reduced, fake_slopes, pullback
from jensen.core.ops.dispatch import launch


def of_logits(
    name: str, reference: Callable[[Tensor, Tensor], Tensor], x_slope: Callable[[Tensor, Tensor], Tensor]
) -> Callable[[Tensor, Tensor], Tensor]:
    """The operation (x, logits) -> log density over the last axis, in the kernel of this name.

    reference: the same in plain torch. x_slope: (x, logits) -> d log density / d x, one entry per element of x.
    """

    def vjp(
        needs: tuple[bool, ...], gradients: tuple[Tensor], x: Tensor, logits: Tensor
    ) -> tuple[Tensor | None, Tensor | None]:
        g = gradients[0]
        return (
            fitted(g[..., None] * x_slope(x, logits), x) if needs[0] else None,
            fitted(slopes(g, x, logits), logits) if needs[1] else None,
        )

    slopes = differentiable(
        f"{name}_slopes", launch(name, "backward"), pullback(reference, (1,)), fake_slopes(1), events=(0, 1, 1)
    )
    return differentiable(name, launch(name), reference, fake_reduced, events=(1, 1), vjp=vjp)

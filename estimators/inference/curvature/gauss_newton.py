"""The generalised Gauss-Newton matrix sum_n J_n' S_n S_n' J_n (Schraudolph, 2002), whole or its diagonal.

J = df / d parameters and S S' = -d^2 log p(y | f) / df^2, so that it is the Hessian of -log p(y | x) without the
network's own second derivatives: never indefinite, and the Hessian itself for a network linear in its parameters. Sums
over data add up, so batches give that of the whole set.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.trees import Static
from jensen.estimators.inference.curvature.bases import Axes, Eigenvectors, Spectrum, root_products
from jensen.estimators.inference.curvature.linearised import Linearised
from jensen.estimators.inference.curvature.taps import Called, called, fault, layers, layout, together

MOST = 10_000  # parameters of a whole matrix, 0.8 GB in float64


class Diagonal(NamedTuple):
    """Its diagonal, (p,).

    Of layers at one place of each datum by sums of their squared inputs and gradients, else by Jacobians.
    """

    values: Float[Tensor, " p"]
    calls: Static[tuple[Called, ...] | None]

    @classmethod
    def start(cls, linearised: Linearised, x: Tensor) -> tuple[Linearised, "Diagonal"]:
        """Of no data, and the network with the layout that it is in."""
        none, calls = torch.zeros_like(linearised.vector()), called(linearised, x)
        if fault(linearised, calls, len(x)) is None and all(call.one_place for call in calls):
            return linearised._replace(layout=Static(layout(linearised, calls))), cls(none, Static(calls))
        return linearised, cls(none, Static(None))

    def elements(self, outputs: int) -> int:
        """In memory for a datum."""
        return together(self.calls.value, outputs, len(self.values))

    def added(self, linearised: Linearised, x: Tensor, root: Float[Tensor, "n c r"]) -> "Diagonal":
        """With these data's."""
        if self.calls.value is None:
            return self._replace(values=self.values + root_products(linearised.jacobian(x), root).square().sum((0, 1)))
        squares = [
            torch.einsum("rntqo,ntqi->qoi", layer.gradients.square(), layer.inputs.square()).flatten()
            for layer in layers(linearised, self.calls.value, x, root)
        ]
        return self._replace(values=self.values + torch.cat(squares))

    def spectrum(self) -> Spectrum:
        """Eigenvalues and in which basis."""
        return Spectrum(self.values, Axes(self.calls))


class Full(NamedTuple):
    """The whole matrix, (p, p)."""

    matrix: Float[Tensor, "p p"]

    @classmethod
    def start(cls, linearised: Linearised, x: Tensor) -> tuple[Linearised, "Full"]:
        """Of no data, and the network with the layout that it is in. ValueError for a matrix too large."""
        vector = linearised.vector()
        if len(vector) > MOST:
            raise ValueError(
                f"expected a full curvature of at most {MOST} parameters, got {len(vector)}, whose matrix would be "
                f"{len(vector) ** 2 * vector.element_size() / 1e9:.3g} GB: take kfac or diagonal, or only a layer"
            )
        return linearised, cls(vector.new_zeros(len(vector), len(vector)))

    def elements(self, outputs: int) -> int:
        """In memory for a datum."""
        return outputs * len(self.matrix)

    def added(self, linearised: Linearised, x: Tensor, root: Float[Tensor, "n c r"]) -> "Full":
        """With these data's."""
        rows = root_products(linearised.jacobian(x), root).flatten(0, 1)
        return Full(self.matrix + rows.T @ rows)

    def spectrum(self) -> Spectrum:
        """Eigenvalues and in which basis."""
        values, vectors = torch.linalg.eigh(self.matrix)
        return Spectrum(values.clamp_min(0), Eigenvectors(vectors))

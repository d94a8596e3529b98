"""Bases in which a curvature is diagonal, and what becomes of them under a prior with other scales than one."""

from typing import NamedTuple, Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor

from jensen.core.trees import Static
from jensen.estimators.inference.curvature.groups import Groups
from jensen.estimators.inference.curvature.linearised import Linearised
from jensen.estimators.inference.curvature.taps import Called, covariance, layers, together


class Basis(Protocol):
    """V, orthonormal, in which a curvature V diag(values) V' is diagonal."""

    def into(self, vector: Float[Tensor, "... p"], /) -> Float[Tensor, "... p"]: ...
    def out_of(self, vector: Float[Tensor, "... p"], /) -> Float[Tensor, "... p"]: ...
    def elements(self, outputs: int, parameters: int, /) -> int: ...
    def check_groups(self, of: Int[Tensor, " p"], /) -> None: ...
    def scaled(self, values: Float[Tensor, " p"], scale: Float[Tensor, " p"], /) -> "Spectrum": ...
    def traces(self, values: Float[Tensor, " p"], groups: Groups, /) -> Float[Tensor, " g"]: ...
    def covariance(
        self,
        linearised: Linearised,
        x: Tensor,
        root: Float[Tensor, "n c r"],
        scale: Float[Tensor, " p"],
        variances: Float[Tensor, " p"],
        /,
    ) -> Float[Tensor, "n r r"]: ...


class Spectrum(NamedTuple):
    """Eigenvalues of a curvature H, and the basis that they are in."""

    eigenvalues: Float[Tensor, " p"]
    basis: Basis

    def times(self, factor: float) -> "Spectrum":
        """Of factor H."""
        return self._replace(eigenvalues=self.eigenvalues * factor)

    def scaled(self, scale: Float[Tensor, " p"]) -> "Spectrum":
        """Of D H D, D = diag(scale) in the parameters' order."""
        return self.basis.scaled(self.eigenvalues, scale)


class Axes(NamedTuple):
    """The parameters' own axes."""

    calls: Static[tuple[Called, ...] | None]

    def into(self, vector: Float[Tensor, "... p"]) -> Float[Tensor, "... p"]:
        return vector

    def out_of(self, vector: Float[Tensor, "... p"]) -> Float[Tensor, "... p"]:
        return vector

    def elements(self, outputs: int, parameters: int) -> int:
        """In memory for a datum."""
        return together(self.calls.value, outputs, parameters)

    def check_groups(self, of: Int[Tensor, " p"]) -> None:
        """Any groups of parameters may have precisions of their own."""

    def scaled(self, values: Float[Tensor, " p"], scale: Float[Tensor, " p"]) -> Spectrum:
        """Of D H D."""
        return Spectrum(values * scale.square(), self)

    def traces(self, values: Float[Tensor, " p"], groups: Groups) -> Float[Tensor, " g"]:
        """Of each group's part of V diag(values) V'."""
        return groups.sums(values)

    def covariance(
        self, linearised: Linearised, x: Tensor, root: Float[Tensor, "n c r"], scale: Float[Tensor, " p"],
        variances: Float[Tensor, " p"],
    ) -> Float[Tensor, "n r r"]:  # fmt: skip
        """Of S' f, for parameters D V e, e independent with these variances."""
        own = variances * scale.square()
        if self.calls.value is None:
            rows = root_products(linearised.jacobian(x), root)
            return (rows * own) @ rows.mT
        each = zip(layers(linearised, self.calls.value, x, root), linearised.layout.value.matrices(own), strict=True)
        return torch.stack([covariance(layer, v) for layer, v in each]).sum(0)


class Eigenvectors(NamedTuple):
    """Those of a symmetric matrix, in columns."""

    vectors: Float[Tensor, "p p"]

    def into(self, vector: Float[Tensor, "... p"]) -> Float[Tensor, "... p"]:
        return vector @ self.vectors

    def out_of(self, vector: Float[Tensor, "... p"]) -> Float[Tensor, "... p"]:
        return vector @ self.vectors.T

    def elements(self, outputs: int, parameters: int) -> int:
        """In memory for a datum."""
        return outputs * parameters

    def check_groups(self, of: Int[Tensor, " p"]) -> None:
        """Any groups of parameters may have precisions of their own."""

    def scaled(self, values: Float[Tensor, " p"], scale: Float[Tensor, " p"]) -> Spectrum:
        """Of D H D, in another basis unless all scales are one."""
        if (scale == scale[0]).all():
            return Spectrum(values * scale.square(), self)
        half = scale[:, None] * self.vectors * values.sqrt()
        found, vectors = torch.linalg.eigh(half @ half.T)
        return Spectrum(found.clamp_min(0), Eigenvectors(vectors))

    def traces(self, values: Float[Tensor, " p"], groups: Groups) -> Float[Tensor, " g"]:
        """Of each group's part of V diag(values) V'."""
        return (
            groups.sums(self.vectors.to(values).square() @ values)
            if len(groups.starts.value) > 1
            else values.sum()[None]
        )

    def covariance(
        self, linearised: Linearised, x: Tensor, root: Float[Tensor, "n c r"], scale: Float[Tensor, " p"],
        variances: Float[Tensor, " p"],
    ) -> Float[Tensor, "n r r"]:  # fmt: skip
        """Of S' f, for parameters D V e, e independent with these variances."""
        rows = self.into(root_products(linearised.jacobian(x), root) * scale)
        return (rows * variances) @ rows.mT


def root_products(jacobian: Float[Tensor, "n c p"], root: Float[Tensor, "n c r"]) -> Float[Tensor, "n r p"]:
    """S' J of each datum."""
    return root.mT @ jacobian

"""Kronecker-factored curvature (KFAC; Martens and Grosse, 2015): a block for each layer, by its inputs and gradients.

A layer's gradient is sum_t g_t a_t', of its inputs a (with a one for the bias) and gradients g at t places, and its
block of the Gauss-Newton matrix

    A kron G / places,  A = sum a a',  G = sum g g' over data and places, g of each of S' f

as if inputs and gradients were independent: exact for one datum and place, and for Gaussian noise where gradients are
the same for all data, as in a network linear in its inputs. Of several places it is that of Grosse and Martens, 2016.
A and G are sums over data, so batches give those of the whole set.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from jensen.core.trees import Static
from jensen.estimators.inference.curvature.bases import Spectrum
from jensen.estimators.inference.curvature.linearised import ELEMENTS, TOGETHER, Layout, Linearised
from jensen.estimators.inference.curvature.taps import (
    Called,
    Layer,
    called,
    covariance,
    fault,
    layers,
    layout,
    together,
)


class Factors(NamedTuple):
    """A layer's sums, and how many places they are over."""

    inputs: Float[Tensor, "i i"]
    gradients: Float[Tensor, "o o"]
    places: Float[Tensor, ""]


class Rotations(NamedTuple):
    """Eigenvectors of each layer's factors, in columns: of its gradients and of its inputs."""

    calls: Static[tuple[Called, ...]]
    layout: Static[Layout]
    gradients: tuple[Float[Tensor, "_ _"], ...]
    inputs: tuple[Float[Tensor, "_ _"], ...]

    def into(self, vector: Float[Tensor, "... p"]) -> Float[Tensor, "... p"]:
        each = zip(self.gradients, self.layout.value.matrices(vector), self.inputs, strict=True)
        return torch.cat([(g.T @ matrix @ a).flatten(-2) for g, matrix, a in each], -1)

    def out_of(self, vector: Float[Tensor, "... p"]) -> Float[Tensor, "... p"]:
        each = zip(self.gradients, self.layout.value.matrices(vector), self.inputs, strict=True)
        return torch.cat([(g @ matrix @ a.T).flatten(-2) for g, matrix, a in each], -1)

    def elements(self, outputs: int, parameters: int) -> int:
        """In memory for a datum."""
        return together(self.calls.value, outputs, parameters)

    def check_groups(self, of: Int[Tensor, " p"]) -> None:
        """ValueError for parameters of one layer in different groups."""
        for layer, parts in zip(self.layout.value.matrices(of.double()), self.layout.value.groups, strict=True):
            if (layer != layer[0, 0]).any():
                raise ValueError(
                    f"expected groups of whole layers for kfac, got {' and '.join(part.path for part in parts)} in "
                    "different ones: take diagonal or full, or other groups"
                )

    def scaled(self, values: Float[Tensor, " p"], scale: Float[Tensor, " p"]) -> Spectrum:
        """Of D H D, where all parameters of a layer have one scale."""
        return Spectrum(values * scale.square(), self)

    def diagonal(self, values: Float[Tensor, " p"]) -> Float[Tensor, " p"]:
        """Of V diag(values) V'."""
        each = zip(self.gradients, self.layout.value.matrices(values), self.inputs, strict=True)
        squares = [(g.to(values).square() @ matrix @ a.to(values).square().T).flatten() for g, matrix, a in each]
        return torch.cat(squares)

    def covariance(
        self, linearised: Linearised, x: Tensor, root: Float[Tensor, "n c r"], scale: Float[Tensor, " p"],
        variances: Float[Tensor, " p"],
    ) -> Float[Tensor, "n r r"]:  # fmt: skip
        """Of S' f, for parameters D V e, e of these variances; by what layers read and their gradients."""
        own = self.layout.value.matrices(variances * scale.square())
        each = zip(layers(linearised, self.calls.value, x, root), own, strict=True)
        turned = zip(self.gradients, each, self.inputs, strict=True)
        parts = [covariance(Layer(layer.inputs @ a, layer.gradients @ g), v) for g, (layer, v), a in turned]
        return torch.stack(parts).sum(0)


class Kronecker(NamedTuple):
    """Factors of every layer."""

    calls: Static[tuple[Called, ...]]
    layout: Static[Layout]
    layers: tuple[Factors, ...]

    @classmethod
    def start(cls, linearised: Linearised, x: Tensor) -> tuple[Linearised, "Kronecker"]:
        """Of no data, and the network with the layout that it is in. ValueError for a parameter of no layer."""
        calls = called(linearised, x)
        if (wrong := fault(linearised, calls, len(x))) is not None:
            raise ValueError(
                f"expected random parameters that are each the weight or bias of one layer, got {wrong}: take diagonal "
                "or full, or name layers in only"
            )
        parts, vector = Static(layout(linearised, calls)), linearised.vector()
        none = [
            Factors(
                vector.new_zeros(2 * [sum(part.columns for part in group)]),
                vector.new_zeros(2 * [group[0].rows]),
                vector.new_zeros(()),
            )
            for group in parts.value.groups
        ]
        return linearised._replace(layout=parts), cls(Static(calls), parts, tuple(none))

    def elements(self, outputs: int) -> int:
        """In memory for a datum: as many as let so many data be together."""
        return ELEMENTS // TOGETHER

    def added(self, linearised: Linearised, x: Tensor, root: Float[Tensor, "n c r"]) -> "Kronecker":
        """With these data's."""
        new = []
        for old, layer in zip(self.layers, layers(linearised, self.calls.value, x, root), strict=True):
            a, g = layer.inputs.flatten(0, 1), layer.gradients.flatten(0, 2)
            new.append(Factors(old.inputs + a.T @ a, old.gradients + g.T @ g, old.places + len(a)))
        return self._replace(layers=tuple(new))

    def spectrum(self) -> Spectrum:
        """Eigenvalues and in which basis."""
        values, gradients, inputs = [], [], []
        for layer in self.layers:
            (a, a_vectors), (g, g_vectors) = torch.linalg.eigh(layer.inputs), torch.linalg.eigh(layer.gradients)
            values.append(torch.outer(g.clamp_min(0), a.clamp_min(0) / layer.places).flatten())
            gradients.append(g_vectors)
            inputs.append(a_vectors)
        basis = Rotations(self.calls, self.layout, tuple(gradients), tuple(inputs))
        return Spectrum(torch.cat(values), basis)

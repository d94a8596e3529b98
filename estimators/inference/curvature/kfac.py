"""Kronecker-factored curvature (KFAC; Martens and Grosse, 2015): a block for each layer, by its inputs and gradients.

A layer's gradient is sum_t g_t a_t', of its inputs a (with a one for the bias) and gradients g at t places, and its
block of the Gauss-Newton matrix

    A kron G / places,  A = sum a a',  G = sum g g' over data and places, g of each of S' f

as if inputs and gradients were independent: exact for one datum and place, and for Gaussian noise where gradients are
the same for all data, as in a network linear in its inputs. Of several places that share weights it is that of Grosse
and Martens (2016), KFAC-expand: exact so where each place has outputs of its own. KFAC-reduce (Eschenhagen et al.,
2023) takes a datum's mean input and summed gradient as one place: exact so where outputs are of the places' mean.
A convolution in groups of channels has a block for each group. A and G are sums over data, so batches give those of
the whole set.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from jensen.core.trees import Static
from jensen.estimators.inference.curvature.bases import Spectrum
from jensen.estimators.inference.curvature.groups import Groups
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
    """A layer's sums for each of q groups of channels, one but for some convolutions, and how many places they have."""

    inputs: Float[Tensor, "q i i"]
    gradients: Float[Tensor, "q o o"]
    places: Float[Tensor, ""]


class Rotations(NamedTuple):
    """Eigenvectors of each layer's factors, in columns: of its gradients and of its inputs."""

    calls: Static[tuple[Called, ...]]
    layout: Static[Layout]
    gradients: tuple[Float[Tensor, "_ _ _"], ...]
    inputs: tuple[Float[Tensor, "_ _ _"], ...]

    def into(self, vector: Float[Tensor, "... p"]) -> Float[Tensor, "... p"]:
        return self._within(vector, lambda g, matrix, a: g.mT @ matrix @ a)

    def out_of(self, vector: Float[Tensor, "... p"]) -> Float[Tensor, "... p"]:
        return self._within(vector, lambda g, matrix, a: g @ matrix @ a.mT)

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

    def traces(self, values: Float[Tensor, " p"], groups: Groups) -> Float[Tensor, " g"]:
        """Of each group's part of V diag(values) V': its layers are turned within themselves."""
        return groups.sums(values)

    def covariance(
        self, linearised: Linearised, x: Tensor, root: Float[Tensor, "n c r"], scale: Float[Tensor, " p"],
        variances: Float[Tensor, " p"],
    ) -> Float[Tensor, "n r r"]:  # fmt: skip
        """Of S' f, for parameters D V e, e of these variances; by what layers read and their gradients."""
        own = self.layout.value.matrices(variances * scale.square())
        each = zip(layers(linearised, self.calls.value, x, root), own, strict=True)
        turned = zip(self.gradients, each, self.inputs, strict=True)
        parts = [covariance(_turned(layer, g, a), v) for g, (layer, v), a in turned]
        return torch.stack(parts).sum(0)

    def _within(
        self, vector: Float[Tensor, "... p"], turn: Callable[[Tensor, Tensor, Tensor], Tensor]
    ) -> Float[Tensor, "... p"]:
        """Of gradients' vectors, matrix (..., q, o, i) and inputs' vectors of each layer."""
        each = zip(self.gradients, self.layout.value.matrices(vector), self.inputs, strict=True)
        return torch.cat([turn(g, matrix.unflatten(-2, (len(g), -1)), a).flatten(-3) for g, matrix, a in each], -1)


class Kronecker(NamedTuple):
    """Factors of every layer."""

    calls: Static[tuple[Called, ...]]
    layout: Static[Layout]
    layers: tuple[Factors, ...]
    reduce: Static[bool]  # a datum's places to one

    @classmethod
    def start(cls, linearised: Linearised, x: Tensor, reduce: bool = False) -> tuple[Linearised, "Kronecker"]:
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
                vector.new_zeros(call.parts, *2 * [sum(part.columns for part in group)]),
                vector.new_zeros(call.parts, *2 * [group[0].rows // call.parts]),
                vector.new_zeros(()),
            )
            for call, group in zip(calls, parts.value.groups, strict=True)
        ]
        return linearised._replace(layout=parts), cls(Static(calls), parts, tuple(none), Static(reduce))

    def elements(self, outputs: int) -> int:
        """In memory for a datum: as many as let so many data be together."""
        return ELEMENTS // TOGETHER

    def added(self, linearised: Linearised, x: Tensor, root: Float[Tensor, "n c r"]) -> "Kronecker":
        """With these data's."""
        new = []
        for old, layer in zip(self.layers, layers(linearised, self.calls.value, x, root), strict=True):
            a, g = layer
            if self.reduce.value:
                a, g = a.mean(1, keepdim=True), g.sum(2, keepdim=True)
            a, g = a.flatten(0, 1).transpose(0, 1), g.flatten(0, 2).transpose(0, 1)
            new.append(Factors(old.inputs + a.mT @ a, old.gradients + g.mT @ g, old.places + a.shape[1]))
        return self._replace(layers=tuple(new))

    def spectrum(self) -> Spectrum:
        """Eigenvalues and in which basis."""
        values, gradients, inputs = [], [], []
        for layer in self.layers:
            (a, a_vectors), (g, g_vectors) = torch.linalg.eigh(layer.inputs), torch.linalg.eigh(layer.gradients)
            values.append((g.clamp_min(0)[..., None] * (a.clamp_min(0) / layer.places)[:, None]).flatten())
            gradients.append(g_vectors)
            inputs.append(a_vectors)
        basis = Rotations(self.calls, self.layout, tuple(gradients), tuple(inputs))
        return Spectrum(torch.cat(values), basis)


def _turned(layer: Layer, gradients: Float[Tensor, "q o o"], inputs: Float[Tensor, "q i i"]) -> Layer:
    """In the factors' bases."""
    return Layer(
        torch.einsum("ntqi,qij->ntqj", layer.inputs, inputs),
        torch.einsum("cntqo,qop->cntqp", layer.gradients, gradients),
    )

"""Classifier-free guidance (Ho and Salimans, 2022): one field with labels and without, and draws beyond the two.

    guided = guidance.build(fields.mlp(2 + 10, outputs=2), classes=10)     # of coordinates beside a label, one-hot
    field = guided.of(guidance.dropped(labels, key, 0.1))                  # in training: some labels are left out
    field = guided.of(labels, scale=1.0)                                   # in drawing

    field(x, t) = (1 + scale) field(x, t | label) - scale field(x, t)

A label of -1 is none. What `of` gives is a `Field`, for every model that takes one. With scale 0 draws are of
p(x | label). Others follow the score of p(x | label) p(label | x)^scale at each level of noise, the marginals of no one
diffusion: classes come out clearer, and less varied.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from jensen.core import keys
from jensen.core.checks import check_count, check_key, check_number, check_tensor, check_value
from jensen.core.contracts import Key
from jensen.core.models.labels import check_labels
from jensen.core.models.transport.fields import Field
from jensen.core.trees import Params


@dataclass(frozen=True)
class Guided:
    """A field of coordinates beside a label, of which the first outputs count, as many as coordinates."""

    field: Field
    classes: int

    @property
    def data(self) -> int:
        """How many coordinates."""
        return self.field.data - self.classes

    def of(self, labels: Int[Tensor, " n"] | None = None, scale: float = 0.0) -> "OfLabels":
        """The field of points with these labels, -1 for none, or of points without any."""
        scale = check_number("scale", scale, "[0, inf)")
        if labels is not None:
            check_tensor("labels", labels, "n", "one for each point")
            check_labels(labels + 1, len(labels), self.classes + 1)
        return OfLabels(self.field, self.classes, labels, scale)


@dataclass(frozen=True)
class OfLabels:
    """The field of points x (..., n, d) with labels (n,)."""

    field: Field
    classes: int
    labels: Tensor | None
    scale: float

    @property
    def data(self) -> int:
        """How many coordinates."""
        return self.field.data - self.classes

    def init(self, key: Key, dtype: torch.dtype = torch.float32, /) -> Params:
        """The field's parameters."""
        return self.field.init(key, dtype)

    def __call__(self, params: Params, x: Float[Tensor, "... d"], t: Float[Tensor, "..."], /) -> Float[Tensor, "... d"]:
        """The field at x and times t in [0, 1]."""
        none = x.new_zeros(*x.shape[:-1], self.classes)
        if self.labels is None:
            return self._at(params, x, t, none)
        known = self.labels[:, None] == torch.arange(self.classes, device=x.device)
        given = self._at(params, x, t, known.to(x).expand_as(none))
        return given if self.scale == 0 else given + self.scale * (given - self._at(params, x, t, none))

    def _at(self, params: Params, x: Tensor, t: Tensor, known: Tensor) -> Tensor:
        return self.field(params, torch.cat([x, known], -1), t)[..., : self.data]


def build(field: Field, classes: int) -> Guided:
    """A field of `classes` coordinates more than there are, such as fields.mlp(2 + 10, outputs=2) of 10 classes."""
    classes = check_count("classes", classes, 2)
    check_value("field", field, Field, "fields.mlp(2 + 10, outputs=2)")
    if field.data <= classes:
        raise ValueError(
            f"expected field of more than the {classes} classes, got one of {field.data} coordinates: a label stands "
            "beside them"
        )
    return Guided(field, classes)


def dropped(labels: Int[Tensor, " n"], key: Key, share: float) -> Int[Tensor, " n"]:
    """Labels of which each is -1 with probability `share`, so that the field is learned without them too."""
    check_key(key)
    share = check_number("share", share, "[0, 1)")
    check_tensor("labels", labels, "n", "one for each point")
    return torch.where(keys.uniform(key, (1, len(labels)))[0] < share, -1, labels)

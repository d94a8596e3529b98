"""What a model's data are: the axes and the values of each tensor by name.

    {"x": real("n 3"), "y": binary("n"), "county": index("n", 85)}

Tensors whose axes begin with n have one row per datum, of which minibatches take some; the others are known of all.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from jensen.core.checks import check_choice, check_count, check_floating, check_tensor, described, shown
from jensen.core.concrete import is_concrete
from jensen.core.trees import check_keys

VALUES = {
    "real": "finite numbers",
    "positive": "finite numbers > 0",
    "binary": "0 or 1",
    "count": "whole numbers >= 0",
    "index": "whole numbers from 0 to {last}",
}
WIDTH = "build the model for data of this width"


@dataclass(frozen=True)
class Column:
    """Values of a kind in VALUES on axes such as "n 3".

    size is how many places an index has, and rows how many data there must be, 0 for any number.
    """

    kind: str
    axes: str
    size: int = 0
    rows: int = 0

    def __post_init__(self) -> None:
        check_choice("kind", self.kind, tuple(VALUES))
        if not isinstance(self.axes, str):
            raise TypeError(f'expected axes, a string such as "n 3", got {described(self.axes)}: name them')
        check_count("size", self.size, int(self.kind == "index"))
        check_count("rows", self.rows, 0)

    @property
    def per_datum(self) -> bool:
        return self.axes.split()[:1] == ["n"]

    def check(self, name: str, value: object) -> None:
        """TypeError and ValueError for a tensor of other axes, dtype or values, naming it and its first bad row."""
        if self.kind in ("real", "positive"):
            check_floating(name, value, self.axes, WIDTH)
        check_tensor(name, value, self.axes, WIDTH)
        assert isinstance(value, Tensor)
        if self.rows and len(value) != self.rows:
            raise ValueError(
                f"expected {name} with {self.rows} rows, got {len(value)}: build the model for so many data"
            )
        if self.kind == "index" and (value.is_floating_point() or value.dtype == torch.bool):
            raise TypeError(f"expected {name}, whole numbers, got {value.dtype}: convert it with {name}.long()")
        if not is_concrete(value):
            return
        bad = ~self._holds(value)
        if bad.any():
            place = bad.nonzero()[0].tolist()
            at = f" at [{', '.join(map(str, place))}]" if place else ""
            expected = VALUES[self.kind].format(last=self.size - 1)
            raise ValueError(
                f"expected {name} {shown(self.axes)} of {expected}, got {value[tuple(place)].item():.6g}{at}: "
                "leave out, or mend, the rows outside the support"
            )

    def _holds(self, value: Tensor) -> Tensor:
        if self.kind == "binary":
            return (value == 0) | (value == 1)
        if self.kind == "count":
            return (value >= 0) & (value == value.round()) & (value < torch.inf)
        if self.kind == "index":
            return (value >= 0) & (value < self.size)
        return value.isfinite() & (value > 0) if self.kind == "positive" else value.isfinite()


def real(axes: str = "n", rows: int = 0) -> Column:
    return Column("real", axes, rows=rows)


def positive(axes: str = "n") -> Column:
    return Column("positive", axes)


def binary(axes: str = "n") -> Column:
    return Column("binary", axes)


def count(axes: str = "n") -> Column:
    return Column("count", axes)


def index(axes: str, size: int) -> Column:
    """Places among `size`, from 0."""
    return Column("index", axes, size)


def check_data(data: object, columns: Mapping[str, Column]) -> None:
    """All tensors of a model's data by its columns; without columns, that they are tensors."""
    if not isinstance(data, Mapping):
        raise TypeError(f"expected data, a dict of tensors, got {described(data)}: write {{'y': y}}")
    if columns:
        check_keys(data, columns, "data")
    for name, value in data.items():
        place = f"data[{name!r}]"
        columns[name].check(place, value) if name in columns else check_tensor(place, value)
    dtypes = {value.dtype for value in data.values() if value.is_floating_point()}
    if len(dtypes) > 1:
        kinds = ", ".join(f"{name} in {value.dtype}" for name, value in data.items() if value.is_floating_point())
        raise TypeError(f"expected data of one floating dtype, got {kinds}: convert them to one")


def per_datum(data: Mapping[str, Tensor], columns: Mapping[str, Column]) -> dict[str, Tensor]:
    """The tensors with one row per datum."""
    return {name: value for name, value in data.items() if (columns[name].per_datum if columns else value.ndim > 0)}


def number(data: Mapping[str, Tensor], columns: Mapping[str, Column]) -> int:
    """How many data there are. ValueError for tensors that differ in it."""
    sizes = {name: len(value) for name, value in per_datum(data, columns).items()}
    if len(set(sizes.values())) > 1:
        different = ", ".join(f"{size} in {name}" for name, size in sizes.items())
        raise ValueError(f"expected data of one number of rows, got {different}: give each datum a row in all of them")
    return next(iter(sizes.values()), 0)

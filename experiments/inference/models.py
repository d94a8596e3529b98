"""Ready models by name, and the posterior of one given a table of data."""

import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from jensen.core import spelling
from jensen.core.models import bayes
from jensen.experiments.inference import tables
from jensen.experiments.inference.embedded import EMBEDDED
from jensen.experiments.inference.tables import Table
from jensen.experiments.run.errors import InputError

SPREAD = "sigma0"  # of a series' first value: that of the series where no column has it


@dataclass(frozen=True)
class Ready:
    """A model of data of any size.

    build       the data by the model's names -> the model for their sizes
    takes       the model's names -> the column of each, unless others are named
    data        of the embedded data, or "" where a file is needed
    matrix      the name whose columns stand side by side, (n, p)
    intercept   whether a column of ones comes before them
    reported    names of reference draws -> the model's own
    """

    build: Callable[[Mapping[str, Tensor]], bayes.Model]
    takes: Mapping[str, str]
    data: str = ""
    matrix: str = ""
    intercept: bool = True
    reported: Mapping[str, str] = field(default_factory=dict)


def _regression(build: Callable[[int], bayes.Model], data: str, intercept: bool = True) -> Ready:
    return Ready(lambda data: build(data["x"].shape[1]), {"x": "x", "y": "y"}, data, "x", intercept)


def _series(build: Callable[[Mapping[str, Tensor]], bayes.Model], data: str = "series") -> Ready:
    return Ready(build, {"y": "y"}, data)


def _schools(centred: bool) -> Ready:
    def build(data: Mapping[str, Tensor]) -> bayes.Model:
        return bayes.eight_schools(len(data["y"]), centred)

    return Ready(build, {"y": "y", "sigma": "sigma"}, "eight-schools")


def _kidscore() -> Ready:
    takes = {"x": "mom_iq", "y": "kid_score"}
    return Ready(lambda _: bayes.noisy_regression(2, math.inf), takes, "", "x", reported={"beta": "weights"})


def _groups(centred: bool) -> Ready:
    def build(data: Mapping[str, Tensor]) -> bayes.Model:
        return bayes.hierarchical_regression(int(data["group"].max()) + 1, centred)

    return Ready(build, {"x": "x", "y": "y", "group": "group"}, "groups")


def _mixture(k: int = 3) -> Ready:
    def build(data: Mapping[str, Tensor]) -> bayes.Model:
        return bayes.gaussian_mixture(k, data["y"].shape[1])

    bayes.gaussian_mixture(k)  # for its check of k
    return Ready(build, {"y": "y"}, "iris", "y", False)


def _responses() -> Ready:
    return Ready(lambda data: bayes.item_response(*data["y"].shape), {"y": "y"}, "answers", "y", False)


ROWS: dict[str, Callable[..., Ready]] = {
    "eight-schools": lambda: _schools(False),
    "eight-schools-centred": lambda: _schools(True),
    "kidscore": _kidscore,
    "linear": lambda: _regression(bayes.linear_regression, "diabetes"),
    "noisy": lambda: _regression(bayes.noisy_regression, "diabetes"),
    "robust": lambda: _regression(bayes.robust_regression, "diabetes"),
    "horseshoe": lambda: _regression(bayes.horseshoe_regression, "diabetes", False),
    "logistic": lambda: _regression(bayes.logistic_regression, "breast-cancer"),
    "hierarchical": lambda: _groups(False),
    "hierarchical-centred": lambda: _groups(True),
    "mixture": _mixture,
    "ar": lambda lags=2: _series(lambda _: bayes.autoregression(lags)),
    "arma": lambda: _series(lambda _: bayes.arma()),
    "garch": lambda: Ready(lambda _: bayes.garch(), {"y": "y", SPREAD: SPREAD}, "returns"),
    "stochastic-volatility": lambda: _series(lambda data: bayes.stochastic_volatility(len(data["y"])), "returns"),
    "gaussian-process": lambda: _regression(bayes.gaussian_process, "curve", False),
    "item-response": _responses,
}
NAMES = tuple(spelling.forms(ROWS))


def parse(text: str) -> Ready:
    """The model of a name with its sizes, as in "ar(3)". InputError for an unknown one, with the nearest."""
    try:
        return spelling.parse(text, ROWS, "model")
    except ValueError as error:
        raise InputError(f"--model: {error}") from error


def table(ready: Ready, data: str | None) -> Table:
    """Embedded data by name, the model's own unless named, or those of a file."""
    name = ready.data if data is None else data
    if not name:
        raise InputError("expected --data FILE for this model, which has none of its own, got none")
    if name in EMBEDDED:
        return EMBEDDED[name]()
    path = Path(name)
    if not path.suffix and not path.exists():
        near = difflib.get_close_matches(name, EMBEDDED, n=1)
        meant = f" (the nearest is {near[0]!r})" if near else ""
        raise InputError(f"expected --data, a file or one of {', '.join(EMBEDDED)}, got {name!r}{meant}")
    return tables.read(path)


def chosen(ready: Ready, columns: Sequence[str]) -> dict[str, list[str]]:
    """The columns of each name that the model takes, of arguments such as "x=age,weight"."""
    found = {name: [column] for name, column in ready.takes.items()}
    for each in columns:
        name, equals, names = each.partition("=")
        if not equals or not names or name not in ready.takes:
            raise InputError(
                f"expected --columns as {' or '.join(f'{name}=COLUMN' for name in ready.takes)}, got {each!r}"
            )
        found[name] = names.split(",")
        if len(found[name]) > 1 and name != ready.matrix:
            raise InputError(f"expected one column for {name}, got {len(found[name])}: {name} is one number per datum")
    return found


def conditioned(ready: Ready, table: Table, columns: Sequence[str] = ()) -> bayes.Posterior:
    """The model's posterior given the columns. InputError for data that the model does not take."""
    data = {}
    for name, names in chosen(ready, columns).items():
        if name == SPREAD and names == [SPREAD] and SPREAD not in table.columns:
            data[name] = data["y"].std()
            continue
        parts = [table.tensor(each) for each in names]
        data[name] = _side_by_side(name, parts, ready) if name == ready.matrix else parts[0]
    for name, t in data.items():
        if name == SPREAD:
            continue
        axes = 2 if name == ready.matrix else 1
        if t.ndim != axes or not len(t):
            raise InputError(f"expected {name} with {axes} axes and a row per datum, got {tuple(t.shape)}")
    if "group" in data:
        data["group"] = _places(data["group"])
    try:
        return bayes.condition(ready.build(data), data)
    except (TypeError, ValueError) as error:
        raise InputError(f"{table.source}: {error}") from error


def _side_by_side(name: str, parts: Sequence[Tensor], ready: Ready) -> Tensor:
    wide = [t[:, None] if t.ndim == 1 else t for t in parts]
    if any(t.ndim != 2 or len(t) != len(wide[0]) for t in wide):
        raise InputError(f"expected columns of {name} of one length, got {[tuple(t.shape) for t in parts]}")
    ones = [torch.ones_like(wide[0][:, :1])] if ready.intercept else []
    return torch.cat([*ones, *wide], 1)


def _places(group: Tensor) -> Tensor:
    """Groups by the order of their numbers, from 0."""
    return torch.unique(group, return_inverse=True)[1]

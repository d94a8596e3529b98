"""A sweep's table: one line for each setting, numbers as means over seeds with their standard errors."""

import math
import statistics
from collections.abc import Sequence

from jensen.experiments.run.errors import InputError
from jensen.experiments.sweeps.trials import HELD_OUT, Ended

SECONDS = "training_s"
LARGE = 1e6  # from where on a number is written with its power of ten


def table(ended: Sequence[Ended], shown: Sequence[str] = ()) -> str:
    """`shown` names the numbers; the held-out score, or the first of the report, and the seconds unless given.

    InputError for a number that no trial has.
    """
    known = list(dict.fromkeys(name for each in ended for name in each.numbers))
    for name in shown:
        if known and name not in known:
            raise InputError(f"expected --show of what the reports have, {', '.join(known)}, got {name}")
    columns = list(shown) or [*([HELD_OUT] if HELD_OUT in known else known[:1]), *(n for n in known if n == SECONDS)]
    settings = list(dict.fromkeys(each.trial.varied for each in ended))
    names = [name for name, _ in settings[0]] if settings else []
    widths = [max(len(name), *(len(dict(s)[name]) for s in settings)) + 2 for name in names]
    head = "".join(f"{name:<{width}}" for name, width in zip(names, widths, strict=True))
    lines = [f"{head}{'runs':>5}" + "".join(f"{name:>26}" for name in columns)]
    for setting in settings:
        own = [each for each in ended if each.trial.varied == setting]
        done = [each.numbers for each in own if each.error is None]
        values = "".join(f"{value:<{width}}" for (_, value), width in zip(setting, widths, strict=True))
        cells = "".join(f"{_cell([n[name] for n in done if name in n]):>26}" for name in columns)
        failed = f"   {len(own) - len(done)} failed" if len(done) < len(own) else ""
        lines.append(f"{values}{len(done):>5}{cells}{failed}")
    return "\n".join(lines)


def _cell(values: Sequence[float]) -> str:
    """A mean with its standard error, which one value does not have."""
    if not values:
        return ""
    if len(values) == 1:
        return f"{values[0]:.4g}"
    mean, error = statistics.fmean(values), statistics.stdev(values) / math.sqrt(len(values))
    if error == 0 or abs(mean) >= LARGE or error >= LARGE:
        return f"{mean:.4g} ± {error:.1g}"
    digits = max(0, 1 - math.floor(math.log10(error)))
    return f"{mean:.{digits}f} ± {error:.{digits}f}"

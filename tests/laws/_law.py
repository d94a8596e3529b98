"""A law as a value: its kind, its statement, what it is tried on, and the planted bugs that break it.

    @law("bound", planted=lambda: [lambda log_w: torch.logsumexp(log_w, 0)])
    def equal_weights_give_their_value(bound):
        \"\"\"bound(c, …, c) = c.\"\"\"

A law raises AssertionError. Its docstring states it; `planted` makes values of its kind that it must refuse, and
tests/meta demands that it does. `needs` is the capability that calls for it, a Protocol of core/contracts.
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import SearchStrategy
from typing_extensions import is_protocol

from jensen.core.contracts import can

PHASES = [Phase.generate, Phase.shrink]
QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


class Subject(NamedTuple):
    """A value, and the example that its laws are tried on, for kinds that need one."""

    value: object
    example: object = None


@dataclass(frozen=True)
class Law:
    """One property of one kind of value.

    kind      "distribution", "exponential family", "flow", "bound", "estimator", "model", "density model", "quantiser",
              "coded model", "operation", "program", "posterior",
              "conjugate model"
    needs     the capability that calls for it, or None where every value of the kind obeys
    given     value -> strategy of what Hypothesis tries it on, or None
    planted   makes values that break it
    """

    kind: str
    needs: type | None
    given: Callable[[Any], SearchStrategy[Any]] | None
    planted: Callable[[], Sequence[object]]
    function: Callable[..., None]

    @property
    def name(self) -> str:
        return self.function.__name__

    @property
    def statement(self) -> str:
        return " ".join((self.function.__doc__ or "").split())

    def applies(self, value: object) -> bool:
        if self.needs is None:
            return True
        return can(value, self.needs) if is_protocol(self.needs) else isinstance(value, self.needs)

    def __call__(self, subject: Subject, max_examples: int | None = None) -> None:
        """Raises where the law is broken; Hypothesis adds the smallest counterexample it finds as a note."""
        arguments = (subject.value,) if subject.example is None else subject
        if self.given is None:
            self.function(*arguments)
            return
        many = max_examples or settings().max_examples

        @settings(
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=QUIET,
            phases=PHASES,
            max_examples=many,
        )
        @given(self.given(subject.value))
        def holds(drawn: object) -> None:
            self.function(*arguments, drawn)

        holds()


LAWS: list[Law] = []


def law(
    kind: str,
    *,
    planted: Callable[[], Sequence[object]],
    needs: type | None = None,
    given: Callable[[Any], SearchStrategy[Any]] | None = None,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Adds the function to the laws of its kind."""

    def register(function: Callable[..., None]) -> Callable[..., None]:
        LAWS.append(Law(kind, needs, given, planted, function))
        return function

    return register


def spoiled(value: Any, **members: object) -> Any:
    """The same value with other methods or class attributes: a planted bug. For NamedTuples and dataclasses."""
    kind = type(f"Spoiled{type(value).__name__}", (type(value),), members)
    if isinstance(value, tuple):
        return kind(*value)
    return kind(**{field.name: getattr(value, field.name) for field in dataclasses.fields(value)})

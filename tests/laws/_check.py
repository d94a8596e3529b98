"""Every law that a value's capabilities call for, tried at once or as one pytest case each."""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial

import torch
from torch import Tensor

from jensen.core import trees
from jensen.core.checks import check_count, described
from jensen.core.contracts import DensityModel, Distribution, Flow, LatentModel
from jensen.core.exponential import ExponentialFamily
from jensen.core.models.bayes import Posterior
from jensen.core.models.conjugate import ConjugateModel
from jensen.core.models.quantised import CodedModel, Quantiser
from jensen.laws._law import LAWS, Law, Subject
from jensen.laws.operations import Operation

KINDS = (
    "distribution", "exponential family", "flow", "bound", "estimator", "model", "density model", "quantiser",
    "coded model", "operation", "program", "posterior", "conjugate model",
)  # fmt: skip
EXAMPLES = {
    "exponential family": "q, a member with two data or more",
    "flow": "z (s, n, d)",
    "model": "data x (n, *event)",
    "density model": "data x (n, *event)",
    "quantiser": "vectors z (n, *positions, d)",
    "coded model": "data x (n, D)",
    "conjugate model": "data as its `prepare` takes them",
    "program": "data, a tree with the datum axis first",
}
PROGRAM = ("init", "turns", "batch", "score")
DOUBLE = ("distribution", "exponential family", "flow")  # whose laws hold to more digits than float32 has


def check(
    value: object,
    *,
    kind: str | None = None,
    example: object = None,
    expected_failures: Mapping[str, str] | None = None,
    max_examples: int | None = None,
) -> list[str]:
    """Tries every law that `value` owes, and returns their names.

    Args:
        value: a distribution, exponential family, flow, bound, gradient estimator, latent model, density model,
            quantiser, model of codes, operation, program, posterior or conjugate model.
        kind: which of those, where the value's methods or signature leave it open.
        example: for an exponential family a member, for a flow z (s, n, d), for a quantiser z (n, *positions, d), for a
            model, of latents, densities or codes, or a program training data.
        expected_failures: law -> the reason why this value breaks it. One that holds after all is a failure too.
        max_examples: how many examples Hypothesis tries for each law; its profile's number by default.

    Raises:
        AssertionError: names each broken law, what it states and the counterexample.
    """
    if not isinstance(expected_failures, Mapping | None):
        raise TypeError(
            f"expected expected_failures, a dict of reasons by law, got {described(expected_failures)}: pass {{}}"
        )
    expected = dict(expected_failures or {})
    max_examples = None if max_examples is None else check_count("max_examples", max_examples)
    owed = laws_for(value, kind=kind)
    _check_names(expected, owed)
    subject = _subject(value, kind or kind_of(value), example)
    broken = {law: fault for law in owed if (fault := _fault(law, subject, expected, max_examples))}
    if broken:
        listed = "\n".join(f"  {law.name}: {law.statement}\n    {fault}" for law, fault in broken.items())
        raise AssertionError(f"{_name(value)} breaks {len(broken)} of {len(owed)} laws:\n{listed}")
    return [law.name for law in owed]


def laws_for(value: object, *, kind: str | None = None) -> list[Law]:
    """The laws that a value owes by its kind and its capabilities."""
    kind = kind or kind_of(value)
    if kind not in KINDS:
        raise ValueError(f"expected a kind among {', '.join(KINDS)}, got {kind!r}")
    return [law for law in LAWS if law.kind == kind and law.applies(value)]


@dataclass(frozen=True)
class Trial:
    """One law of one value, as `parametrize` gives it to a test: call it with the value."""

    law: Law
    example: object
    reason: str | None
    max_examples: int | None

    def __call__(self, value: object) -> None:
        expected = {} if self.reason is None else {self.law.name: self.reason}
        subject = _subject(value, self.law.kind, self.example)
        if fault := _fault(self.law, subject, expected, self.max_examples):
            raise AssertionError(f"{_name(value)} breaks {self.law.name}: {self.law.statement}\n{fault}")


def parametrize(
    instances: Mapping[str, object] | Sequence[object],
    *,
    kind: str | None = None,
    examples: Mapping[str, object] | None = None,
    expected_failures: Mapping[str, Mapping[str, str]] | None = None,
    max_examples: int | None = None,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """One pytest case per instance and law:

        @laws.parametrize({"student": StudentT(...)}, expected_failures={"student": {"half_precision": "float64 only"}})
        def test_mine(value, law):
            law(value)

    `examples` and `expected_failures` are by the instance's name, which for a list is that of its type or function.
    """
    import pytest

    named = _named(instances)
    examples, expected_failures = examples or {}, expected_failures or {}
    for name in [*examples, *expected_failures]:
        if name not in named:
            raise ValueError(f"expected the name of an instance, got {name!r}{_nearest(name, named)}")
    cases = []
    for name, value in named.items():
        owed, reasons = laws_for(value, kind=kind), expected_failures.get(name, {})
        _check_names(reasons, owed)
        for law in owed:
            trial = Trial(law, examples.get(name), reasons.get(law.name), max_examples)
            cases.append(pytest.param(value, trial, id=f"{name}: {law.name}"))
    return pytest.mark.parametrize(("value", "law"), cases)


def kind_of(value: object) -> str:
    """What a value is, by its methods; for a plain function by the number of its positional parameters."""
    if isinstance(value, type):
        raise TypeError(f"expected a value, got the class {value.__name__}: make one, such as {value.__name__}(...)")
    if isinstance(value, Operation):
        return "operation"
    if isinstance(value, Posterior):
        return "posterior"
    if isinstance(value, ConjugateModel):
        return "conjugate model"
    if isinstance(value, LatentModel):
        return "model"
    if isinstance(value, DensityModel):
        return "density model"
    if isinstance(value, Quantiser):
        return "quantiser"
    if isinstance(value, CodedModel):
        return "coded model"
    if all(hasattr(value, name) for name in PROGRAM):
        return "program"
    if isinstance(value, Distribution):
        return "distribution"
    if isinstance(value, ExponentialFamily):
        return "exponential family"
    if isinstance(value, Flow):
        return "flow"
    if callable(value):
        positional = [p for p in inspect.signature(value).parameters.values() if p.kind <= p.POSITIONAL_OR_KEYWORD]
        required = [p for p in positional if p.default is p.empty]
        if len(positional) >= 3:
            return "estimator"
        if len(required) == 1:
            return "bound"
    raise TypeError(
        "expected a distribution, exponential family, flow, bound, gradient estimator, latent model, density model, "
        "quantiser, model of codes, operation, program, posterior or conjugate model, got "
        f"{_name(value)}: see the contracts' methods in jensen.core.contracts, or give its kind="
    )


def _named(instances: Mapping[str, object] | Sequence[object]) -> Mapping[str, object]:
    return instances if isinstance(instances, Mapping) else {_name(value): value for value in instances}


def _subject(value: object, kind: str, example: object) -> Subject:
    if kind in EXAMPLES and example is None:
        raise ValueError(f"expected an example for a {kind}, {EXAMPLES[kind]}: laws.check(value, example=...)")
    if kind in DOUBLE:
        for leaf in trees.leaves((value, example)):
            if isinstance(leaf, Tensor) and leaf.is_floating_point() and leaf.dtype != torch.float64:
                raise TypeError(
                    f"expected a {kind} in torch.float64, whose digits its laws need, got {leaf.dtype}: "
                    "cast it with trees.map(torch.Tensor.double, value)"
                )
    return Subject(value, example if kind in EXAMPLES else None)


def _fault(law: Law, subject: Subject, expected: Mapping[str, str], max_examples: int | None) -> str | None:
    """What is wrong: the law's own message, or that an expected failure did not come."""
    try:
        law(subject, max_examples)
    except Exception as error:  # whatever the value raises is its fault
        if law.name in expected:
            return None
        name = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
        said = f"{name}{error}".strip() or "it raises an AssertionError that says nothing"
        return "\n    ".join(said.splitlines() + _notes(error))
    if law.name in expected:
        return f"it holds, though a failure was expected ({expected[law.name]}): remove it from expected_failures"
    return None


def _notes(error: BaseException) -> list[str]:
    return [line for note in getattr(error, "__notes__", []) for line in note.splitlines()]


def _check_names(expected: Mapping[str, str], owed: Sequence[Law]) -> None:
    names = [law.name for law in owed]
    for name in expected:
        if name not in names:
            raise ValueError(f"expected the name of a law that this value owes, got {name!r}{_nearest(name, names)}")


def _nearest(name: str, known: Iterable[str]) -> str:
    close = get_close_matches(name, list(known), n=1)
    return f": did you mean {close[0]!r}?" if close else f": it is not among {', '.join(known)}"


def _name(value: object) -> str:
    if isinstance(value, partial):
        return _name(value.func)
    return getattr(value, "__name__", type(value).__name__)

"""Whether a value has the methods of a Protocol."""

from typing import Protocol, TypeVar

from typing_extensions import TypeIs

C = TypeVar("C")


def can(value: object, capability: type[C]) -> TypeIs[C]:
    """Whether the value's class has every member of a Protocol: `isinstance` that reads no property of the value.

    So it can be evaluated while torch.compile traces, where the value's fields do not exist yet.
    """
    return all(hasattr(type(value), name) for name in _names(capability))


def _names(capability: type) -> tuple[str, ...]:
    """The methods and properties of a Protocol and of those it extends."""
    return tuple(
        name
        for kind in capability.__mro__
        if kind.__dict__.get("_is_protocol") and kind is not Protocol
        for name in kind.__dict__
        if not name.startswith("_") or name == "__call__"
    )


# what torch.compiler.assume_constant_result sets, which imports the compiler: not all versions trace a type's fields
_names._dynamo_marked_constant = True  # pyright: ignore[reportFunctionMemberAccess]

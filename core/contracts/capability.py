"""Whether a value has the methods of a Protocol."""

from typing import Protocol, TypeVar

from typing_extensions import TypeIs

C = TypeVar("C")


def can(value: object, capability: type[C]) -> TypeIs[C]:
    """Whether the value's class has every member of a Protocol: `isinstance` that reads no property of the value.

    So it can be evaluated while torch.compile traces, where the value's fields do not exist yet.
    """
    return _has(type(value), capability)


def _has(kind: type, capability: type) -> bool:
    """Whether a class has the methods and properties of a Protocol and of those that it extends."""
    return all(
        hasattr(kind, name)
        for protocol in capability.__mro__
        if protocol.__dict__.get("_is_protocol") and protocol is not Protocol
        for name in protocol.__dict__
        if not name.startswith("_") or name == "__call__"
    )


# what torch.compiler.assume_constant_result sets, which imports the compiler: torch 2.11 cannot trace it, and need not
_has._dynamo_marked_constant = True  # pyright: ignore[reportFunctionMemberAccess]

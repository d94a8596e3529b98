"""Checks of arguments: one line that names the argument, what was expected, what came, and the fix.

    check_floating("x", x, "n 784", "add a batch axis with x[None]")
    s = check_count("s", s)
    check_key(key)

TypeError for another kind of value or dtype, ValueError for another shape or number. No values of a tensor are read, so
that all of them work under every transform and in compiled code; a microsecond each.
"""

from numbers import Integral, Real

import torch
from torch import Tensor

_VALUE = "pass a value such as DiagNormal(loc, log_scale)"


def check_tensor(name: str, value: object, axes: str = "...", fix: str = "") -> None:
    """A tensor with these axes, such as "s n", "n 784", whose last axis has that size, or "n *event" and "... d"."""
    if not isinstance(value, Tensor):
        given = f"convert it with torch.as_tensor({name})" if _is_array(value) else "pass a tensor"
        raise TypeError(f"expected {name} {shown(axes)}, a tensor, got {described(value)}: {given}")
    if not _fit(value.shape, axes):
        raise ValueError(f"expected {name} {shown(axes)}, got {tuple(value.shape)}" + (fix and f": {fix}"))


def check_floating(name: str, value: object, axes: str = "...", fix: str = "") -> None:
    """A tensor in floating point with these axes, as `check_tensor` takes them."""
    if axes == "..." and isinstance(value, Tensor) and value.is_floating_point():
        return
    check_tensor(name, value, axes, fix)
    if isinstance(value, Tensor) and not value.is_floating_point():
        raise TypeError(f"expected {name} in floating point, got {value.dtype}: convert it with {name}.float()")


def check_dtype(name: str, value: Tensor, like: Tensor, owner: str) -> None:
    """The dtype of `like`, a tensor of its owner, such as "the parameters"."""
    if value.dtype != like.dtype:
        raise TypeError(
            f"expected {name} in {like.dtype}, as {owner} have it, got {value.dtype}: convert it with "
            f"{name}.to({like.dtype})"
        )


def check_floating_dtype(dtype: object) -> None:
    """A dtype of floating point, such as torch.float32."""
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise TypeError(f"expected dtype, a floating-point one, got {described(dtype)}: pass torch.float32 or another")


def check_rows(name: str, value: Tensor, like: Tensor, owner: str) -> None:
    """As many rows as `like`, a tensor of its owner, such as "x"; a traced program leaves open how many."""
    if value.shape[0] != like.shape[0]:
        raise ValueError(
            f"expected {name} of {like.shape[0]} rows, as {owner} has, got {value.shape[0]}: pass one for each datum"
        )


def check_key(key: object, name: str = "key") -> None:
    """One key: an int64 tensor (3,)."""
    if not isinstance(key, Tensor):
        raise TypeError(f"expected {name}, an int64 tensor (3,), got {described(key)}: make one with keys.key(seed)")
    if key.dtype != torch.int64:
        raise TypeError(f"expected {name}, an int64 tensor (3,), got {key.dtype}: make one with keys.key(seed)")
    if key.shape != (3,):
        raise ValueError(
            f"expected {name}, an int64 tensor (3,), got {tuple(key.shape)}: make one with keys.key(seed), and map "
            "over several with torch.func.vmap"
        )


def check_count(name: str, value: object, least: int = 1) -> int:
    """A whole number of at least `least`, of Python or NumPy, as an int."""
    if isinstance(value, bool) or not isinstance(value, int | Integral | torch.SymInt):
        fix = "a key comes before it" if isinstance(value, Tensor) else "pass an int"
        raise TypeError(f"expected {name}, a whole number >= {least}, got {described(value)}: {fix}")
    count = value if isinstance(value, int | torch.SymInt) else int(value)
    if count < least:
        raise ValueError(f"expected {name}, a whole number >= {least}, got {value}: pass {least} or more")
    return count  # pyright: ignore[reportReturnType]


def check_sizes(name: str, sizes: object, least: int = 1, length: int | None = None) -> tuple[int, ...]:
    """A tuple or list of whole numbers of at least `least`, so many of them where a length is given, as a tuple."""
    if not isinstance(sizes, tuple | list):
        raise TypeError(f"expected {name}, a tuple of whole numbers >= {least}, got {described(sizes)}: pass a tuple")
    if length is not None and len(sizes) != length:
        raise ValueError(f"expected {name} of {length} whole numbers, got {described(sizes)}: pass one for each")
    if all(type(size) is int and size >= least for size in sizes):
        return tuple(sizes)
    return tuple(check_count(f"{name}[{i}]", size, least) for i, size in enumerate(sizes))


def check_number(name: str, value: object, interval: str = "(-inf, inf)", fix: str = "") -> float:
    """A real number of Python or NumPy in an interval, such as "[0, 1)", as a float. NaN is in none."""
    if isinstance(value, bool) or not isinstance(value, int | float | Real):
        raise TypeError(f"expected {name}, a number in {interval}, got {described(value)}: {fix or 'pass a float'}")
    low, high = (float(end) for end in interval[1:-1].split(","))
    number = float(value)
    above = low <= number if interval[0] == "[" else low < number
    below = number <= high if interval[-1] == "]" else number < high
    if not (above and below):
        raise ValueError(f"expected {name} in {interval}, got {value}: {fix or 'pass one in this interval'}")
    return number


def check_function(name: str, value: object, example: str) -> None:
    """A function, and not its name nor a class that makes one; while compiling anything, which fails at its call."""
    if torch.compiler.is_compiling():  # where `callable` cannot be asked of a tensor's methods
        return
    if isinstance(value, type) or not callable(value):
        raise TypeError(f"expected {name}, a function such as {example}, got {described(value)}: pass {example}")


def check_distribution(name: str, value: object) -> None:
    """A value with the methods of a `contracts.Distribution`, and not its class."""
    if isinstance(value, type) or not all(hasattr(value, method) for method in ("noise", "sample", "log_prob")):
        fix = "pass from_torch of it" if isinstance(value, torch.distributions.Distribution) else _VALUE
        raise TypeError(f"expected {name}, a distribution, got {described(value)}: {fix}")


def check_value(name: str, value: object, kind: type, example: str) -> None:
    """A value of a kind, which is a class or a runtime Protocol, such as that of an example; and not its class."""
    if isinstance(value, type) or not isinstance(value, kind):
        raise TypeError(f"expected {name}, such as {example}, got {described(value)}: pass a value")


def check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """One of a few words."""
    if not isinstance(value, str) or value not in choices:
        expected = ", ".join(f'"{choice}"' for choice in choices[:-1])
        raise ValueError(f'expected {name} {expected} or "{choices[-1]}", got {described(value)}: choose one of them')


def described(value: object) -> str:
    """A value in a few words on one line: a tensor by its shape and dtype."""
    if isinstance(value, Tensor):
        return f"a tensor {tuple(value.shape)} of {value.dtype}"
    if _is_array(value) and hasattr(value, "dtype"):
        return f"a NumPy array {getattr(value, 'shape', ())} of {getattr(value, 'dtype', None)}"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    text = repr(value)
    plain = isinstance(value, str | int | float | tuple | None) and len(text) <= 60 and text.isprintable()
    return text if plain else f"a {type(value).__name__}"


def shown(axes: str) -> str:
    """Axes as shapes are written: "n 784" as (n, 784), "n" as (n,)."""
    names = axes.split()
    return f"({names[0]},)" if len(names) == 1 and names[0] != "..." else f"({', '.join(names)})"


def _fit(shape: torch.Size, axes: str) -> bool:
    if axes == "...":
        return True
    names = axes.split()
    free = [i for i, name in enumerate(names) if name[0] in ".*"]  # any number of axes
    if len(shape) < len(names) - len(free) or (not free and len(shape) != len(names)):
        return False
    if free and not free[0]:
        names, shape = names[:0:-1], shape[::-1]
    return all(not name.isdigit() or int(name) == size for name, size in zip(names, shape, strict=False))


def _is_array(value: object) -> bool:
    """What torch.as_tensor takes: NumPy's arrays and numbers, lists and Python's numbers."""
    if isinstance(value, list | int | float) and not isinstance(value, bool):
        return True
    return type(value).__module__ == "numpy"

"""The fields of a distribution in coordinates without constraints, for optimisers and moves; and what they may be.

A distribution declares which values a constrained field may have by a class attribute, a bijection for each name:

    class Gamma(NamedTuple):
        concentration: Tensor
        rate: Tensor
        domains = {"concentration": Positive(), "rate": Positive()}

Fields that are not named may have any real values. A field that is a distribution, as a pushforward's base, has its
own; one that is a dict of tensors has a dict of bijections. The parameters of a `Given` are any real numbers.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from torch import Tensor

from jensen.core.checks import check_distribution, described
from jensen.core.concrete import is_concrete
from jensen.core.contracts import Bijection, can
from jensen.core.distributions.joint import Joint
from jensen.core.trees import Tree

Q = TypeVar("Q")
SHOWN = 3  # values outside a domain that the error lists


def to_real(q: Q) -> Q:
    """q's tree with each constrained field by its bijection's inverse: all leaves may have any real value.

    A tree for an optimiser, which is a distribution again after `from_real` alone. NaN stays NaN.
    """
    check_distribution("q", q)
    return _walk(None, q, q, lambda domain, field: domain.inverse(field)[0])


def from_real(q: Q, free: Tree) -> Q:
    """The distribution of q's kind whose fields in coordinates without constraints are `free`, differentiable in them.

        free = to_real(q)
        slopes = torch.func.grad(lambda free: loss(from_real(q, free)))(free)

    from_real(q, to_real(q)) = q. Only the kinds of q and of its parts matter, not its values.
    """
    check_distribution("q", q)
    if not isinstance(free, type(q)):
        raise TypeError(f"expected free, a tree of q's kind, got {described(free)}: pass one like to_real(q)")
    return _walk(None, q, free, lambda domain, field: domain.forward(field)[0])


def check_domains(q: object) -> None:
    """ValueError for a field of q with values outside its domain, where values can be read; NaN passes through."""
    for name, domain, field in _constrained(q):
        if not is_concrete(field) or (inside := domain.contains(field)).all():
            continue
        outside = ~inside & ~field.isnan().any(-1)
        if outside.any():
            row = field[outside][0] if outside.ndim else field
            alone = row[~domain.contains(row[..., None])]
            shown = ", ".join(f"{value:.4g}" for value in (alone if alone.numel() else row)[:SHOWN].tolist())
            onto = f"bijections.{type(domain).__name__}"
            raise ValueError(
                f"expected {type(q).__name__}'s {name} in the set of {onto}, got {shown}: "
                f"make it {onto}().forward(t)[0] of any real t"
            )


def _constrained(q: object) -> Iterator[tuple[str, Bijection, Tensor]]:
    """Each constrained field of q itself: its name, domain and values."""
    for name, domain in _domains(q).items():
        field = getattr(q, name)
        if can(domain, Bijection):
            yield name, domain, field
        else:
            yield from ((each, domain[each], field[each]) for each in domain)


def _domains(q: object) -> Mapping[str, Tree]:
    return getattr(q, "domains", {})


def _walk(domain: Tree, q: Tree, tree: Tree, step: Callable[[Bijection, Tensor], Tensor]) -> Tree:
    """`step(domain, field)` for every constrained field of q, of the values that stand at its place in `tree`."""
    if can(domain, Bijection):
        return step(domain, tree)
    if isinstance(domain, Mapping):
        return {name: _walk(domain.get(name), None, each, step) for name, each in tree.items()}
    if isinstance(q, Joint):
        return Joint(**{name: _walk(None, part, tree.latents[name], step) for name, part in q.latents.items()})
    if not isinstance(q, tuple):
        return tree
    fields = getattr(q, "_fields", None)
    if fields is None:
        return tuple(_walk(None, part, each, step) for part, each in zip(q, tree, strict=True))
    named = zip(fields, q, tree, strict=True)
    return type(q)(*(_walk(_domains(q).get(name), part, each, step) for name, part, each in named))

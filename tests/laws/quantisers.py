"""Laws of quantisers: codes in range, vectors that are those of codes, pure steps, a state without a gradient."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.func import grad, vmap

from jensen.core import keys, trees
from jensen.core.models.quantised import Quantised, Quantiser
from jensen.core.models.quantised.quantiser import follow
from jensen.core.trees import Params, Tree
from jensen.laws._law import Subject, law, spoiled
from jensen.laws.transforms import compiled

KEY = keys.key(28)


@dataclass(frozen=True)
class Lines:
    """The nearest of three lines' places, component by component, counting its codes: for planted bugs."""

    size: int = 9

    def init(self, key: Tensor, z: Tensor, /) -> tuple[Params, Tree]:
        return {"places": torch.tensor([-1.0, 0.1, 1.2], dtype=z.dtype)}, {"counts": torch.zeros(self.size)}

    def quantise(self, params: Params, state: Tree, z: Tensor, key: Tensor, /) -> Quantised:
        codes = self.encode(params, state, z)
        vectors = self.decode(params, state, codes)
        terms = {"commitment": (z - vectors.detach()).square().flatten(1).sum(1)}
        kl = z.new_full((len(z),), codes[0].numel()) * torch.tensor(self.size).log()
        after = Lines.follow(self, state, codes, key)
        return Quantised(vectors + z - z.detach(), codes, kl, terms, after, codes)

    def follow(self, state: Tree, seen: Tensor, key: Tensor, /) -> Tree:
        ones = torch.nn.functional.one_hot(seen.flatten(), self.size).to(state["counts"].dtype)
        return {"counts": state["counts"] + ones.sum(0)}

    def encode(self, params: Params, state: Tree, z: Tensor, /) -> Tensor:
        trees.check_keys(params, ("places",))
        digits = (z[..., None] - params["places"]).abs().argmin(-1)
        return digits[..., 0] + 3 * digits[..., 1]

    def decode(self, params: Params, state: Tree, codes: Tensor, /) -> Tensor:
        trees.check_keys(params, ("places",))
        return params["places"][torch.stack([codes % 3, codes // 3], -1)]


Z = keys.normal(keys.key(29), (5, 4, 2), torch.float64)


def of(**methods: Any) -> list[Subject]:
    return [Subject(spoiled(Lines(), **methods), Z)]


def changed(change: Callable[[Quantised, Tensor], Quantised]) -> list[Subject]:
    """With another result of `quantise`, a function of it and of z."""
    return of(quantise=lambda quantiser, *given: change(Lines.quantise(quantiser, *given), given[2]))


def step(quantiser: Quantiser, z: Tensor) -> Quantised:
    params, state = quantiser.init(KEY, z)
    return quantiser.quantise(params, state, z, KEY)


@law(
    "quantiser",
    planted=lambda: [
        *changed(lambda q, z: q._replace(codes=q.codes + 1)),
        *changed(lambda q, z: q._replace(codes=q.codes.to(z.dtype))),
        *changed(lambda q, z: q._replace(terms={"commitment": q.terms["commitment"].mean()})),
        *of(decode=lambda quantiser, *given: Lines.decode(quantiser, *given).flatten(1)),
    ],
)
def codes_are_whole_numbers_below_size(quantiser: Quantiser, z: Tensor) -> None:
    """Codes (n, *positions, …) from 0 to size - 1; vectors as z, in its type; kl and terms (n,), finite."""
    q, (params, state) = step(quantiser, z), quantiser.init(KEY, z)
    for codes in (q.codes, quantiser.encode(params, state, z)):
        assert not codes.is_floating_point(), f"expected whole numbers, got {codes.dtype}"
        assert codes.shape[: z.ndim - 1] == z.shape[:-1], f"expected codes of {tuple(z.shape[:-1])}, {codes.shape}"
        assert ((codes >= 0) & (codes < quantiser.size)).all(), f"codes from {codes.min()} to {codes.max()}"
    assert (q.z.shape, q.z.dtype) == (z.shape, z.dtype), f"expected vectors as z, got {q.z.shape} in {q.z.dtype}"
    assert quantiser.decode(params, state, q.codes).shape == z.shape, "decode gives no vector for each position"
    for name, term in {"kl": q.kl, **q.terms}.items():
        assert term.shape == (len(z),), f"expected {name} ({len(z)},), a number per datum, got {tuple(term.shape)}"
        assert torch.isfinite(term).all(), f"{name} is not finite"


@law("quantiser", planted=lambda: changed(lambda q, z: q._replace(z=0.9 * q.z)))
def quantised_vectors_are_those_of_the_codes(quantiser: Quantiser, z: Tensor) -> None:
    """quantise(z).z = decode(quantise(z).codes)."""
    params, state = quantiser.init(KEY, z)
    q = quantiser.quantise(params, state, z, KEY)
    decoded = quantiser.decode(params, state, q.codes)
    torch.testing.assert_close(q.z, decoded.to(q.z.dtype), rtol=1e-6, atol=1e-6)


@law("quantiser", planted=lambda: of(decode=lambda q, params, state, codes: Lines.decode(q, params, state, codes % 3)))
def vectors_tell_codes_apart(quantiser: Quantiser, z: Tensor) -> None:
    """Vectors of equal codes are equal, and those of different codes are not."""
    params, state = quantiser.init(KEY, z)
    codes = quantiser.encode(params, state, z)
    vectors = quantiser.decode(params, state, codes).flatten(0, z.ndim - 2)
    flat = codes.reshape(len(vectors), -1)
    same = (flat[:, None] == flat).all(-1)
    near = (vectors[:, None] - vectors).abs().amax(-1) < 1e-6
    assert not same.all(), "expected an example z of different codes"
    assert (near == same).all(), "different codes have one vector" if (near & ~same).any() else "vectors differ"


@law(
    "quantiser",
    planted=lambda: [
        *changed(lambda q, z: q._replace(kl=q.kl / torch.tensor(2.0).log())),
        *changed(lambda q, z: q._replace(kl=q.kl - 9)),
    ],
)
def kl_is_at_most_that_of_certain_codes(quantiser: Quantiser, z: Tensor) -> None:
    """0 <= kl <= log size for each code of a datum, in nats."""
    q = step(quantiser, z)
    most = q.codes[0].numel() * torch.tensor(float(quantiser.size), dtype=q.kl.dtype).log()
    assert (q.kl >= 0).all(), f"a kl of {q.kl.min()}"
    assert (q.kl <= most * (1 + 1e-6)).all(), f"a kl of {q.kl.max()} nats, above {most}"


def _in_place(quantiser: Lines, params: Params, state: Tree, z: Tensor, key: Tensor) -> Quantised:
    state["counts"] += 1
    return Lines.quantise(quantiser, params, state, z, key)


@law(
    "quantiser", planted=lambda: [*changed(lambda q, z: q._replace(kl=q.kl * torch.rand(()))), *of(quantise=_in_place)]
)
def steps_are_pure(quantiser: Quantiser, z: Tensor) -> None:
    """The same arguments give the same bits twice, and are not written to."""
    given = (*quantiser.init(KEY, z), z)
    before = trees.map(lambda t: t.clone(), given)
    one, other = quantiser.quantise(*given, KEY), quantiser.quantise(*given, KEY)
    coded = quantiser.encode(*given), quantiser.encode(*given)
    for a, b in zip(*map(trees.leaves, ((one, coded[0]), (other, coded[1]))), strict=True):
        assert torch.equal(a, b), "a step is not repeatable"
    for a, b in zip(*map(trees.leaves, (given, before)), strict=True):
        assert torch.equal(a, b), "a step changed what it was given"


@law(
    "quantiser",
    planted=lambda: [
        *changed(lambda q, z: q._replace(state={**q.state, "steps": torch.ones(())})),
        *changed(lambda q, z: q._replace(state={"counts": q.state["counts"][:-1]})),
        *changed(lambda q, z: q._replace(state={"counts": q.state["counts"] + z.sum()})),
    ],
)
def states_keep_their_structure_and_have_no_gradient(quantiser: Quantiser, z: Tensor) -> None:
    """The next state has the tensors of the first, by name, shape and type, and none has a gradient in z."""
    params, state = quantiser.init(KEY, z)

    def following(z: Tensor) -> dict[str, Tensor]:
        return trees.paths(quantiser.quantise(params, state, z, KEY).state)

    first, after = trees.paths(state), following(z)
    assert all(isinstance(t, Tensor) for t in first.values()), "a state is a tree of tensors"
    shapes = [{name: (t.shape, t.dtype) for name, t in each.items()} for each in (first, after)]
    assert shapes[0] == shapes[1], f"expected a state of {shapes[0]}, got {shapes[1]}"
    slope = grad(lambda z: sum((t.sum() for t in following(z).values()), 0 * z.sum()))(z)
    assert not slope.any(), "the next state has a gradient in z"


@law(
    "quantiser",
    planted=lambda: [
        *of(follow=lambda quantiser, state, seen, key: state),
        *of(follow=lambda quantiser, state, seen, key: Lines.follow(quantiser, state, seen[:-1], key)),
        *changed(lambda q, z: q._replace(seen=q.seen[:1])),
        *changed(lambda q, z: q._replace(seen=())),
    ],
)
def a_state_follows_what_its_parts_have_seen(quantiser: Quantiser, z: Tensor) -> None:
    """`follow` of what the first datum and the others have seen is the state that `quantise` leaves of all."""
    params, state = quantiser.init(KEY, z)
    whole = quantiser.quantise(params, state, z, KEY)
    given = (z[:1], KEY), (z[1:], keys.at(KEY, datum=1))
    parts = [quantiser.quantise(params, state, *part).seen for part in given]
    seen = trees.map(lambda *rows: torch.cat(rows), *parts)
    for a, b in zip(*map(trees.leaves, (whole.state, follow(quantiser, state, seen, KEY))), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)


@law(
    "quantiser",
    planted=lambda: of(encode=lambda q, params, state, z: Lines.encode(q, params, state, z - z.mean((0, 1)))),
)
def each_datum_has_its_own_codes(quantiser: Quantiser, z: Tensor) -> None:
    """The codes, vectors and kl of the last datum are those that it has alone, with the key at its place."""
    params, state = quantiser.init(KEY, z)
    last, key = len(z) - 1, keys.at(KEY, datum=len(z) - 1)
    whole, alone = quantiser.quantise(params, state, z, KEY), quantiser.quantise(params, state, z[last:], key)
    assert torch.equal(whole.codes[last:], alone.codes), "a datum has other codes among others"
    assert torch.equal(quantiser.encode(params, state, z)[last:], quantiser.encode(params, state, z[last:]))
    torch.testing.assert_close(whole.z[last:], alone.z, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(whole.kl[last:], alone.kl, rtol=1e-6, atol=1e-6)


def objective(quantiser: Quantiser, params: Params, state: Tree, z: Tensor, key: Tensor) -> Tensor:
    """A function of all that has a gradient."""
    q = quantiser.quantise(params, state, z, key)
    return q.z.sin().sum() - q.kl.sum() - sum((t.sum() for t in q.terms.values()), 0 * q.kl.sum())


@law(
    "quantiser",
    planted=lambda: [
        *changed(lambda q, z: q._replace(z=q.z.detach(), terms={})),
        *changed(lambda q, z: q._replace(z=q.z + (0 * z).sqrt())),
    ],
)
def gradients_reach_z_and_every_parameter(quantiser: Quantiser, z: Tensor) -> None:
    """The gradient of a function of z, kl and terms is finite, and not 0, in z and in every parameter."""
    params, state = quantiser.init(KEY, z)
    slopes = grad(lambda given: objective(quantiser, given["params"], state, given["z"], KEY))(
        {"params": params, "z": z}
    )
    for path, slope in trees.paths(slopes).items():
        assert torch.isfinite(slope).all(), f"the gradient of {path} is not finite"
        assert (slope != 0).any(), f"no gradient reaches {path}"


def _refusal(call: Callable[[], object]) -> str:
    """What the KeyError says, or nothing."""
    try:
        call()
    except KeyError as error:
        return str(error)
    return ""


@law("quantiser", planted=lambda: of(encode=lambda q, params, state, z: (z[..., 0] > 0).long()))
def unknown_parameters_of_quantisers_are_named(quantiser: Quantiser, z: Tensor) -> None:
    """quantise, encode and decode raise a KeyError that names a parameter they do not know."""
    params, state = quantiser.init(KEY, z)
    codes, wrong = quantiser.encode(params, state, z), {**params, "mistyped": torch.zeros(())}
    for call in (
        lambda: quantiser.quantise(wrong, state, z, KEY),
        lambda: quantiser.encode(wrong, state, z),
        lambda: quantiser.decode(wrong, state, codes),
    ):
        said = _refusal(call)
        assert "mistyped" in said, f"expected a KeyError that names 'mistyped', got {said or 'none'}"


def traced(quantiser: Quantiser, z: Tensor) -> Callable[[Tensor, Tensor], Tree]:
    """A step as a function of z and a key: its gradients, codes and next state."""
    params, state = quantiser.init(KEY, z)

    def both(z: Tensor, key: Tensor) -> Tree:
        q = quantiser.quantise(params, state, z, key)
        return grad(lambda p, z: objective(quantiser, p, state, z, key), (0, 1))(params, z), q.codes, q.state

    return both


@law("quantiser", planted=lambda: changed(lambda q, z: q._replace(z=q.z * (1 if z.sum() > 0 else 2))))
def quantisers_map(quantiser: Quantiser, z: Tensor) -> None:
    """vmap of a step over z and keys is a loop."""
    both, zs, several = traced(quantiser, z), torch.stack([z, z.flip(0)]), keys.split(KEY)
    each = [trees.leaves(both(*given)) for given in zip(zs, several, strict=True)]
    for mapped, one, other in zip(trees.leaves(vmap(both)(zs, several)), *each, strict=True):
        torch.testing.assert_close(mapped, torch.stack([one, other]), rtol=1e-6, atol=1e-6)


@law("quantiser", planted=lambda: changed(lambda q, z: q._replace(z=q.z if z.sum() > 0 else 1 * q.z)))
def quantisers_compile(quantiser: Quantiser, z: Tensor) -> None:
    """A step as one graph is the eager one."""
    both = traced(quantiser, z)
    for found, expected in zip(trees.leaves(compiled(both)(z, KEY)), trees.leaves(both(z, KEY)), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)

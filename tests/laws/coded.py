"""Laws of models whose latents are codes: codes out, codes in, and training steps whose state goes in and out."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.func import grad

from jensen.core import keys, trees
from jensen.core.contracts import Distribution
from jensen.core.distributions import DiagNormal
from jensen.core.models.quantised import CodedModel, CodeMap, Step
from jensen.core.objectives import Terms
from jensen.core.trees import Params, Tree
from jensen.laws._law import Subject, law, spoiled
from jensen.laws.transforms import compiled

KEY = keys.key(31)


@dataclass(frozen=True)
class Signs:
    """Two scales times the signs of pairs of pixels, with the largest and the number of steps: for planted bugs."""

    pairs: int = 3

    @property
    def maps(self) -> tuple[CodeMap, ...]:
        return (CodeMap((self.pairs,), 2),)

    def init(self, key: Tensor, x: Tensor, /) -> tuple[Params, Tree]:
        return {"scale": 1 + keys.uniform(key, (2,), x.dtype)}, {"steps": torch.zeros(()), "largest": x[0]}

    def step(self, params: Params, state: Tree, x: Tensor, key: Tensor, /) -> Step:
        codes = self.codes(params, state, x)
        log_p = self.likelihood(params, state, codes).log_prob(x)
        kl = x.new_full((len(x),), self.pairs) * torch.tensor(2.0).log()
        return Step(Terms(log_p - kl, log_p, kl, 0 * kl, {}), {}, codes, Signs.follow(self, state, x, key), x)

    def follow(self, state: Tree, seen: Tensor, key: Tensor, /) -> Tree:
        return {"steps": state["steps"] + 1, "largest": torch.maximum(state["largest"], seen.amax(0))}

    def codes(self, params: Params, state: Tree, x: Tensor, /) -> Tensor:
        return (x.unflatten(1, (self.pairs, 2)).sum(-1) > 0).long()

    def likelihood(self, params: Params, state: Tree, codes: Tensor, /) -> DiagNormal:
        loc = ((2 * codes[..., None] - 1) * params["scale"]).flatten(1)
        return DiagNormal(loc, torch.zeros_like(loc))

    def decode_codes(self, params: Params, state: Tree, codes: Tensor, /) -> Tensor:
        return self.likelihood(params, state, codes).loc

    def independent(self, x: Tensor, /) -> Distribution:
        return DiagNormal(x.mean(0), x.std(0).log())


X = keys.normal(keys.key(32), (7, 6), torch.float64)


def of(**methods: Any) -> list[Subject]:
    return [Subject(spoiled(Signs(), **methods), X)]


def changed(change: Callable[[Step, Tensor], Step]) -> list[Subject]:
    """With another result of `step`, a function of it and of x."""
    return of(step=lambda model, *given: change(Signs.step(model, *given), given[2]))


@law(
    "coded model",
    planted=lambda: [
        *of(codes=lambda model, *given: Signs.codes(model, *given) + 1),
        *of(codes=lambda model, *given: Signs.codes(model, *given)[:, None]),
        *of(codes=lambda model, *given: Signs.codes(model, *given).double()),
        *changed(lambda step, x: step._replace(codes=step.codes[:, :1])),
    ],
)
def codes_are_of_the_maps(model: CodedModel, x: Tensor) -> None:
    """Codes of data and of a step have a leaf for each map, (n, *shape), of whole numbers below its size."""
    params, state = model.init(KEY, x)
    for codes in (model.codes(params, state, x), model.step(params, state, x, KEY).codes):
        leaves = trees.leaves(codes)
        assert len(leaves) == len(model.maps), f"expected codes of {len(model.maps)} maps, got {len(leaves)}"
        for own, each in zip(leaves, model.maps, strict=True):
            assert not own.is_floating_point(), f"expected whole numbers, got {own.dtype}"
            assert own.shape == (len(x), *each.shape), f"expected codes {(len(x), *each.shape)}, got {own.shape}"
            assert ((own >= 0) & (own < each.size)).all(), f"codes from {own.min()} to {own.max()} of {each.size}"


@law(
    "coded model",
    planted=lambda: [
        *of(decode_codes=lambda model, *given: 1.01 * Signs.decode_codes(model, *given)),
        *of(decode_codes=lambda model, *given: Signs.decode_codes(model, *given)[:, :-1]),
        *of(decode_codes=lambda model, *given: Signs.decode_codes(model, *given) + torch.rand(())),
    ],
)
def codes_go_out_and_in(model: CodedModel, x: Tensor) -> None:
    """decode_codes(codes(x)) is the mean of p(x | codes(x)), (n, D), the same bits twice."""
    params, state = model.init(KEY, x)
    codes = model.codes(params, state, x)
    decoded, p = model.decode_codes(params, state, codes), model.likelihood(params, state, codes)
    assert decoded.shape == x.shape, f"expected data {tuple(x.shape)}, got {tuple(decoded.shape)}"
    assert torch.equal(decoded, model.decode_codes(params, state, codes)), "decode_codes is not repeatable"
    assert torch.equal(decoded, p.mean()), "decode_codes is not the mean of the likelihood"  # pyright: ignore
    assert p.log_prob(x).shape == (len(x),), "expected log p(x | codes) (n,)"


@law(
    "coded model",
    planted=lambda: of(decode_codes=lambda model, p, s, codes: Signs.decode_codes(model, p, s, 0 * codes)),
)
def other_codes_are_other_data(model: CodedModel, x: Tensor) -> None:
    """Every leaf of the codes counts: data decoded from another datum's codes in one map are others."""
    params, state = model.init(KEY, x)
    codes = model.codes(params, state, x)
    whole = model.decode_codes(params, state, codes)
    for path, own in trees.paths(codes).items():
        others = trees.from_paths({**trees.paths(codes), path: own.roll(1, 0)}, codes)
        assert not torch.equal(model.decode_codes(params, state, others), whole), f"codes {path} change nothing"


@law("coded model", planted=lambda: of(codes=lambda model, p, s, x: Signs.codes(model, p, s, x - x.mean(0))))
def each_datum_is_coded_by_itself(model: CodedModel, x: Tensor) -> None:
    """The codes of the last datum, and what they are decoded to, are those that it has alone."""
    params, state = model.init(KEY, x)
    whole, alone = (model.codes(params, state, part) for part in (x, x[-1:]))
    last = trees.map(lambda t: t[-1:], whole)
    for a, b in zip(trees.leaves(last), trees.leaves(alone), strict=True):
        assert torch.equal(a, b), "a datum has other codes among others"
    both = (model.decode_codes(params, state, codes)[-1:] for codes in (whole, alone))
    torch.testing.assert_close(*both, rtol=1e-6, atol=1e-6)


@law(
    "coded model",
    planted=lambda: [
        *changed(lambda step, x: step._replace(penalties={"commitment": x.square().sum(-1)})),
        *changed(lambda step, x: step._replace(terms=step.terms._replace(objective=step.terms.reconstruction))),
        *changed(lambda step, x: step._replace(state={**step.state, "steps": torch.zeros(2)})),
        *changed(lambda step, x: step._replace(state={**step.state, "steps": torch.rand(())})),
        *changed(lambda step, x: step._replace(state={**step.state, "steps": step.terms.objective.sum()})),
    ],
)
def steps_are_pure_and_keep_their_state(model: CodedModel, x: Tensor) -> None:
    """The same bits twice, and objective = reconstruction - kl - the sum of penalties.

    The state keeps its structure, and follows no gradient.
    """
    params, state = model.init(KEY, x)
    one, other = model.step(params, state, x, KEY), model.step(params, state, x, KEY)
    for a, b in zip(trees.leaves(one), trees.leaves(other), strict=True):
        assert torch.equal(a, b), "a step is not repeatable"
    terms, penalty = one.terms, sum(one.penalties.values(), torch.zeros_like(one.terms.kl))
    torch.testing.assert_close(terms.objective, terms.reconstruction - terms.kl - penalty)
    before, after = ({path: (t.shape, t.dtype) for path, t in trees.paths(s).items()} for s in (state, one.state))
    assert before == after, f"the state was {before}, and is {after}"
    moved = grad(lambda p: _sum(model.step(p, state, x, KEY).state, x))(params)
    assert not any(t.any() for t in trees.leaves(moved)), "the next state has a gradient"


@law(
    "coded model",
    planted=lambda: [
        *of(follow=lambda model, state, seen, key: Signs.follow(model, state, seen[-1:], key)),
        *of(follow=lambda model, state, seen, key: {**state, "steps": state["steps"] + len(seen)}),
        *changed(lambda step, x: step._replace(seen=x[:1])),
    ],
)
def what_parts_have_seen_gives_the_state_of_the_whole(model: CodedModel, x: Tensor) -> None:
    """`follow` of what steps on the first datum and on the others have seen is the state of a step on all."""
    params, state = model.init(KEY, x)
    whole = model.step(params, state, x, KEY)
    parts = model.step(params, state, x[:1], KEY), model.step(params, state, x[1:], keys.at(KEY, datum=1))
    seen = trees.map(lambda *rows: torch.cat(rows), *(part.seen for part in parts))
    for a, b in zip(*map(trees.leaves, (whole.state, model.follow(state, seen, KEY))), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)


@law("coded model", planted=lambda: changed(lambda step, x: step._replace(terms=trees.stop(step.terms))))
def gradients_of_steps_reach_every_parameter(model: CodedModel, x: Tensor) -> None:
    """The objective's gradient is finite, and not 0 in any tensor of the parameters."""
    params, state = model.init(KEY, x)
    slopes = grad(lambda p: model.step(p, state, x, KEY).terms.objective.sum())(params)
    for path, slope in trees.paths(slopes).items():
        assert torch.isfinite(slope).all(), f"the gradient of {path} is not finite"
        assert (slope != 0).any(), f"no gradient reaches {path}"


@law("coded model", planted=lambda: changed(lambda step, x: step if x.sum() > 0 else step._replace(penalties={})))
def steps_of_codes_compile(model: CodedModel, x: Tensor) -> None:
    """The gradient, codes and next state of a step as one graph are the eager ones."""
    params, state = model.init(KEY, x)

    def both(x: Tensor, key: Tensor) -> Tree:
        step = model.step(params, state, x, key)
        return grad(lambda p: model.step(p, state, x, key).terms.objective.sum())(params), step.codes, step.state

    for found, expected in zip(trees.leaves(compiled(both)(x, KEY)), trees.leaves(both(x, KEY)), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


def _sum(tree: Tree, like: Tensor) -> Tensor:
    return sum((t.sum() for t in trees.leaves(tree) if t.is_floating_point()), 0 * like.sum())

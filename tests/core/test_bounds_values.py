"""Bounds as values: equal by type and fields, additive or not, and written by name."""

import math
import pickle

import pytest
import torch
from torch.func import grad, vmap

from jensen.core import bounds, keys
from jensen.core.contracts import Bound, Derivatives
from jensen.core.divergences import generators

LOG_W = keys.normal(keys.key(5), (6, 3), torch.float64)
ELBOS = {
    "elbo": bounds.elbo,
    "Renyi": bounds.Renyi(1),
    "Miwae": bounds.Miwae(6, 1),
    "Ciwae": bounds.Ciwae(1),
    "Tvo": bounds.Tvo((0, 1)),
    "TailAdaptive": bounds.TailAdaptive(0),
    "Csiszar": bounds.Csiszar(generators.reverse_kl),
    "function": lambda log_w: log_w.mean(0),
    "weighted": lambda log_w: torch.einsum("sn,s->n", log_w, torch.arange(6).to(log_w.dtype)) / 15,
}
OTHERS = {
    "iwae": bounds.iwae,
    "vr_max": bounds.vr_max,
    "Renyi": bounds.Renyi(0.999),
    "Cubo": bounds.Cubo(1),
    "Miwae": bounds.Miwae(3, 2),
    "Jackknife": bounds.Jackknife(),
    "Sumo": bounds.Sumo(),
    "TailAdaptive": bounds.TailAdaptive(),
    "Csiszar": bounds.Csiszar(generators.chi2),
    "an IWAE": lambda log_w: torch.logsumexp(log_w, 0) - math.log(len(log_w)),
    "maximum": lambda log_w: log_w.amax(0),
    "median": lambda log_w: log_w.median(0).values,
    "trimmed": lambda log_w: log_w.sort(0).values[1:-1].mean(0),
    "clamped": lambda log_w: log_w.clamp(-30, 30).mean(0),
    "ranks": lambda log_w: bounds.TailAdaptive()(log_w),
    "shifted": lambda log_w: log_w.mean(0) + 1,
    "twice": lambda log_w: 2 * log_w.mean(0),
}


def test_equality_is_by_type_and_value():
    assert bounds.Renyi(1) == bounds.Renyi(1.0) == bounds.elbo
    assert bounds.Renyi(-0.0) == bounds.iwae
    assert bounds.Renyi(-math.inf) == bounds.vr_max
    assert hash(bounds.Renyi(1)) == hash(bounds.elbo)
    assert bounds.Renyi(2.0) != bounds.Cubo(2.0)
    assert bounds.Renyi(0.0) != bounds.Ciwae(0.0)
    assert bounds.Tvo([0, 1]) == bounds.Tvo((0.0, 1.0))
    assert pickle.loads(pickle.dumps(bounds.Miwae(2, 3))) == bounds.Miwae(2, 3)
    with pytest.raises(AttributeError):
        bounds.elbo.alpha = 0.0


def test_bounds_fulfil_their_contracts():
    for bound in (*ELBOS.values(), *OTHERS.values()):
        assert isinstance(bound, Bound)
        assert isinstance(bound, Derivatives) == (not isinstance(bound, bounds.Csiszar) and hasattr(bound, "additive"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("expected", "family"), [(True, ELBOS), (False, OTHERS)], ids=["elbos", "others"])
def test_additivity_is_known_or_found(expected, family, dtype):
    for name, bound in family.items():
        found = bounds.additive(bound, LOG_W.to(dtype))
        assert isinstance(found, bool) == isinstance(bound, Derivatives), name
        assert bool(found) == expected, name
        again = bounds.additive(lambda log_w, f=bound: f(log_w), LOG_W.to(dtype))
        assert again.shape == ()
        assert bool(again) == expected, name


def test_every_bound_of_one_sample_is_additive():
    for bound in (bounds.iwae, bounds.Cubo(), bounds.Sumo(), OTHERS["an IWAE"], OTHERS["median"]):
        assert bounds.additive(bound, 1)
        assert bounds.additive(bound, LOG_W[:1])
        assert not bounds.additive(bound, 2)


def test_additivity_is_found_under_transforms():
    def mean(log_w):
        return log_w.mean(0)

    for bound, expected in ((mean, True), (OTHERS["an IWAE"], False), (OTHERS["median"], False)):
        choice = lambda t, f=bound: bounds.choose(bounds.additive(f, t), lambda: t.sum(), lambda: 2 * t.sum())  # noqa: E731
        found = torch.compile(vmap(grad(choice)), fullgraph=True, backend="aot_eager")(LOG_W[None])
        torch.testing.assert_close(found, torch.full_like(LOG_W, 1.0 if expected else 2.0)[None])


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("elbo", bounds.elbo), (" IWAE ", bounds.iwae), ("vr-max", bounds.vr_max), ("renyi(0.5)", bounds.Renyi(0.5)),
        ("renyi(-inf)", bounds.vr_max), ("cubo(2)", bounds.Cubo(2)), ("tvo(5)", bounds.Tvo(bounds.log_betas(5))),
        ("tvo(3, right)", bounds.Tvo(bounds.log_betas(3), "right")), ("miwae(2,3)", bounds.Miwae(2, 3)),
        ("ciwae(0.5)", bounds.Ciwae(0.5)), ("jackknife(2)", bounds.Jackknife(2)), ("sumo(1)", bounds.Sumo(1)),
        ("csiszar(jensen-shannon)", bounds.Csiszar(generators.jensen_shannon)),
        ("tail-adaptive(-1)", bounds.TailAdaptive()),
    ],
)  # fmt: skip
def test_bounds_are_written_by_name(text, bound):
    assert bounds.parse(text) == bound


def test_every_name_has_a_bound():
    assert len(bounds.NAMES) == 12
    assert {name.partition("(")[0] for name in bounds.NAMES} == {
        "elbo", "iwae", "vr-max", "renyi", "cubo", "tvo", "miwae", "ciwae", "jackknife", "sumo", "csiszar",
        "tail-adaptive",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("iwa", r"unknown bound 'iwa' \(the nearest is 'iwae'\): expected one of elbo, iwae, "),
        ("reny(0.5)", r"the nearest is 'renyi'"),
        ("", "expected the bound as name"),
        ("renyi", r"expected the bound as renyi\(alpha\), got 'renyi': missing a required argument: 'alpha'"),
        ("renyi(x)", "expected alpha, a number in .*, got 'x'"),
        ("renyi(1, 2)", r"expected the bound as renyi\(alpha\), got .*: too many positional arguments"),
        ("renyi(0.5", "expected the bound as name"),
        ("elbo(1)", "expected the bound as elbo, got .*: too many positional arguments"),
        ("miwae(2)", r"expected the bound as miwae\(m, k\), got"),
        ("miwae(2, 0)", "expected k, a whole number >= 1, got 0"),
        ("cubo(0.5)", r"expected n in \[1, inf\)"),
        ("tvo(2, middle)", "expected side"),
        ("csiszar(chi)", "expected a generator, one of reverse-kl, forward-kl"),
    ],
)
def test_what_is_no_bound_raises_one_line(text, message):
    with pytest.raises(ValueError, match=message) as caught:
        bounds.parse(text)
    assert "\n" not in str(caught.value)

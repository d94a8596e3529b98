"""Bounds of samples that several processes have: each estimator's gradients add up to that of one process."""

import pytest
import torch
import torch.distributed as dist
from torch.func import grad_and_value

from jensen.core import bounds, keys, trees
from jensen.core.bounds import Ciwae, Jackknife, Miwae, Renyi, Spread
from jensen.core.distributions import Bernoulli, DiagNormal
from jensen.estimators.evidence import importance
from jensen.estimators.gradients import baselines, dreg, pathwise, score, stl
from tests.experiments.ranks import on

S, N, D = 12, 3, 2
BOUNDS = {
    "iwae": bounds.iwae, "elbo": bounds.elbo, "renyi": Renyi(0.5), "vr-max": bounds.vr_max, "ciwae": Ciwae(0.5),
    "miwae": Miwae(4, 3), "jackknife": Jackknife(), "own": lambda log_w: torch.logsumexp(0.5 * log_w, 0),
}  # fmt: skip
KEY = keys.key(3)


def normal(loc):
    return DiagNormal(loc, torch.full_like(loc, -0.3))


def log_p(theta, z):
    return -(z - theta).square().sum(-1)


def start():
    x = keys.normal(keys.key(1), (1, N, D), torch.float64)[0]
    return {"theta": x + 0.5, "phi": x}


def estimate(params, how, bound, rank, s):
    """The sum over data of one process's bound, by s samples of its own."""
    key = keys.at(KEY, particle=rank * s)
    if how in ("score", "vimco"):
        q = Bernoulli(params["phi"])
        baseline = baselines.none if how == "score" else baselines.vimco
        baseline = bound.baseline(baseline) if isinstance(bound, Spread) else baseline
        return score(lambda z: (z * params["theta"]).sum(-1), q, q.noise(key, s), bound=bound, baseline=baseline).sum()
    q = normal(params["phi"])
    return {"pathwise": pathwise, "dreg": dreg, "stl": stl}[how](
        lambda z: log_p(params["theta"], z), q, q.noise(key, s), bound=bound
    ).sum()


CASES = [
    (how, name)
    for name in BOUNDS
    for how in ("pathwise", "dreg", "score", "vimco")
    if (how, name) != ("dreg", "vr-max")
]
CASES.append(("stl", "elbo"))


def test_gradients_add_up_to_those_of_one_process():
    def work(own):
        found = {}
        for how, name in CASES:
            spread = Spread(BOUNDS[name])
            grads, value = grad_and_value(estimate)(start(), how, spread, own.rank, S // own.size)
            flat, _ = trees.ravel(grads)
            dist.all_reduce(flat)
            found[f"{how} {name}"] = [value.item(), flat.tolist()]
        return found

    for size in (2, 3):
        results = on(size, work).results()
        assert all("ok" in result for result in results), results
        for how, name in CASES:
            grads, value = grad_and_value(estimate)(start(), how, BOUNDS[name], 0, S)
            for result in results:
                theirs, flat = result["ok"][f"{how} {name}"]
                assert theirs == pytest.approx(value.item(), abs=1e-12), (how, name)
                torch.testing.assert_close(
                    torch.tensor(flat, dtype=torch.float64), trees.ravel(grads)[0], rtol=1e-12, atol=1e-12
                )


def test_the_mean_of_bounds_is_another_bound_and_detached_weights_lose_the_gradient():
    """What a mean over processes of their own IWAE would be; what a gathered copy without the own rows would give."""

    def work(own):
        mean = estimate(start(), "pathwise", bounds.iwae, own.rank, S // own.size)
        dist.all_reduce(mean)
        slope = grad_and_value(lambda p: Spread(lambda w: bounds.iwae(w.detach()))(p["phi"].expand(4, N)).sum())(
            {"phi": torch.zeros(N, dtype=torch.float64)}
        )[0]["phi"]
        return [mean.item() / own.size, slope.abs().max().item()]

    right = estimate(start(), "pathwise", bounds.iwae, 0, S).item()
    for result in on(2, work).results():
        mean, slope = result["ok"]
        assert mean < right - 0.01
        assert slope == 0


def test_a_particle_outside_the_support_and_a_sample_alone():
    def work(own):
        log_w = torch.full((3, 2), -torch.inf)
        slope, value = grad_and_value(lambda w: Spread(bounds.iwae)(w).sum())(log_w)
        try:
            Spread(bounds.iwae)(torch.zeros(1, 2))
        except ValueError as error:
            return [value.item(), slope.abs().sum().item(), str(error)]
        raise AssertionError

    for result in on(2, work).results():
        value, slope, text = result["ok"]
        assert (value, slope) == (-torch.inf, 0)
        assert "two samples or more on each process" in text


def test_what_an_estimator_refuses_it_refuses_of_many_processes():
    def work(own):
        with pytest.raises(ValueError, match="vr_max is not differentiable at ties"):
            estimate(start(), "dreg", Spread(bounds.vr_max), own.rank, 4)

    assert on(2, work).results() == [{"ok": None}] * 2


def test_alone_there_is_nobody_to_spread_over():
    with pytest.raises(RuntimeError, match="got one alone: call"):
        Spread(bounds.iwae)


def test_evidence_of_many_processes_is_that_of_one():
    q = normal(start()["phi"])
    density = lambda z: log_p(start()["theta"], z)  # noqa: E731

    def work(own):
        found = importance(density, q, KEY, k=1000, chunk=37, group=dist.group.WORLD)
        return [found.log_p.tolist(), found.standard_error.tolist(), found.ess.tolist(), found.k_hat.tolist()]

    one = importance(density, q, KEY, k=1000, chunk=64)
    for size in (2, 3):
        for result in on(size, work).results():
            for ours, theirs in zip(one[:4], result["ok"], strict=True):
                torch.testing.assert_close(torch.tensor(theirs, dtype=ours.dtype), ours, rtol=1e-9, atol=1e-9)

import math

import pytest
import torch
from scipy import stats

from jensen.core import keys
from jensen.estimators.diagnostics import cost, quality

KEY = keys.key(4)
EXACT = {"a": torch.tensor([3.0, 4.0]), "b": torch.tensor([[1.0]])}


def noisy(key, shift=0.0):
    """Gradients with mean (3, 4) + shift and 1, variances 0.25 each and 4."""
    a, b = keys.split(key)
    return {"a": EXACT["a"] + shift + 0.5 * keys.normal(a, (2,)), "b": EXACT["b"] + 2 * keys.normal(b, (1, 1))}


def test_numbers_of_a_known_gradient():
    found = quality(noisy, keys.split(KEY, 20_000), EXACT)
    a, b = found["a"], found["b"]
    assert abs(a.norm - 5) < 0.02
    assert abs(a.variance - 0.5) < 0.02
    assert abs(a.snr - 5 / math.sqrt(0.5)) < 0.2
    assert abs(b.variance - 4) < 0.15
    assert max(a.errors, b.errors) < 4
    assert a.bias < 0.02
    assert 0.98 < a.cosine < 1
    assert 0.3 < b.cosine < 0.5  # of one element it is a sign: 2 Phi(1 / 2) - 1 = 0.383


def test_a_bias_is_given_in_standard_errors():
    found = quality(lambda key: noisy(key, 0.05), keys.split(KEY, 20_000), EXACT)
    assert found["a"].errors > 10
    assert abs(found["a"].bias - 0.05 * math.sqrt(2)) < 0.01
    assert found["b"].errors < 4


def test_chunks_change_nothing_and_one_tree_is_one_group():
    each = keys.split(KEY, 100)
    whole, parts = (quality(lambda key: noisy(key)["a"], each, chunk=c) for c in (None, 7))
    assert set(whole) == {"all"}
    for a, b in zip(whole["all"], parts["all"], strict=True):
        torch.testing.assert_close(a, b, equal_nan=True)
    assert whole["all"].errors.isnan()


def test_an_exact_gradient_has_no_errors_and_a_constant_wrong_one_has_infinite_ones():
    found = quality(lambda key: EXACT, keys.split(KEY, 10), EXACT)
    assert found["a"].errors == 0
    assert found["a"].variance == 0
    assert quality(lambda key: {"a": EXACT["a"] + 1}, keys.split(KEY, 10), EXACT)["a"].errors == math.inf


@pytest.mark.parametrize(("elements", "reps"), [(100, 5), (100, 2), (1, 10), (100, 30)])
def test_unbiased_gradients_are_called_biased_in_one_group_of_a_hundred(elements, reps):
    """Of 300 groups 10 or more with probability 0.1 %; against a fixed 4, 85 % of (100, 5) were."""

    def gradient(key):
        return dict(enumerate(keys.normal(key, (300, elements)).unbind()))

    found = quality(gradient, keys.split(KEY, reps), dict.fromkeys(range(300), torch.zeros(elements)))
    assert sum(group.verdict().startswith("biased") for group in found.values()) < 10


def test_the_limit_is_students_for_all_elements_together():
    found = quality(lambda key: keys.normal(key, (10_000,)), keys.split(KEY, 40), torch.zeros(10_000))["all"]
    assert abs(found.limit.item() / stats.t.isf(0.005 / 10_000, 39) - 1) < 1e-3
    assert found.errors > 4
    assert found.verdict().startswith("no bias is seen")
    assert f"not above {found.limit.item():.1f}" in found.verdict()


def test_broken_gradients_are_named_by_their_key():
    def gradient(key):
        drawn = noisy(key)
        return {"a": torch.where(drawn["b"][0] > 5, torch.inf, drawn["a"]), "b": drawn["b"]}

    each = keys.split(KEY, 100)
    first = next(i for i, key in enumerate(each) if not gradient(key)["a"].isfinite().all())
    assert first > 0
    for exact in (EXACT, None):
        found = quality(gradient, each, exact)
        assert found["a"].verdict().startswith(f"no verdict: the gradient of keys[{first}] is NaN or infinite")
        assert not found["b"].verdict().startswith("no verdict")


def test_an_exact_gradient_of_another_shape_or_without_a_group_raises():
    each = keys.split(KEY, 5)
    for wrong in (torch.zeros(1), torch.zeros(1, 2), torch.tensor(0.0)):
        with pytest.raises(ValueError, match=r"exact gradient of 'a' in its shapes \{'': \(2,\)\}, got"):
            quality(noisy, each, EXACT | {"a": wrong})
    with pytest.raises(ValueError, match=r"of every group, got \['a'\] without 'b'"):
        quality(noisy, each, {"a": EXACT["a"]})
    assert "give the exact gradient" in quality(noisy, each, EXACT | {"b": None})["b"].verdict()


def test_leaves_are_compared_by_their_names():
    def gradient(key):
        return {"net": {"w": torch.ones(2) + 0 * keys.normal(key, (2,)), "b": torch.zeros(2)}}

    found = quality(gradient, keys.split(KEY, 5), {"net": {"b": torch.zeros(2), "w": torch.ones(2)}})
    assert found["net"].errors == 0


def test_one_key_is_too_few():
    with pytest.raises(ValueError, match=r"make them with keys\.split"):
        quality(noisy, KEY)


def test_a_reference_has_its_noise_in_the_errors_and_what_is_shared_cancels():
    each = keys.split(KEY, 2000)

    def reference(key):
        return noisy(keys.fold_in(key, 1))

    apart = quality(noisy, each, reference=reference)["a"]
    together = quality(lambda key: noisy(key, 0.01), each, reference=noisy)["a"]
    as_exact = quality(noisy, each, {name: t.mean(0) for name, t in torch.func.vmap(reference)(each).items()})["a"]
    assert apart.verdict().startswith("no bias is seen")
    assert abs(apart.errors / as_exact.errors * math.sqrt(2) - 1) < 0.05  # of twice the variance
    assert abs(together.bias / (0.01 * math.sqrt(2)) - 1) < 1e-3
    assert together.verdict().startswith("biased")  # where 2,000 gradients alone have a standard error of 0.011


def test_references_that_a_limit_is_right_for():
    """Of 300 groups 10 or more are called biased with probability 0.1 %."""

    def gradient(key):
        return dict(enumerate(keys.normal(key, (300, 20)).unbind()))

    def reference(key):
        return dict(enumerate((0.3 * keys.normal(keys.fold_in(key, 1), (300, 20))).unbind()))

    found = quality(gradient, keys.split(KEY, 10), reference=reference)
    assert sum(group.verdict().startswith("biased") for group in found.values()) < 10


def test_references_are_compared_by_name_and_refused_with_an_exact_gradient():
    each = keys.split(KEY, 5)
    swapped = quality(
        lambda key: {"net": {"w": torch.ones(2), "b": torch.zeros(2)}},
        each,
        reference=lambda key: {"net": {"b": torch.zeros(2), "w": torch.ones(2)}},
    )
    assert swapped["net"].errors == 0
    with pytest.raises(ValueError, match="got both"):
        quality(noisy, each, EXACT, reference=noisy)
    with pytest.raises(ValueError, match=r"of every group, got \['a'\] without 'b'"):
        quality(noisy, each, reference=lambda key: {"a": noisy(key)["a"]})
    with pytest.raises(TypeError, match="expected reference, a function"):
        quality(noisy, each, reference=EXACT)


def test_cost_is_a_median_of_calls():
    calls = []
    assert 0 < cost(lambda key: calls.append(key), KEY, calls=5) < 0.1
    assert len(calls) == 7


def test_verdicts_name_a_bias_and_its_size():
    keys_ = keys.split(KEY, 5000)
    unbiased, biased = quality(noisy, keys_, EXACT), quality(lambda key: noisy(key, 0.1), keys_, EXACT)
    assert unbiased["a"].verdict().startswith("no bias is seen")
    assert biased["a"].verdict().startswith("biased: 1")
    assert "give the exact gradient" in quality(noisy, keys_)["a"].verdict()

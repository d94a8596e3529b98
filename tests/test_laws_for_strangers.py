"""What `laws.check` says of a stranger's parts, and that it says so from a script outside of the repository."""

import subprocess
import sys

import pytest
import torch
from torch import Tensor

from jensen import laws
from jensen.core import bounds, trees
from jensen.core.models.quantised import Fsq, autoencoder
from jensen.laws._law import spoiled
from jensen.laws.distributions import COINS, NORMAL

SCRIPT = '''
import math
import sys
from typing import NamedTuple

import torch

from jensen import laws
from jensen.core import bounds, keys


class StudentT(NamedTuple):
    """With 5 degrees of freedom: fields (n, d)."""

    loc: torch.Tensor
    log_scale: torch.Tensor

    reparameterised = True

    def noise(self, key, s):
        return keys.normal(key, (s, *self.loc.shape, 6), self.loc.dtype)

    def sample(self, e):
        return self.loc + self.log_scale.exp() * e[..., 0] / e[..., 1:].square().mean(-1).sqrt()

    def log_prob(self, z):
        t = (z - self.loc) / self.log_scale.exp()
        constant = math.lgamma(3) - math.lgamma(2.5) - 0.5 * math.log(5 * math.pi)
        return (constant - self.log_scale - 3 * torch.log1p(t.square() / 5)).sum(-1)


def antithetic(log_p, q, noise, /):
    """The ELBO at mirrored samples."""
    if not q.reparameterised:
        raise TypeError("antithetic needs a normal q")
    return sum(bounds.elbo(log_p(z) - q.log_prob(z)) for z in (q.sample(noise), q.sample(-noise))) / 2


q = StudentT(torch.randn(2, 3, dtype=torch.float64), torch.zeros(2, 3, dtype=torch.float64))
print(laws.check(q, expected_failures={"half_precision": "for float32 and float64"}))
print(laws.check(lambda log_w: 0.5 * (bounds.elbo(log_w) + bounds.iwae(log_w)), max_examples=20))
print(laws.check(antithetic))
assert not [name for name in sys.modules if name == "tests" or name.startswith("tests.")]
'''


def test_a_script_outside_of_the_repository_proves_parts_of_its_own(tmp_path):
    (tmp_path / "mine.py").write_text(SCRIPT)
    done = subprocess.run([sys.executable, "mine.py"], cwd=tmp_path, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-3000:]
    for word in ("density_is_that_of_samples", "shifts_pass_through", "mean_gradient_is_exact"):
        assert word in done.stdout


def test_a_broken_law_is_named_with_its_statement_and_its_counterexample():
    with pytest.raises(AssertionError) as caught:
        laws.check(lambda log_w: torch.logsumexp(log_w, 0), max_examples=20)
    said = str(caught.value)
    assert "<lambda> breaks" in said
    assert "equal_weights_have_their_value: bound(c, …, c) = c" in said
    assert "drawn=tensor([[0.]" in said


def test_several_broken_laws_are_named_together_and_others_are_not():
    wrong = spoiled(COINS, entropy=lambda q: q.logits.sum(-1), kl=lambda q, p: (q.logits - p.logits).sum(-1))
    with pytest.raises(AssertionError) as caught:
        laws.check(wrong)
    said = str(caught.value)
    assert "entropy_is_that_of_samples" in said
    assert "kl_is_that_of_samples" in said
    assert "support_is_complete" not in said


def test_an_expected_failure_that_holds_is_to_be_removed():
    with pytest.raises(AssertionError, match=r"it holds, though a failure was expected \(because\): remove it"):
        laws.check(bounds.iwae, expected_failures={"shifts_pass_through": "because"}, max_examples=5)


def test_expected_failures_are_named_right_or_the_nearest_is():
    with pytest.raises(ValueError, match="did you mean 'shifts_pass_through'"):
        laws.check(bounds.iwae, expected_failures={"shift_passes_through": "because"})
    with pytest.raises(ValueError, match="expected the name of an instance, got 'iwea': did you mean 'iwae'"):
        laws.parametrize({"iwae": bounds.iwae}, expected_failures={"iwea": {}})


def test_kinds_follow_from_methods_and_signatures():
    assert laws.kind_of(NORMAL) == "distribution"
    assert laws.kind_of(bounds.Sumo(1)) == "bound"
    assert laws.kind_of(Fsq((3, 4))) == "quantiser"
    assert laws.kind_of(autoencoder.mlp(6, (4,), 2, 2, Fsq((3, 4)))) == "coded model"
    assert laws.kind_of(lambda log_w: log_w.mean(0)) == "bound"
    assert laws.kind_of(lambda log_p, q, noise=None, /: q) == "estimator"
    with pytest.raises(TypeError, match="expected a distribution, exponential family, flow, bound"):
        laws.check(3)
    with pytest.raises(ValueError, match=r"expected an example for a flow, z \(s, n, d\)"):
        laws.check(lambda z: z, kind="flow")
    with pytest.raises(ValueError, match="expected a kind among distribution"):
        laws.laws_for(3, kind="flows")


@pytest.mark.parametrize(
    ("value", "settings", "error", "message"),
    [
        (
            trees.map(Tensor.float, NORMAL),
            {},
            TypeError,
            r"in torch\.float64.* got torch\.float32: cast it",
        ),
        (type(NORMAL), {}, TypeError, "expected a value, got the class DiagNormal"),
        (bounds.iwae, {"max_examples": "5"}, TypeError, "expected max_examples, a whole number"),
        (bounds.iwae, {"expected_failures": ["half_precision"]}, TypeError, "expected expected_failures, a dict"),
    ],
)
def test_what_cannot_be_tried_is_refused_before_any_law(value, settings, error, message):
    with pytest.raises(error, match=message):
        laws.check(value, **settings)


def test_capabilities_call_for_more_laws():
    owed = {name: {law.name for law in laws.laws_for(q)} for name, q in (("normal", NORMAL), ("coins", COINS))}
    assert "chernoff_is_that_of_samples" in owed["normal"] - owed["coins"]
    assert {"support_is_complete", "cold_relaxations_are_samples"} <= owed["coins"] - owed["normal"]


def test_a_bound_of_a_fixed_number_of_samples_is_tried_on_that():
    assert "each_datum_has_its_own_bound" in laws.check(
        bounds.Miwae(2, 2), expected_failures={"order_does_not_matter": "groups"}, max_examples=5
    )

"""Bernoullis of infinite logits, and of logits so large that an outcome is nearly certain."""

import mpmath as mp
import pytest
import torch

from jensen.core.distributions import Bernoulli, LinearBernoulli
from jensen.core.ops import linear_log_prob


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_certain_bernoullis(dtype):
    """A logit of inf is the value 1: log_prob 0 or -inf, entropy 0, KL 0, finite or inf, and no NaN in gradients."""
    inf = torch.inf
    logits = torch.tensor([[inf], [-inf], [inf], [-inf], [0.5]], dtype=dtype)
    x = torch.tensor([[1.0], [0.0], [0.0], [1.0], [1.0]], dtype=dtype)
    q, p = Bernoulli(logits), Bernoulli(torch.tensor([[inf], [-inf], [-inf], [0.0], [inf]], dtype=dtype))
    half = torch.log(torch.tensor(2.0)).item()
    assert q.log_prob(x)[:4].tolist() == [0.0, 0.0, -inf, -inf]
    assert q.entropy()[:4].tolist() == [0.0] * 4
    assert q.kl(p).tolist() == pytest.approx([0.0, 0.0, inf, half, inf])
    for f in (lambda q: q.log_prob(x), lambda q: q.entropy(), lambda q: q.kl(p), lambda q: p.kl(q)):
        assert torch.func.grad(lambda t, f=f: f(Bernoulli(t)).sum())(logits).isfinite().all()


@pytest.mark.parametrize("inline", [True, False])
def test_certain_outputs_of_a_linear_layer(inline, monkeypatch):
    """A bias of inf, as one made from a mean of 1: by plain torch and by chunks, forward and backward."""
    monkeypatch.setattr(linear_log_prob, "INLINE", 2**22 if inline else 0)
    weight, bias = torch.tensor([[0.0], [1.0]]), Bernoulli.from_mean(torch.tensor([1.0, 0.5])).logits
    h, agrees, not_so = torch.ones(3, 1, 1), torch.tensor([[1.0, 1.0]]), torch.tensor([[0.0, 1.0]])
    likely = torch.nn.functional.logsigmoid(torch.ones(3, 1))
    torch.testing.assert_close(LinearBernoulli(h, weight, bias).log_prob(agrees), likely)
    assert (LinearBernoulli(h, weight, bias).log_prob(not_so) == -torch.inf).all()
    slopes = torch.func.grad(lambda *layer: LinearBernoulli(*layer).log_prob(agrees).sum(), (0, 1, 2))(h, weight, bias)
    assert all(slope.isfinite().all() for slope in slopes)
    torch.testing.assert_close(slopes[2], torch.tensor([0.0, 3 * torch.sigmoid(torch.tensor(-1.0)).item()]))


@pytest.mark.parametrize("logit", [1.0, 20.0, 80.0])
def test_small_entropies_of_bernoullis_have_their_digits(logit):
    q = Bernoulli(torch.tensor([[logit], [-logit]]))
    with mp.workdps(50):
        p = 1 / (1 + mp.exp(mp.mpf(logit)))
        exact = float(-p * mp.log(p) - (1 - p) * mp.log(1 - p))
    torch.testing.assert_close(q.entropy().double(), torch.full((2,), exact, dtype=torch.float64), rtol=1e-6, atol=0)

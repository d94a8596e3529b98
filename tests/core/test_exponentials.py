"""Sums and shares of exponentials without those that no sum would show, under every transform."""

import math

import pytest
import torch
from torch.func import grad, hessian, jvp, vmap

from jensen.core.numerics import drop_negligible, log_cumulative_sum_exp, log_sum_exp, negligible, share, softmax

INF, NAN = math.inf, math.nan
T = torch.tensor(
    [[0.0, -30.0, -43.0, -44.0, -60.0, -90.0, -100.0, -INF], [80.0, 79.0, -1e4, 36.0, 30.0, 0.0, -9.0, 5.0]]
)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_what_is_negligible_has_normal_squares(dtype):
    least, wide = negligible(dtype), torch.promote_types(dtype, torch.float32)
    assert least == (2.0**-511 if dtype == torch.float64 else 2.0**-63)
    assert least**2 == torch.finfo(wide).tiny
    assert least < torch.finfo(wide).eps / 2**39


def test_values_and_shares_have_all_digits_and_none_is_denormal():
    exact = torch.softmax(T.double(), 1)
    for found in (softmax(T, 1), grad(lambda t: log_sum_exp(t, 1).sum())(T), share(T - log_sum_exp(T, 1)[:, None])):
        kept = exact > 2.0**-63
        torch.testing.assert_close(found[kept].double(), exact[kept], rtol=1e-5, atol=0)
        assert (found[~kept] == 0).all()
    torch.testing.assert_close(log_sum_exp(T, 1), torch.logsumexp(T, 1), rtol=0, atol=0)
    torch.testing.assert_close(softmax(T.double(), 1), exact, rtol=1e-14, atol=0)  # float64 has room for all of them


def test_slopes_of_slopes_and_every_transform():
    curve = hessian(lambda t: log_sum_exp(t, 0))(T[0])
    w = softmax(T[0], 0)
    torch.testing.assert_close(curve, torch.diag(w) - w[:, None] * w, rtol=1e-6, atol=1e-9)
    assert (curve[:, 3:] == 0).all()
    each = vmap(grad(lambda t: log_sum_exp(t, 0)))(T)
    torch.testing.assert_close(each, softmax(T, 1), rtol=1e-5, atol=0)
    _, move = jvp(lambda t: softmax(t, 1), (T,), (torch.ones_like(T),))
    torch.testing.assert_close(move, torch.zeros_like(T), rtol=0, atol=1e-7)
    inside = torch.linspace(-2, 2, 4, dtype=torch.float64).requires_grad_()
    for f in (share, drop_negligible, lambda t: softmax(t, 0), lambda t: log_cumulative_sum_exp(t)):
        assert torch.autograd.gradgradcheck(f, (inside,))


def test_they_are_traced():
    def slopes(t):
        return grad(lambda t: (log_sum_exp(t, 1) + log_cumulative_sum_exp(t.T)[-1] + softmax(t, 1)[:, 1]).sum())(t)

    found = torch.compile(slopes, backend="aot_eager", fullgraph=True)(T)
    torch.testing.assert_close(found, slopes(T), rtol=1e-5, atol=1e-25)


def test_nan_and_infinite_entries_are_as_they_were():
    t = torch.tensor([[NAN, 0.0], [INF, 0.0], [-INF, -INF]])
    for f in (lambda t: log_sum_exp(t, 1), lambda t: log_cumulative_sum_exp(t.T)[-1]):
        assert str(f(t).tolist()) == "[nan, inf, -inf]"
    assert softmax(t, 1)[0].isnan().all()
    assert str(drop_negligible(torch.tensor([NAN, INF, -1e-20, -1e-18])).tolist()[:3]) == "[nan, inf, 0.0]"


def test_cumulative_sums_drop_what_an_earlier_entry_hides():
    t = torch.tensor([0.0, -50.0, 3.0, -30.0, 60.0])[:, None]
    torch.testing.assert_close(log_cumulative_sum_exp(t), torch.logcumsumexp(t, 0), rtol=1e-6, atol=2.0**-63)
    slope = grad(lambda t: log_cumulative_sum_exp(t).sum())(t)
    exact = grad(lambda t: torch.logcumsumexp(t, 0).sum())(t.double())
    torch.testing.assert_close(slope.double(), torch.where(t == -50, 0.0, exact), rtol=1e-5, atol=0)

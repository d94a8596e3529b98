"""Local reparameterisation: sample a linear layer's pre-activations instead of its Gaussian weights.

Approximates  grad E_q(W)[sum_n log p(y_n | W x_n)] for W with independent normal elements
With          y = mean + sqrt(variance) eps, each datum and unit with noise of its own:
              mean = loc x, variance = exp(log_scale)^2 x^2
Requires      weights that each datum uses once: a linear layer, not weights shared over places or times
Unbiased when the objective is a sum over data, each term of one datum's y: the law of each y_n is exact,
              but y_n and y_m are independent, as if each datum had weights of its own
Cost          two products of x with a matrix per call, whatever the number of samples; no weight is sampled
Reference     Kingma, Salimans and Welling, 2015
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from jensen.core.checks import check_dtype, check_floating
from jensen.core.numerics import at_least_float32, bounded


def local_reparameterisation(
    x: Float[Tensor, "n i"], loc: Float[Tensor, "o i"], log_scale: Float[Tensor, "o i"], eps: Float[Tensor, "s n o"]
) -> Float[Tensor, "s n o"]:
    """The pre-activations W x of W ~ N(loc, exp(log_scale)^2) at standard normal noise eps, (s, n, o).

    Differentiable in x, loc and log_scale, which passes through `numerics.bounded`. Where the variance is 0, as for
    x = 0, y is the mean and the scale's gradient 0. A layer above, whose inputs have samples already, takes them as
    data: x (s n, i) and eps (1, s n, o). ValueError for shapes that do not fit.
    """
    _check(x, loc, log_scale, eps)
    x, dtype = at_least_float32(x), loc.dtype
    mean = F.linear(x, at_least_float32(loc))
    variance = F.linear(x.square(), torch.exp(2 * bounded(log_scale)))
    some = variance > 0
    scale = torch.where(some, torch.where(some, variance, 1.0).sqrt(), 0.0)  # sqrt has no finite slope at 0
    return (mean + scale * eps).to(dtype)


def _check(x: Tensor, loc: Tensor, log_scale: Tensor, eps: Tensor) -> None:
    for name, t in (("x", x), ("loc", loc), ("log_scale", log_scale), ("eps", eps)):
        check_floating(name, t)
    check_dtype("x", at_least_float32(x), at_least_float32(loc), "the weights")
    if loc.ndim != 2 or log_scale.shape != loc.shape:
        raise ValueError(
            f"expected loc and log_scale of one shape (outputs, inputs), got {tuple(loc.shape)} and "
            f"{tuple(log_scale.shape)}: expand the smaller"
        )
    outputs, inputs = loc.shape
    if x.ndim != 2 or x.shape[1] != inputs:
        fix = "add a batch axis with x[None]" if x.ndim == 1 else "one row per datum, its features last"
        raise ValueError(f"expected x (n, {inputs}), got {tuple(x.shape)}: {fix}")
    if eps.ndim != 3 or eps.shape[1:] != (len(x), outputs):
        raise ValueError(
            f"expected eps (s, {len(x)}, {outputs}), got {tuple(eps.shape)}: "
            f"draw keys.normal(key, (s, {len(x)}, {outputs})), noise for pre-activations and not for weights"
        )

"""Integrals of e^f over a line in the complex plane, for f analytic around it and falling at both of its ends."""

from collections.abc import Callable

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from jensen.core.numerics.roots import bisect

NODES = 600
DROP = 60.0  # by which f's real part has fallen where the line is cut
HALVINGS = 40


def log_line_integral(
    exponent: Callable[[Tensor], Tensor],
    centre: Complex[Tensor, "..."],
    width: Float[Tensor, "..."],
    reach: Float[Tensor, "..."],
) -> Complex[Tensor, "..."]:
    """log of the integral of e^exponent(x) dx over x = centre + real numbers, up to `reach` away on either side.

    By the trapezoidal rule in y, x = centre + width sinh(y): fine near the centre, coarse where exponentials fall, and
    exact to rounding for all that a width does not hold many oscillations of. exponent takes x with an axis of nodes
    first. The line is a constant to derivatives, as the integral does not depend on it. In float64.
    """
    centre, width, reach = centre.detach(), width.detach(), reach.detach()

    def height(u: Tensor) -> Tensor:
        return exponent(torch.complex(u, centre.imag)[None])[0].real.detach()

    most = height(centre.real)
    low, _ = bisect(lambda u: height(u) < most - DROP, centre.real - reach, centre.real, HALVINGS)
    _, high = bisect(lambda u: height(u) >= most - DROP, centre.real, centre.real + reach, HALVINGS)
    start, end = torch.asinh((low - centre.real) / width), torch.asinh((high - centre.real) / width)
    share = torch.linspace(0, 1, NODES, dtype=width.dtype, device=width.device).reshape(-1, *[1] * start.ndim)
    y = start + (end - start) * share
    terms = exponent(centre + width * torch.sinh(y))
    terms = terms + torch.log(width * torch.cosh(y) * (end - start) / (NODES - 1))
    peak = terms.real.detach().amax(0)
    return torch.log(torch.exp(terms - peak).sum(0)) + peak

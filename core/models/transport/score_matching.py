"""Score matching: losses of a score, x (n, d) -> grad log p(x), that need no normaliser.

    implicit    E tr d score / d x + |score|² / 2                          (Hyvärinen, 2005)
    sliced      E e' (d score / d x) e + |score|² / 2, e of random signs       (Song et al., 2020)
    denoising   E |score(x + scale noise) + noise / scale|² / 2             (Vincent, 2011)

The first two are E |score - grad log p|² / 2 less the same of a score of 0; the third is that of the density of
x + scale noise plus what no score can explain. A score that is `energies.score(energy)` is of a density without its Z.
"""

from jaxtyping import Float
from torch import Tensor

from jensen.core import keys
from jensen.core.checks import check_count, check_floating, check_function, check_key, check_number
from jensen.core.contracts import Key
from jensen.core.models.transport import traces
from jensen.core.models.transport.traces import VectorField

EXAMPLE = "lambda x: -x, the score of N(0, I)"


def implicit(score: VectorField, x: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
    """tr d score / d x + |score|² / 2, exact at d products with the Jacobian."""
    _check(score, x)
    return traces.exact(score, x) + 0.5 * score(x).square().sum(-1)


def sliced(score: VectorField, x: Float[Tensor, "n d"], key: Key, probes: int = 1) -> Float[Tensor, " n"]:
    """The same with the trace by so many probes, unbiased, and exact where the Jacobian is diagonal.

    |score|² stays whole, which has less variance than (e' score)², as the paper's own variant does.
    """
    _check(score, x)
    check_key(key)
    signs = keys.bits(key, (check_count("probes", probes), *x.shape)) % 2
    return traces.probed(score, x, 2 * signs.to(x) - 1) + 0.5 * score(x).square().sum(-1)


def denoising(score: VectorField, x: Float[Tensor, "n d"], key: Key, scale: float) -> Float[Tensor, " n"]:
    """|score(x + scale noise) + noise / scale|² / 2, noise ~ N(0, I). Its minimum is the noised density's score."""
    _check(score, x)
    check_key(key)
    scale = check_number("scale", scale, "(0, inf)")
    noise = keys.normal(key, (1, *x.shape), x.dtype)[0]
    return 0.5 * (score(x + scale * noise) + noise / scale).square().sum(-1)


def _check(score: VectorField, x: Tensor) -> None:
    check_function("score", score, EXAMPLE)
    check_floating("x", x, "n d", "one row per datum")

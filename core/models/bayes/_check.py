"""What makes a posterior unfit for inference, found before any is done."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.func import grad, jacrev

from jensen.core import keys
from jensen.core.checks import check_key, described
from jensen.core.contracts import Key
from jensen.core.models.bayes.coordinates import places
from jensen.core.models.bayes.posterior import Posterior
from jensen.core.numerics import bisect

STARTS, NEAR = 64, 8
OVERFLOW = 1e4  # nats below the best start: there a sum may be infinite that is only large
MOST = 100  # coordinates that are looked along one by one; of more, one direction for each parameter
ELEMENTS = 2**20  # of a likelihood's terms at once
FAR = 10.0 ** (0.5 * torch.arange(17))  # how far the tails are looked at
SLOWEST = -1.05 * 0.5 * math.log(10.0)  # of log p from one to the next; 1 / t has no integral


@torch.no_grad()
def check(posterior: Posterior, key: Key) -> None:
    """ValueError that names the parameter of a posterior that no algorithm can be right about.

    Looked for at 64 starts, a few of them near z = 0: log densities that are -inf at all of them, or beyond a wall that
    the declared support does not have; NaN in the value or the gradient; and tails that do not fall as fast as 1 / t
    along a coordinate, or a direction in which the log density is flat. A density may be improper in ways that no line
    shows.
    """
    if not isinstance(posterior, Posterior):
        raise TypeError(f"expected posterior, a Posterior, got {described(posterior)}: write condition(model, data)")
    check_key(key)
    start_key, search_key = keys.split(key)
    z = posterior.starts(start_key, STARTS)
    z[:NEAR] *= 0.01  # and not at 0, where coordinates are equal that almost never are
    value = posterior(z[:, None])[:, 0]
    finite = value.isfinite()
    if not finite.any():
        raise ValueError(_nowhere(posterior, z, search_key))
    best = z[torch.where(finite, value, -torch.inf).argmax()]
    if not finite.all():
        _check_supports(posterior, z[~finite], best)
    slope = grad(lambda z: posterior(z[:, None]).sum())(z[value > value[finite].max() - OVERFLOW])
    for name, at in places(posterior.support).items():
        part = slope[:, at]
        if not part.isfinite().all():
            raise ValueError(
                f"expected a finite gradient of log p, got {part[~part.isfinite()][0].item()} in {name} at a start "
                f"where log p is finite: look for sqrt or log at 0, or where() around what is not finite, in {name}"
            )
    _check_tails(posterior, best)


def _nowhere(posterior: Posterior, z: Float[Tensor, "m d"], key: Key) -> str:
    """Why log p is finite at no start."""
    prior = posterior.log_prior(z[:, None])[:, 0]
    what = "log_prior" if not prior.isfinite().any() else "log_likelihood"
    value = (prior if what == "log_prior" else posterior(z[:, None])[:, 0])[0].item()
    found = f"expected {what} finite at one of {len(z)} starts, got {value} at the first: "
    scales = 10.0 ** (6 * keys.uniform(key, (1, 1, 4 * len(z)), z.dtype)[0, 0] - 3)
    signs = torch.where(torch.arange(len(scales), device=z.device) % 2 == 0, scales, -scales)
    for name, columns in places(posterior.support).items():
        moved = z[:1].repeat(len(signs), 1)
        moved[:, columns] = signs[:, None]
        if posterior(moved[:, None]).isfinite().any():
            return found + f"{name} between {_range(posterior, z, name)} is outside; give it a scale near 1"
    if what == "log_likelihood":
        bad = ~posterior.log_likelihood(z[:, None]).isfinite().any(0)[0]
        if bad.any():
            return found + f"datum {int(bad.nonzero()[0])} is impossible there; look at its row of the data"
    return found + f"look at the supports of {', '.join(posterior.names)}, and at NaN in the data"


def _check_supports(posterior: Posterior, bad: Float[Tensor, "m d"], best: Float[Tensor, " d"]) -> None:
    """Whether log p ends at a wall on the way from a good point to bad ones, and which parameter alone leads there."""
    for name, columns in places(posterior.support).items():
        moved = best.repeat(len(bad), 1)
        moved[:, columns] = bad[:, columns]
        beyond = _beyond_a_wall(posterior, moved, best)
        if len(beyond):
            good, value = (posterior.constrained(there)[name].flatten() for there in (best, beyond[0]))
            at = value[(value - good).abs().argmax()].item()
            raise ValueError(
                f"expected log p finite on the support of {name}, {posterior.support[name]}, got "
                f"{posterior(beyond[:1, None]).item()} at a value such as {at:.4g}: give {name} the support that its "
                "density has, such as positive() or between(0, 1)"
            )
    beyond = _beyond_a_wall(posterior, bad, best)
    if len(beyond):
        raise ValueError(
            f"expected log p finite on the supports of {', '.join(posterior.names)}, got "
            f"{posterior(beyond[:1, None]).item()} where several of them move: choose parameters that vary freely"
        )


def _beyond_a_wall(posterior: Posterior, z: Float[Tensor, "m d"], best: Float[Tensor, " d"]) -> Float[Tensor, "k d"]:
    """The points where log p is not finite, and does not fall far before it ceases to be on the way from the best."""
    z = z[~posterior(z[:, None])[:, 0].isfinite()]

    def on_the_way(share: Float[Tensor, " k"]) -> Float[Tensor, " k"]:
        return posterior((best + share[:, None] * (z - best))[:, None])[:, 0]

    inside, _ = bisect(lambda share: on_the_way(share).isfinite(), z.new_zeros(len(z)), z.new_ones(len(z)), 60)
    return z[on_the_way(inside) > posterior(best[None, None]).squeeze() - OVERFLOW]


def _check_tails(posterior: Posterior, best: Float[Tensor, " d"]) -> None:
    names, directions = _directions(posterior, best)
    far = FAR.to(best)
    for sign in (1, -1):
        line = (best + sign * far[:, None, None] * directions).flatten(0, 1)  # (t direction, d)
        chunk = max(1, ELEMENTS // max(1, len(posterior.rows)))
        value = torch.cat([posterior(part[:, None])[:, 0] for part in line.split(chunk)])
        value = torch.where(_exact(posterior, line), value, torch.nan)
        for name, along in zip(names, value.reshape(len(far), -1).T.tolist(), strict=True):
            known = [v for v in along if not math.isnan(v)]
            if len(known) > 1 and _heavy(*known[-2:]):
                raise ValueError(
                    f"expected a proper posterior, got log p = {known[-1]:.6g} far along {'+' if sign > 0 else '-'}"
                    f"{name}, where it does not fall as fast as 1 / t: give {name.partition('[')[0]} a proper prior, "
                    "or data that identify it"
                )


def _heavy(here: float, there: float) -> bool:
    """Whether log p falls by less than 1 / t does."""
    return there == torch.inf or (there > -torch.inf and there - here > SLOWEST)


def _exact(posterior: Posterior, z: Float[Tensor, "m d"]) -> Bool[Tensor, " m"]:
    """Whether the dtype tells the parameters there from those farther out."""
    theta = posterior.constrained(z)
    back = torch.cat([support.inverse(theta[name]) for name, support in posterior.support.items()], -1)
    return ((back - z).abs() <= 0.1 * (1 + z.abs())).all(-1)


def _directions(posterior: Posterior, best: Tensor) -> tuple[list[str], Float[Tensor, "m d"]]:
    """Unit vectors, each with the name of the parameter that it moves most."""
    found = places(posterior.support)
    if posterior.d > MOST:
        ones = torch.zeros(len(found), posterior.d, dtype=best.dtype, device=best.device)
        for i, columns in enumerate(found.values()):
            ones[i, columns] = (columns.stop - columns.start) ** -0.5
        return list(found), ones
    axes = torch.eye(posterior.d, dtype=best.dtype, device=best.device)
    names = [f"{name}[{i}]" for name, at in found.items() for i in range(at.stop - at.start)]
    curvature = jacrev(grad(lambda z: posterior(z[None, None])[0, 0]))(best)
    if not curvature.isfinite().all():
        return names, axes
    size, vectors = torch.linalg.eigh(curvature)
    flat = vectors.T[size.abs() <= 1e3 * torch.finfo(best.dtype).eps * size.abs().max()]
    return names + [names[int(v.abs().argmax())] for v in flat], torch.cat([axes, flat])


def _range(posterior: Posterior, z: Tensor, name: str) -> str:
    value = posterior.constrained(z)[name]
    return f"{value.min().item():.3g} and {value.max().item():.3g}"

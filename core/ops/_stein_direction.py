"""Stein's variational direction (Liu and Wang, 2016). Fused: the (m, m) kernel matrix is never stored."""

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.checks import check_choice, check_floating
from jensen.core.numerics import at_least_float32, negligible, share
from jensen.core.operation import differentiable, over_batch
from jensen.core.ops.dispatch import launch, uses_kernel

CHUNK, GPU_CHUNK = 2**20, 2**26  # kernel values at once
EXACT = "donot_use_mm_for_euclid_dist"  # a difference of large squares would lose near pairs
WIDEST = 64  # columns of a kernel's tile: beyond, its products are no faster than plain ones
MEDIAN_OF = 1024  # particles at most, for the median heuristic


def stein_direction(
    particles: Float[Tensor, "m d"],
    scores: Float[Tensor, "m d"],
    bandwidth: Float[Tensor, ""] | None = None,
    kernel: Literal["rbf", "imq"] = "rbf",
) -> Float[Tensor, "m d"]:
    """phi_i = mean_j of k(x_j, x_i) scores_j + grad_{x_j} k(x_j, x_i), (m, d).

    scores are grad log p at the particles. With r = |x_i - x_j|^2 and h = bandwidth, k = exp(-r / h) for "rbf" and
    (1 + r / h)^(-1/2) for "imq" (Gorham and Mackey, 2017); h = `median_bandwidth` unless given, with no gradient
    through it. Memory is that of a chunk of kernel values for the value, and (m, m) for its gradient.
    """
    check_floating("particles", particles, "m d", "one row per particle")
    check_floating("scores", scores, "m d", "one row per particle")
    if particles.shape != scores.shape:
        raise ValueError(
            f"expected particles and scores of one shape, got {tuple(particles.shape)} and {tuple(scores.shape)}: "
            "take the gradient of log p at the particles"
        )
    check_choice("kernel", kernel, ("rbf", "imq"))
    if bandwidth is None:
        bandwidth = median_bandwidth(particles.detach())
    check_floating("bandwidth", bandwidth)
    return _op(particles, scores, bandwidth, kernel == "imq")


def median_bandwidth(particles: Float[Tensor, "m d"]) -> Float[Tensor, ""]:
    """h = median of |x_i - x_j|^2 over pairs i < j, divided by log m (Liu and Wang, 2016); 1 for a single particle.

    Beyond 1,024 particles the median is that of 1,024, evenly spaced in their order.
    """
    check_floating("particles", particles, "m d", "one row per particle")
    m = len(particles)
    if m < 2:
        return at_least_float32(particles).new_ones(())
    some = particles if m <= MEDIAN_OF else particles[torch.arange(MEDIAN_OF, device=particles.device) * m // MEDIAN_OF]
    some, upper = at_least_float32(some), torch.triu_indices(len(some), len(some), 1, device=particles.device)
    squares = torch.cdist(some, some, compute_mode=EXACT)[upper[0], upper[1]].square()
    return squares.median().clamp_min(torch.finfo(squares.dtype).tiny) / math.log(m)


def reference(particles: Tensor, scores: Tensor, bandwidth: Tensor, imq: bool) -> Tensor:
    particles = _centred(particles)
    return _rows(particles, particles, scores, bandwidth, imq)


def _centred(particles: Tensor) -> Tensor:
    """About their mean: squared distances are differences of squares, which would be large far from the origin."""
    particles = at_least_float32(particles)
    return particles - particles.detach().mean(-2, keepdim=True)


def _rows(some: Tensor, particles: Tensor, scores: Tensor, bandwidth: Tensor, imq: bool) -> Tensor:
    """The directions of some of the particles."""
    some, particles, scores = (at_least_float32(t) for t in (some, particles, scores))
    h = at_least_float32(bandwidth)[..., None, None]
    inner = some @ particles.mT
    squares = some.square().sum(-1)[..., :, None] + particles.square().sum(-1)[..., None, :] - 2 * inner
    ratio = squares.clamp_min(0) / h
    if imq:
        k = torch.rsqrt(1 + ratio)
        weight = k**3 / h
        drift = k @ scores - weight @ particles + weight.sum(-1, keepdim=True) * some
    else:
        k = share(-ratio)  # whose gradient is a multiple of it, so that both products are one
        drift = k @ (scores - 2 * particles / h) + 2 * k.sum(-1, keepdim=True) / h * some
    return drift / particles.shape[-2]


def _forward(particles: Tensor, scores: Tensor, bandwidth: Tensor, imq: bool) -> Tensor:
    if particles.ndim > 2 or scores.ndim > 2 or bandwidth.ndim > 0:
        return over_batch(lambda x, g, h: _forward(x, g, h, imq), (2, 2, 0), particles, scores, bandwidth)
    if uses_kernel(particles) and particles.shape[1] <= WIDEST:
        return launch("stein_direction")(particles, scores, bandwidth, imq)
    if not len(particles):
        return at_least_float32(particles)
    particles = _centred(particles)
    size = max(1, (GPU_CHUNK if particles.is_cuda else CHUNK) // len(particles))
    if not imq:
        return _rbf(particles, at_least_float32(scores), at_least_float32(bandwidth), size)
    return torch.cat([_rows(part, particles, scores, bandwidth, imq) for part in particles.split(size)])


def _rbf(particles: Tensor, scores: Tensor, h: Tensor, size: int) -> Tensor:
    """`_rows` of every particle: a product gives the exponents, another the sums, and a chunk is written once.

    Values of k are at least `negligible` beside a particle's own of 1: of particles far apart they would be denormal.
    """
    squares, one = particles.square().sum(1, keepdim=True), torch.ones_like(particles[:, :1])
    left, right = torch.cat([2 * particles, -one], 1) / h, torch.cat([particles, squares], 1)
    summed = torch.cat([scores - 2 * particles / h, one], 1)
    found, least = torch.empty_like(summed), math.log(negligible(summed.dtype))
    for rows, part, own in zip(found.split(size), left.split(size), (-squares / h).split(size), strict=True):
        k = torch.addmm(own, part, right.T).clamp_(least, 0).exp_()  # exp(-|x_i - x_j|^2 / h)
        torch.mm(k, summed, out=rows)
    return (found[:, :-1] + 2 * found[:, -1:] / h * particles) / len(particles)


def _fake(particles: Tensor, scores: Tensor, bandwidth: Tensor, imq: bool) -> Tensor:
    batch = torch.broadcast_shapes(particles.shape[:-2], scores.shape[:-2], bandwidth.shape)
    return at_least_float32(particles).new_empty(*batch, *particles.shape[-2:])


_op = differentiable("stein_direction", _forward, reference, _fake, events=(2, 2, 0), static=("bool",))

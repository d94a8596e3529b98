"""What `make gpu-bench` times: each operation of `core.ops`, what its kernel alone is, and what both must move."""

import importlib
import math
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.func import grad

from jensen.core import keys, ops
from jensen.core.numerics.scale import WIDTH

LIMIT = 20.0  # of log scales


class Sizes(NamedTuple):
    """Of the full table, whose arrays exceed a cache, and in `SMALL` of one that shows that everything runs."""

    d: int = 64
    s: int = 64
    n: int = 16_384
    images: int = 4096
    pixels: int = 784
    hidden: int = 200
    particles: int = 5000
    batch: int = 128
    vectors: int = 1_000_000
    codes: int = 8192
    moved: int = 20_000


SMALL = Sizes(d=8, s=2, n=4, images=8, pixels=20, hidden=16, particles=8, batch=4, vectors=50, codes=40, moved=40)


class Operation(NamedTuple):
    """A call, and the bytes that it must read and write, or its operations on numbers where those decide.

    launch: the kernel alone, where the call has one. plain: the same in plain torch, where `kernels.plain` leaves an
    operation in the call that a compiler cannot see into. products: its matrix products alone.
    """

    name: str
    call: Callable[[], object]
    launch: Callable[[], object] | None = None
    moved: int = 0
    flops: int = 0
    plain: Callable[[], object] | None = None
    products: Callable[[], object] | None = None

    def baseline(self) -> Callable[[], object]:
        return self.plain or self.call


def operations(device: str, sizes: Sizes) -> Iterator[Operation]:
    """Each operation; the gradients of those whose backward has a kernel."""
    yield from of_normals(device, sizes.s, sizes.n, sizes.d)
    yield from of_samples(device, sizes.s, sizes.n, sizes.d)
    yield from of_samples(device, sizes.s, 16 * sizes.n, 2)
    yield of_weights(device, sizes.particles, sizes.batch)
    yield of_weights(device, sizes.particles, 64 * sizes.batch)
    logits = noise(4, sizes.s, sizes.images, sizes.pixels, device=device)
    index = logits[0].argmax(-1)
    one_hot = torch.nn.functional.one_hot(index, sizes.pixels).float()
    yield from of_logits("bernoulli_log_prob", ops.bernoulli_log_prob, one_hot, logits)
    yield from of_logits("categorical_log_prob", ops.categorical_log_prob, one_hot, logits)
    yield from of_logits("indexed_log_prob", ops.categorical_log_prob, index, logits)
    del logits, index, one_hot
    yield of_layer(device, sizes)
    yield of_codes(device, sizes.vectors, sizes.codes)
    yield of_particles(device, "rbf", sizes.moved, sizes.d)
    yield of_particles(device, "imq", sizes.moved, sizes.d)


def of_normals(device: str, s: int, n: int, d: int) -> Iterator[Operation]:
    z, loc, log_scale = (noise(i, *shape, device=device) for i, shape in enumerate([(s, n, d), (n, d), (n, d)]))
    g = noise(3, s, n, device=device)
    log_prob, kl = kernel("shared_normal_log_prob"), kernel("normal_kl")
    yield Operation(
        "normal_log_prob",
        lambda: ops.normal_log_prob(z, loc, log_scale),
        lambda: log_prob.forward(z, loc, log_scale, LIMIT, WIDTH),
        z.nbytes,
    )
    slopes = grad(lambda z, loc, log_scale: (g * ops.normal_log_prob(z, loc, log_scale)).sum(), (0, 1, 2))
    yield Operation(
        "normal_log_prob, gradient",
        lambda: slopes(z, loc, log_scale),
        lambda: log_prob.backward(g, z, loc, log_scale, True, True, True, LIMIT, WIDTH),
        2 * z.nbytes,
    )
    each = [noise(i, s * n, d, device=device) for i in range(4)]
    yield Operation(
        "normal_kl",
        lambda: ops.normal_kl(*each),
        lambda: kl.forward(*each, LIMIT, LIMIT, WIDTH),
        4 * z.nbytes,
    )
    kl_slopes = grad(lambda *args: (g.flatten() * ops.normal_kl(*args)).sum(), (0, 1))
    yield Operation(
        "normal_kl, gradient",
        lambda: kl_slopes(*each),
        lambda: kl.backward(g.flatten(), *each, True, True, False, LIMIT, LIMIT, WIDTH),
        6 * z.nbytes,
    )


def of_samples(device: str, s: int, n: int, d: int) -> Iterator[Operation]:
    loc, log_scale = (noise(i, n, d, device=device) for i in range(2))
    key, gz, gq = keys.key(0, device), noise(2, s, n, d, device=device), noise(3, s, n, device=device)
    sample = kernel("normal_sample")
    yield Operation(
        f"normal_sample, d = {d}",
        lambda: ops.normal_sample(key, loc, log_scale, s),
        lambda: sample.forward(key, loc, log_scale, s, LIMIT, WIDTH),
        gz.nbytes,
    )

    def weighted(m: Tensor, a: Tensor) -> Tensor:
        z, log_q = ops.normal_sample(key, m, a, s)
        return (z * gz).sum() + (log_q * gq).sum()

    yield Operation(
        f"normal_sample, gradient, d = {d}",
        lambda: grad(weighted, (0, 1))(loc, log_scale),
        lambda: sample.backward(gz, gq, key, loc, log_scale, s, True, True, LIMIT, WIDTH),
        gz.nbytes,
    )


def of_weights(device: str, s: int, n: int) -> Operation:
    log_p, log_q = (noise(i, s, n, device=device) for i in range(2))
    return Operation(
        f"importance, {s:,} x {n:,}",
        lambda: ops.importance(log_p, log_q),
        lambda: kernel("importance").forward(log_p, log_q),
        3 * log_p.nbytes,
    )


def of_logits(name: str, f: Callable[[Tensor, Tensor], Tensor], x: Tensor, logits: Tensor) -> Iterator[Operation]:
    kernels, g = kernel(name), noise(5, *logits.shape[:-1], device=logits.device.type)
    yield Operation(name, lambda: f(x, logits), lambda: kernels.forward(x, logits), logits.nbytes + x.nbytes)
    slope = grad(lambda a: (g * f(x, a)).sum())
    moved = 2 * logits.nbytes + x.nbytes
    yield Operation(f"{name}, gradient", lambda: slope(logits), lambda: kernels.backward(g, x, logits), moved)


def of_layer(device: str, sizes: Sizes) -> Operation:
    s, n, pixels, hidden = sizes.particles, sizes.batch, sizes.pixels, sizes.hidden
    x, h = (noise(3, n, pixels, device=device) > 0).float(), noise(6, s, n, hidden, device=device)
    weight, bias = noise(7, pixels, hidden, device=device) / 10, noise(8, pixels, device=device)
    f = grad(lambda h, w, b: ops.linear_bernoulli_log_prob(x, h, w, b).sum(), (0, 1, 2))
    some = min(s, max(1, 2**25 // (n * pixels)))
    r, flat = noise(9, some * n, pixels, device=device), h[:some].flatten(0, 1)

    def products() -> None:
        """Logits forward and backward, and both gradients, as often as the samples need."""
        for _ in range(math.ceil(s / some)):
            flat @ weight.T, flat @ weight.T, r @ weight, r.T @ flat

    flops = 8 * s * n * pixels * hidden
    return Operation(
        f"linear_bernoulli_log_prob, gradient, K = {s:,}", lambda: f(h, weight, bias), flops=flops, products=products
    )


def of_codes(device: str, n: int, c: int) -> Operation:
    vectors, codes = noise(9, n, 64, device=device), noise(10, c, 64, device=device)
    return Operation(
        "nearest_code",
        lambda: ops.nearest_code(vectors, codes),
        lambda: kernel("nearest_code").forward(vectors, codes),
        flops=2 * n * c * 64,
        plain=lambda: nearest(vectors, codes),
    )


def of_particles(device: str, name: Literal["rbf", "imq"], m: int, d: int) -> Operation:
    particles, scores = (noise(i, m, d, device=device) for i in (11, 12))
    bandwidth, imq = torch.tensor(2.0 * d, device=device), name == "imq"
    return Operation(
        f"stein_direction, {name}",
        lambda: ops.stein_direction(particles, scores, bandwidth, name),
        lambda: kernel("stein_direction").forward(particles, scores, bandwidth, imq),
        flops=(6 if imq else 4) * m**2 * d,
        plain=lambda: plainly("_stein_direction")(particles, scores, bandwidth, imq),
    )


def noise(seed: int, *shape: int, device: str) -> Tensor:
    return torch.randn(shape, generator=torch.Generator(device).manual_seed(seed), device=device)


def kernel(name: str) -> Any:
    return importlib.import_module(f"jensen.kernels.{name}")


def nearest(vectors: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
    index = plainly("_nearest_code")(vectors, codes)
    return index, (vectors - codes[index]).square().sum(-1)


def plainly(name: str) -> Callable[..., Tensor]:
    """An operation's reference, which stores the matrix that the operation does not."""
    return importlib.import_module(f"jensen.core.ops.{name}").reference

"""The kernels on a GPU: bandwidth of the memory-bound ones, and the others beside the compiled reference.

The fraction of copy bandwidth is of what a device-to-device copy moved in the same run. A kernel that beats the
compiled reference neither in time nor in memory is marked.
"""

import importlib
from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import grad

from jensen.core import keys, ops
from tests.bench.timing import medians


class Sizes:
    """Of the full table; `python -m tests.bench --device cuda --small` checks that everything runs."""

    rows, d, s, n, pixels, hidden = 100, 64, 64, 4096, 784, 200
    codes, vectors, particles = 8192, 1_000_000, 20_000


class Small(Sizes):
    rows, s, n, pixels, hidden, codes, vectors, particles = 2, 2, 16, 20, 16, 40, 50, 40


def noise(seed: int, *shape: int, device: str) -> Tensor:
    generator = torch.Generator(device).manual_seed(seed)
    return torch.randn(shape, generator=generator, device=device)


def run(device: str, sizes: type[Sizes]) -> None:
    copied = copy_bandwidth(device, sizes)
    print(f"\nkernels; a copy moves {copied:.0f} GB/s")
    heads = ("kernel ms", "torch ms", "ratio", "GB/s", "of copy", "MiB", "torch")
    print(f"  {'operation':<38}" + "".join(f"{head:>10}" for head in heads))
    for name, (f, moved) in cases(device, sizes).items():
        compare(name, f, moved, copied)


def copy_bandwidth(device: str, sizes: type[Sizes]) -> float:
    a = noise(0, sizes.s, sizes.n, sizes.pixels, device=device)
    b = torch.empty_like(a)
    milliseconds = medians({"copy": lambda: b.copy_(a)}, 9, 5)["copy"]
    return 2 * a.nbytes / milliseconds / 1e6


def cases(device: str, sizes: type[Sizes]) -> dict[str, tuple[Callable[[], object], int]]:
    """Each operation as a function of nothing, and the bytes that it must read and write."""
    s, n, d, pixels = sizes.s, sizes.n, sizes.d, sizes.pixels
    z, loc, log_scale = (noise(i, *shape, device=device) for i, shape in enumerate([(s, n, d), (n, d), (n, d)]))
    x, logits = (noise(3, n, pixels, device=device) > 0).float(), noise(4, s, n, pixels, device=device)
    key, weights = keys.key(0, device), noise(5, s, n, device=device)
    h, b = noise(6, s, n, sizes.hidden, device=device), noise(8, pixels, device=device)
    w = noise(7, pixels, sizes.hidden, device=device) / 10
    vectors, codes = noise(9, sizes.vectors, 64, device=device), noise(10, sizes.codes, 64, device=device)
    particles, scores = (noise(i, sizes.particles, d, device=device) for i in (11, 12))
    bandwidth = torch.tensor(2.0, device=device)
    q = (loc, log_scale, log_scale, loc)
    found: dict[str, tuple[Callable[[], object], int]] = {
        "normal_log_prob": (lambda: ops.normal_log_prob(z, loc, log_scale), z.nbytes),
        "normal_log_prob, gradient": (
            lambda: grad(lambda *a: ops.normal_log_prob(*a).sum(), (0, 1, 2))(z, loc, log_scale),
            2 * z.nbytes,
        ),
        "normal_kl": (lambda: ops.normal_kl(*q), 4 * loc.nbytes),
        "normal_sample": (lambda: ops.normal_sample(key, loc, log_scale, s), z.nbytes),
        "bernoulli_log_prob": (lambda: ops.bernoulli_log_prob(x, logits), logits.nbytes + x.nbytes),
        "bernoulli_log_prob, gradient": (
            lambda: grad(lambda a: ops.bernoulli_log_prob(x, a).sum())(logits),
            2 * logits.nbytes + x.nbytes,
        ),
        "categorical_log_prob": (lambda: ops.categorical_log_prob(x, logits), logits.nbytes + x.nbytes),
        "importance": (lambda: ops.importance(weights, weights), 3 * weights.nbytes),
        "linear_bernoulli_log_prob, gradient": (
            lambda: grad(lambda *a: ops.linear_bernoulli_log_prob(x, *a).sum(), (0, 1, 2))(h, w, b),
            0,
        ),
        "nearest_code": (lambda: ops.nearest_code(vectors, codes), 0),
        "stein_direction": (lambda: ops.stein_direction(particles, scores, bandwidth), 0),
    }
    return found


def compare(name: str, f: Callable[[], object], moved: int, copied: float) -> None:
    """One row: the kernel's path beside the compiled reference's, which may run out of memory."""
    with ops.use("triton"):
        kernel, peak = measure(f)
    try:
        with ops.use("reference"), unchunked():
            plain, plain_peak = measure(torch.compile(f))
    except torch.OutOfMemoryError:
        plain, plain_peak = float("inf"), float("inf")
    rate = f"{moved / kernel / 1e6:10.0f}{moved / kernel / 1e6 / copied:10.2f}" if moved else " " * 20
    verdict = "" if kernel < plain or peak < plain_peak else "  worse in both: switch it off"
    print(f"  {name:<38}{kernel:10.3f}{plain:10.3f}{plain / kernel:10.2f}{rate}{peak:10.0f}{plain_peak:10.0f}{verdict}")


def measure(f: Callable[[], object]) -> tuple[float, float]:
    """Milliseconds, and the peak of what is allocated in MiB."""
    milliseconds = medians({"f": f}, 7, 3)["f"]
    if not torch.cuda.is_available():
        return milliseconds, 0.0
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    f()
    torch.cuda.synchronize()
    return milliseconds, (torch.cuda.max_memory_allocated() - before) / 2**20


class unchunked:  # noqa: N801  (a context manager)
    """Inside, the operations with a memory claim run plain torch in one piece, as a user would write them."""

    def __enter__(self) -> None:
        names = [("linear_log_prob", "INLINE"), ("nearest_code", "CHUNK"), ("stein_direction", "CHUNK")]
        self.places = [(importlib.import_module(f"jensen.core.ops.{name}"), constant) for name, constant in names]
        self.before = [getattr(module, constant) for module, constant in self.places]
        for module, constant in self.places:
            setattr(module, constant, 2**62)

    def __exit__(self, *_: object) -> None:
        for (module, constant), value in zip(self.places, self.before, strict=True):
            setattr(module, constant, value)

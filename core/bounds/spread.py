"""A bound of samples that several processes have, each its own."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor

from jensen.core.bounds.derivatives import check_bound, derivatives
from jensen.core.bounds.weights import check_log_weights
from jensen.core.contracts import Bound, Derivatives, can
from jensen.core.numerics import at_least_float32


@dataclass(frozen=True)
class Spread:
    """`bound` of all processes' samples, for any estimator of its gradient.

        key = keys.at(key, particle=rank * s)                  # so that the processes draw what one would
        spread = bounds.Spread(bounds.iwae)                    # after torch.distributed.init_process_group
        value = dreg(log_p, q, q.noise(key, s), bound=spread)  # the same on every process
        value = score(log_p, q, q.noise(key, s), bound=spread, baseline=spread.baseline(baselines.vimco))

    Each calls it with log weights (s, n) of its own, of one shape, for s >= 2, and gets the value; its gradient is its
    own samples' part, and the parts add up to the whole: no collective is differentiated.

    Side        that of `bound`
    Weights     those of `bound`, in this process's rows
    """

    bound: Bound
    group: dist.ProcessGroup | None = None  # all processes unless given

    def __post_init__(self) -> None:
        check_bound(self.bound)
        if not dist.is_initialized():
            raise RuntimeError(
                "expected processes that know each other, got one alone: call torch.distributed.init_process_group"
            )

    @property
    def additive(self) -> bool:
        return can(self.bound, Derivatives) and self.bound.additive

    def __call__(self, log_w: Float[Tensor, "s n"], /) -> Float[Tensor, " n"]:
        return self.bound(self._whole(log_w))

    def derivatives(self, log_w: Float[Tensor, "s n"], /) -> tuple[Float[Tensor, "s n"], Float[Tensor, "s n"]]:
        u, path = derivatives(self.bound, self._whole(log_w))
        return self._own(u, len(log_w)), self._own(path, len(log_w))

    def baseline(self, of: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """A baseline of all samples that reads log weights alone, such as `baselines.vimco`, in this process's rows."""

        def spread(bound: Bound, log_w: Float[Tensor, "s n"], q: object, z: object) -> Float[Tensor, "s n"]:
            return self._own(of(self.bound, self._whole(log_w), q, z), len(log_w))

        return spread

    def _whole(self, log_w: Tensor) -> Float[Tensor, "k n"]:
        """Every process's log weights in the order of their ranks, this one's with their gradient."""
        check_log_weights(log_w)
        if len(log_w) < 2:
            raise ValueError("expected log_w of two samples or more on each process, got one: spread fewer ways")
        log_w = at_least_float32(log_w)
        group = self.group or dist.group.WORLD
        assert group is not None
        # the functional collective, which torch.func's transforms and the compiler take
        every = torch.ops._c10d_functional.all_gather_into_tensor(
            log_w.detach().contiguous(), dist.get_world_size(group), group.group_name
        )
        every = torch.ops._c10d_functional.wait_tensor(every)
        first = dist.get_rank(group) * len(log_w)
        return torch.cat([every[:first], log_w, every[first + len(log_w) :]])

    def _own(self, t: Tensor, s: int) -> Tensor:
        first = dist.get_rank(self.group) * s
        return t[first : first + s]

"""Normal posteriors: with a diagonal, a full and a low-rank covariance."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import keys
from jensen.core.checks import check_count
from jensen.core.contracts import Key
from jensen.core.distributions import DiagNormal, FullNormal, LowRankNormal
from jensen.core.trees import Params, check_keys


@dataclass(frozen=True)
class Diag:
    """The mean-field normal (Kingma and Welling, 2014)."""

    def extra(self, d: int, /) -> int:
        return 0

    def init(self, key: Key, d: int, dtype: torch.dtype, /) -> Params:
        return {}

    def prior(self, p: DiagNormal, /) -> DiagNormal:
        return p

    def __call__(self, params: Params, q: DiagNormal, extra: Float[Tensor, "n e"], /) -> DiagNormal:
        check_keys(params, ())
        return q


@dataclass(frozen=True)
class Full:
    """FullNormal: what is below the diagonal of its Cholesky factor are d (d - 1) / 2 outputs."""

    def extra(self, d: int, /) -> int:
        return d * (d - 1) // 2

    def init(self, key: Key, d: int, dtype: torch.dtype, /) -> Params:
        return {}

    def prior(self, p: DiagNormal, /) -> FullNormal:
        return FullNormal.from_diagonal(p)

    def __call__(self, params: Params, q: DiagNormal, extra: Float[Tensor, "n e"], /) -> FullNormal:
        check_keys(params, ())
        n, d = q.loc.shape
        row, column = torch.tril_indices(d, d, -1, device=extra.device)
        lower = extra.new_zeros(n, d, d).index_put((torch.arange(n, device=extra.device)[:, None], row, column), extra)
        return FullNormal(q.loc, q.log_scale, lower)


@dataclass(frozen=True)
class LowRank:
    """LowRankNormal: its factor is d x rank outputs, added to one that all data share, which starts off 0.

    At a factor of 0 its gradient is 0.
    """

    rank: int = 2

    def __post_init__(self) -> None:
        check_count("rank", self.rank)

    def extra(self, d: int, /) -> int:
        return d * self.rank

    def init(self, key: Key, d: int, dtype: torch.dtype, /) -> Params:
        return {"factor": 0.01 * keys.normal(key, (d, self.rank), dtype)}

    def prior(self, p: DiagNormal, /) -> LowRankNormal:
        return LowRankNormal.from_diagonal(p, self.rank)

    def __call__(self, params: Params, q: DiagNormal, extra: Float[Tensor, "n e"], /) -> LowRankNormal:
        check_keys(params, ("factor",))
        return LowRankNormal(q.loc, q.log_scale, params["factor"] + extra.unflatten(-1, params["factor"].shape))


DIAG = Diag()
FULL = Full()

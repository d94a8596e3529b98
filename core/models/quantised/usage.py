"""How evenly codes are used, and how many of them: of given codes, and over the latest steps of training."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from jensen.core.checks import check_count, described
from jensen.core.models.quantised.coded import CodeMap, check_code_map, check_map
from jensen.core.models.quantised.quantiser import check_codes

NEVER = 2**31  # steps


class Use(NamedTuple):
    """How each code of a map has been used of late: a state, from `start` on. Levels have tables of their own."""

    shares: Float[Tensor, "levels C"]  # moving averages of shares of a minibatch's codes, from 0 on
    since: Int[Tensor, "levels C"]  # steps since a code was last used

    @property
    def perplexity(self) -> Float[Tensor, ""]:
        """e^entropy of the shares, the mean over levels."""
        return _perplexity(self.shares).mean()

    def used(self, steps: int) -> Float[Tensor, ""]:
        """The share of codes that were used in the last so many steps."""
        return (self.since < check_count("steps", steps)).float().mean()


def start(of: CodeMap, device: torch.device | str | None = None) -> Use:
    """Before the first step."""
    check_code_map("of", of)
    shape = of.levels or 1, of.size
    return Use(torch.zeros(shape, device=device), torch.full(shape, NEVER, device=device))


def follow(use: Use, of: CodeMap, codes: Int[Tensor, "n *positions"], steps: int) -> Use:
    """After a step with these codes; averages are over about the last so many steps."""
    if not isinstance(use, Use):
        raise TypeError(f"expected use, a usage.Use, got {described(use)}: pass what start or follow gave")
    check_code_map("of", of)
    check_map(codes, of)
    check_codes(codes, of.size)
    steps, (levels, size) = check_count("steps", steps), use.shares.shape
    places = codes.reshape(-1, levels) + size * torch.arange(levels, device=codes.device)
    shares = _counts(places, levels * size).reshape(levels, size) * (levels / places.numel())
    since = torch.where(shares > 0, torch.zeros_like(use.since), use.since + 1)
    return Use(use.shares.lerp(shares, 1 / steps), since)


def perplexity(codes: Int[Tensor, "*n"], size: int) -> Float[Tensor, ""]:
    """e^entropy of how often each of `size` codes is used: `size` for equal use, 1 for a single code."""
    return _perplexity(_checked(codes, size))


def used(codes: Int[Tensor, "*n"], size: int) -> Float[Tensor, ""]:
    """The share of `size` codes that occur at all, from 1 / size to 1."""
    return (_checked(codes, size) > 0).float().mean()


def _perplexity(counts: Float[Tensor, "*levels C"]) -> Float[Tensor, "*levels"]:
    share = counts / counts.sum(-1, keepdim=True)
    return torch.exp(-torch.special.xlogy(share, share).sum(-1))


def _checked(codes: Tensor, size: int) -> Float[Tensor, " size"]:
    size = check_count("size", size)
    check_codes(codes, size)
    return _counts(codes, size)


def _counts(codes: Tensor, size: int) -> Float[Tensor, " size"]:
    """Of each code."""
    places = codes.reshape(-1)
    return torch.zeros(size, device=places.device).index_add(0, places, torch.ones(len(places), device=places.device))

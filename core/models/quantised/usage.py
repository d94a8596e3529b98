"""How evenly codes are used, and how many of them."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from jensen.core.checks import check_count
from jensen.core.models.quantised.quantiser import check_codes


def perplexity(codes: Int[Tensor, "*n"], size: int) -> Float[Tensor, ""]:
    """e^entropy of how often each of `size` codes is used: `size` for equal use, 1 for a single code."""
    share = _share(codes, size)
    return torch.exp(-torch.special.xlogy(share, share).sum())


def used(codes: Int[Tensor, "*n"], size: int) -> Float[Tensor, ""]:
    """The share of `size` codes that occur at all, from 1 / size to 1."""
    return (_share(codes, size) > 0).float().mean()


def _share(codes: Tensor, size: int) -> Float[Tensor, " size"]:
    """Of each code among all."""
    size = check_count("size", size)
    check_codes(codes, size)
    places = codes.reshape(-1)
    ones = torch.ones(len(places), device=places.device)
    return torch.zeros(size, device=places.device).index_add(0, places, ones) / len(places)

"""A batch's rows as the arrays of a message."""

import safetensors.torch

from jensen.experiments.service.engines.seam import Rows


def saved(rows: Rows) -> bytes:
    """As they are sent; b"" of none."""
    return safetensors.torch.save({str(i): each.contiguous() for i, each in enumerate(rows)}) if rows else b""


def opened(arrays: bytes) -> Rows:
    """The inverse."""
    if not arrays:
        return ()
    named = safetensors.torch.load(arrays)
    return tuple(named[str(i)] for i in range(len(named)))

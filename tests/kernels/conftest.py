import math

import pytest
import torch

collect_ignore = [] if torch.cuda.is_available() else ["test_cuda.py"]  # at sizes that an interpreter takes hours for


@pytest.fixture(autouse=True)
def poisoned_outputs(monkeypatch):
    """Fresh memory holds NaN: an element that a kernel does not write cannot pass for one that it does."""
    empty, empty_like = torch.empty, torch.empty_like

    def poison(t):
        return t.fill_(math.nan) if t.is_floating_point() else t

    monkeypatch.setattr(torch, "empty", lambda *a, **k: poison(empty(*a, **k)))
    monkeypatch.setattr(torch, "empty_like", lambda *a, **k: poison(empty_like(*a, **k)))

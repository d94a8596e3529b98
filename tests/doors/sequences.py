"""Recurrences, attention, and models of sequences."""

import torch
from torch.nn import functional as F

from jensen.core import ops
from jensen.core.models.autoregressive import recurrent as recurrent_models
from jensen.core.models.autoregressive import sampling, transformer
from jensen.core.nn import attention, initial, positions, recurrent
from tests.doors.door import KEY, Free, also, door, only
from tests.doors.foundations import DTYPE

N, T, D = 3, 5, 4
X, H = torch.zeros(N, T, 2), torch.zeros(N, D)
OTHER = only(H, H.double(), H[:2], H[:, :2], H[0], "x", None)
GRU, LSTM = recurrent.init(KEY, "gru", 2, D), recurrent.init(KEY, "lstm", 2, D)
ATTENTION = attention.init(KEY, 8)
MODEL = transformer.build(7, 8, 1, 2, 6)
PARAMS = MODEL.init(KEY)
SYMBOLS = torch.zeros(N, T, dtype=torch.int64)
FIRST = only(0, -1, 1.5, "x", None, torch.zeros(N, 1))
PROMPT = only(SYMBOLS, SYMBOLS + 9, SYMBOLS[:2], SYMBOLS[0], SYMBOLS.float(), SYMBOLS.numpy(), "x")


def of_gates(gates: int) -> dict[str, object]:
    """Right and wrong weights of a recurrence."""
    weights = {"wi": torch.zeros(gates * D, 2), "wh": torch.zeros(gates * D, D)}
    weights |= {"bi": torch.zeros(gates * D), "bh": torch.zeros(gates * D)}
    return {name: only(t, t.double(), t[1:], t[None], t.numpy(), "x", None) for name, t in weights.items()}


ROWS = {
    "ops.rnn": door(ops.rnn, x=Free(X), h=OTHER, **of_gates(1)),
    "ops.gru": door(ops.gru, x=Free(X), h=OTHER, **of_gates(3)),
    "ops.gru_before": door(ops.gru_before, x=Free(X), h=OTHER, **of_gates(3)),
    "ops.lstm": door(ops.lstm, x=Free(X), h=OTHER, c=OTHER, **of_gates(4)),
    "recurrent.init": door(
        recurrent.init, key=KEY, cell="gru", inputs=2, features=D, weight=initial.xavier, dtype=DTYPE
    ),
    "recurrent.apply": door(
        recurrent.apply,
        params=only(LSTM, {}, 3, GRU),
        x=Free(X),
        cell=only("lstm", "gru", "LSTM", 3),
        state=only((H, H), (H,), (H, H[0]), (H, H.double())),
    ),
    "attention.init": door(attention.init, key=KEY, features=8, weight=initial.xavier, dtype=DTYPE),
    "attention.apply": door(
        attention.apply, params=only(ATTENTION, {}, 3), x=Free(torch.zeros(N, T, 8)), heads=also(2, 3), rotary=True
    ),
    "attention.bidirectional": door(
        attention.bidirectional, params=only(ATTENTION, {}, 3), x=Free(torch.zeros(N, T, 8)), heads=also(2, 3)
    ),
    "attention.extend": door(
        attention.extend,
        params=only(ATTENTION, {}, 3),
        x=Free(torch.zeros(N, T, 8)),
        cache=only(None),
        heads=also(2, 3),
        rotary=False,
    ),
    "positions.placed": door(positions.placed, x=Free(torch.zeros(N, T, 8)), first=FIRST),
    "positions.rotated": door(positions.rotated, x=Free(torch.zeros(N, T, 8)), first=FIRST),
    "positions.rotation": door(
        positions.rotation, length=T, features=also(8, 7), first=FIRST, like=Free(torch.zeros(2))
    ),
    "transformer.build": door(
        transformer.build,
        symbols=7,
        features=also(8, 7),
        layers=1,
        heads=also(2, 3),
        context=6,
        hidden=4,
        positions="rotary",
        order="pre",
        norm="rms",
        activation=F.relu,
        rate=also(0.5, 1.0, -0.1),
    ),
    "recurrent.build": door(
        recurrent_models.build,
        symbols=7,
        features=8,
        layers=1,
        cell="gru",
        rate=also(0.5, 1.0, -0.1),
    ),
    "sampling.gumbel": door(sampling.gumbel, key=KEY, shape=only((2, 3, 4), (2, -1), 3), dtype=DTYPE),
    "sampling.draw": door(
        sampling.draw,
        model=only(MODEL, {}, None),
        params=only(PARAMS, {}, 3),
        key=KEY,
        n=N,
        length=also(1, 7),
        prompt=PROMPT,
        choice=only(sampling.Choice(), 3, "x"),
    ),
    "sampling.stream": door(
        lambda *given: next(sampling.stream(*given)),
        model=only(MODEL, {}, None),
        params=only(PARAMS, {}, 3),
        key=KEY,
        n=N,
        length=also(1, 7),
        prompt=PROMPT,
        choice=only(sampling.Choice(), 3, "x"),
    ),
    "sequences.logits": door(
        MODEL.logits,
        params=only(PARAMS, {}, 3),
        x=only(SYMBOLS, SYMBOLS + 9, SYMBOLS[0], SYMBOLS.float(), SYMBOLS.numpy(), "x", None),
    ),
}

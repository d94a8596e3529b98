"""Recipes of what is drawn part by part: text, and images pixel by pixel."""

from jensen.experiments.data.text import TextData
from jensen.experiments.programs import Lm, Pixels
from jensen.experiments.run.settings import Run


def digits_made() -> Pixels:
    """MADE of binary digits, about half a minute: exact NLL 5 nats below independent pixels, which are its floor."""
    return Pixels(model="made", hidden=(512,), run=Run(epochs=200, compile=False))


def digits_pixel_cnn() -> Pixels:
    """A PixelCNN of the same, about a minute, with the same floor."""
    return Pixels(run=Run(epochs=40, compile=False))


def lm_pydoc() -> Lm:
    """A transformer of bytes on CPython's documentation, about a minute; its floor are counts of pairs of bytes."""
    return Lm(width=64, layers=2, context=64, run=Run(steps=1200, batch=16, lr_warmup=100, clip=1.0))


def lm_pairs() -> Lm:
    """The same of 512 byte pairs, which reads further back at the same cost; its floor are counts of pairs of these."""
    return Lm(
        data=TextData(tokenizer="bpe", vocabulary=512), width=64, layers=2, context=64,
        run=Run(steps=1000, batch=16, lr_warmup=100, clip=1.0),
    )  # fmt: skip


def lm_lstm() -> Lm:
    """An LSTM of bytes on the same text, about a minute; its floor are counts of pairs of bytes."""
    return Lm(network="lstm", layers=1, context=64, tied=False, run=Run(steps=1200, batch=16, lr_warmup=100, clip=1.0))


SEQUENCES = {
    "digits-made": digits_made,
    "digits-pixel-cnn": digits_pixel_cnn,
    "lm-pydoc": lm_pydoc,
    "lm-pairs": lm_pairs,
    "lm-lstm": lm_lstm,
}

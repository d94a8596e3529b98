"""Recipes of models of codes."""

from jensen.experiments.programs import Vq, VqGan
from jensen.experiments.run.settings import Run


def vq_digits() -> Vq:
    """512 codes at each of 8 positions of digits, which restart below 0.3 of an equal share, about half a minute.

    Its floors are the mean image and independent pixels, as those of fsq-digits.
    """
    return Vq(quantiser="vq(512, least=0.3)", run=Run(epochs=300, compile=False))


def fsq_digits() -> Vq:
    """The same with as many codes of finite scalar quantisation, which uses nearly all of them."""
    return Vq(quantiser="fsq(8, 8, 8)", run=Run(epochs=300, compile=False))


def vqgan_digits() -> VqGan:
    """64 codes at each of 4 x 4 positions of digits, against a critic of patches (Esser et al., 2021).

    About half a minute; its floors are those of vq-digits.
    """
    return VqGan(quantiser="vq(64)", run=Run(steps=1200, compile=False))


CODES = {
    "vq-digits": vq_digits,
    "fsq-digits": fsq_digits,
    "vqgan-digits": vqgan_digits,
}

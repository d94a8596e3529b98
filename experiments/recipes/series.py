"""Recipes of irregular series, and of encoders that start over."""

from jensen.experiments.programs import Gp, Longitudinal, Ode, Reptile


def oscillations() -> Ode:
    """A latent ODE of irregular oscillations, half a minute: gaps and futures better than by the last value seen."""
    return Ode()


def progression() -> Longitudinal:
    """A longitudinal VAE of subjects' visits, half a minute: the next visit better than by the last one seen."""
    return Longitudinal()


def films() -> Gp:
    """A Gaussian-process VAE of films of a ball, half a minute: missing frames better than by the last one seen."""
    return Gp()


def reptile_sinusoids() -> Reptile:
    """The start of an encoder, over 1,000 tasks, in about a minute; its floor is a start that has learned nothing."""
    return Reptile()


SERIES = {
    "oscillations": oscillations,
    "progression": progression,
    "films": films,
    "reptile-sinusoids": reptile_sinusoids,
}

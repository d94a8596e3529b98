"""Models that carry noise to data, and what learns a score alone.

Diffusions and flows along a velocity carry it over a time, normalising flows by a bijection.
"""

from jensen.core.models.transport import (
    choices,
    diffusion,
    diffusion_posterior,
    dit,
    energies,
    fields,
    flow_matching,
    guidance,
    langevin,
    latent_diffusion,
    mixed,
    noise_levels,
    normalising,
    pixel_diffusion,
    probability_flow,
    score_matching,
    variational_diffusion,
    variational_flow_matching,
    weightings,
)

__all__ = [
    "choices",
    "diffusion",
    "diffusion_posterior",
    "dit",
    "energies",
    "fields",
    "flow_matching",
    "guidance",
    "langevin",
    "latent_diffusion",
    "mixed",
    "noise_levels",
    "normalising",
    "pixel_diffusion",
    "probability_flow",
    "score_matching",
    "variational_diffusion",
    "variational_flow_matching",
    "weightings",
]

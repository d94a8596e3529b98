"""Models that carry noise to data: over a time, diffusions and flows along a velocity, or by a bijection, normalising
flows; what learns a score alone."""

from jensen.core.models.transport import (
    choices,
    diffusion,
    diffusion_posterior,
    dit,
    energies,
    fields,
    flow_matching,
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

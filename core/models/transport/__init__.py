"""Models that carry noise to data over a time: diffusions, and flows along a velocity."""

from jensen.core.models.transport import diffusion, fields, flow_matching, noise_levels

__all__ = ["diffusion", "fields", "flow_matching", "noise_levels"]

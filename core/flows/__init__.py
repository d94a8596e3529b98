"""Invertible maps as values: forward(z, context) -> (z', log |det dz'/dz|), inverse(z', context) -> (z, minus that)."""

from jensen.core.flows.coupling import Coupling, Reverse, real_nvp

__all__ = ["Coupling", "Reverse", "real_nvp"]

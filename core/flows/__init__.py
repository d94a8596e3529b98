"""Invertible maps as values: forward(z) -> (z', log |det dz'/dz|), and inverse(z') -> (z, log |det dz/dz'|)."""

from jensen.core.flows.coupling import Coupling, Reverse, real_nvp

__all__ = ["Coupling", "Reverse", "real_nvp"]

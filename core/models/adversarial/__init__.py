"""Generators trained against a critic: what each minimises, what keeps the critic smooth, and what it says of W1."""

from jensen.core.models.adversarial import duality, games, gan, patches, smoothness

__all__ = ["duality", "games", "gan", "patches", "smoothness"]

"""Generators trained against a critic: what each of the two minimises, and what keeps the critic smooth."""

from jensen.core.models.adversarial import games, gan, smoothness

__all__ = ["games", "gan", "smoothness"]

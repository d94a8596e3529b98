"""What estimates are worth: the bias, noise and cost of gradients."""

from jensen.estimators.diagnostics.gradients import Quality, cost, quality

__all__ = ["Quality", "cost", "quality"]

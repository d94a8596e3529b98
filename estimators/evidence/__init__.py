"""Estimators of log p(x)."""

from jensen.estimators.evidence.importance import Evidence, draw, from_log_weights, importance

__all__ = ["Evidence", "draw", "from_log_weights", "importance"]

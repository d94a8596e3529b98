"""Estimators of log p(x)."""

from jensen.estimators.evidence.importance import Evidence, from_log_weights, importance

__all__ = ["Evidence", "from_log_weights", "importance"]

"""Estimators of a bound's gradient: `estimator(log_p, q, noise, bound=...) -> (n,)`."""

from jensen.estimators.gradients.pathwise import analytic_kl, log_weights, pathwise

__all__ = ["analytic_kl", "log_weights", "pathwise"]

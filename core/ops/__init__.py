"""The operations worth fusing, each a pure function in nats with the formula in its docstring."""

from jensen.core.ops.bernoulli_log_prob import bernoulli_log_prob
from jensen.core.ops.log_scale import bounded
from jensen.core.ops.normal_kl import normal_kl
from jensen.core.ops.normal_log_prob import normal_log_prob

__all__ = ["bernoulli_log_prob", "bounded", "normal_kl", "normal_log_prob"]

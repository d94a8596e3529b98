"""The operations worth fusing, each a pure function with the formula in its docstring.

Each computes its reference in plain torch on a CPU and launches a Triton kernel on CUDA; `use` forces one.
"""

from jensen.core.ops._op import use
from jensen.core.ops.bernoulli_log_prob import bernoulli_log_prob
from jensen.core.ops.categorical_log_prob import categorical_log_prob
from jensen.core.ops.importance import importance
from jensen.core.ops.linear_log_prob import linear_bernoulli_log_prob, linear_categorical_log_prob
from jensen.core.ops.log_scale import bounded
from jensen.core.ops.nearest_code import nearest_code
from jensen.core.ops.normal_kl import normal_kl
from jensen.core.ops.normal_log_prob import normal_log_prob
from jensen.core.ops.normal_sample import normal_sample
from jensen.core.ops.path_scale import path_scale
from jensen.core.ops.stein_direction import median_bandwidth, stein_direction

__all__ = [
    "bernoulli_log_prob",
    "bounded",
    "categorical_log_prob",
    "importance",
    "linear_bernoulli_log_prob",
    "linear_categorical_log_prob",
    "median_bandwidth",
    "nearest_code",
    "normal_kl",
    "normal_log_prob",
    "normal_sample",
    "path_scale",
    "stein_direction",
    "use",
]

"""Fused operations, each a pure function with the formula in its docstring.

Each computes its reference in plain torch on a CPU, and launches a Triton kernel on CUDA from the size that repays it;
`use` forces one.
"""

from jensen.core.ops._bernoulli_log_prob import bernoulli_log_prob
from jensen.core.ops._categorical_log_prob import categorical_log_prob
from jensen.core.ops._gru import gru
from jensen.core.ops._gru_before import gru_before
from jensen.core.ops._importance import importance
from jensen.core.ops._lstm import lstm
from jensen.core.ops._nearest_code import nearest_code
from jensen.core.ops._normal_kl import normal_kl
from jensen.core.ops._normal_log_prob import normal_log_prob
from jensen.core.ops._normal_sample import normal_sample
from jensen.core.ops._path_scale import path_scale
from jensen.core.ops._rnn import rnn
from jensen.core.ops._stein_direction import median_bandwidth, stein_direction
from jensen.core.ops.dispatch import use
from jensen.core.ops.linear_log_prob import linear_bernoulli_log_prob, linear_categorical_log_prob

__all__ = [
    "bernoulli_log_prob",
    "categorical_log_prob",
    "gru",
    "gru_before",
    "importance",
    "linear_bernoulli_log_prob",
    "linear_categorical_log_prob",
    "lstm",
    "median_bandwidth",
    "nearest_code",
    "normal_kl",
    "normal_log_prob",
    "normal_sample",
    "path_scale",
    "rnn",
    "stein_direction",
    "use",
]

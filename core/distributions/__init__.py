"""Distributions as values: NamedTuples of tensors with pure methods, in nats per datum.

Each states its Support, the Noise that `sample` is a function of, and its Closed forms: the capabilities of
`contracts` that it has beyond `Distribution`.
"""

from jensen.core.distributions._draw import draw, sample_and_log_prob, sample_and_score
from jensen.core.distributions._from_torch import FromTorch, from_torch
from jensen.core.distributions._generating import characteristic, log_mgf
from jensen.core.distributions._tempered import tempered
from jensen.core.distributions.bernoulli import Bernoulli, check_binary
from jensen.core.distributions.beta import Beta
from jensen.core.distributions.binomial import Binomial
from jensen.core.distributions.categorical import Categorical
from jensen.core.distributions.cauchy import Cauchy
from jensen.core.distributions.chi_squared import ChiSquared
from jensen.core.distributions.continuous_bernoulli import ContinuousBernoulli
from jensen.core.distributions.diag_normal import DiagNormal
from jensen.core.distributions.dirichlet import Dirichlet
from jensen.core.distributions.discretised_logistic import DiscretisedLogistic
from jensen.core.distributions.exponential import Exponential
from jensen.core.distributions.fields import from_real, to_real
from jensen.core.distributions.full_normal import FullNormal
from jensen.core.distributions.full_student_t import FullStudentT
from jensen.core.distributions.gamma import Gamma
from jensen.core.distributions.geometric import Geometric
from jensen.core.distributions.hierarchical import Hierarchical
from jensen.core.distributions.interval import Uniform
from jensen.core.distributions.inverse_gamma import InverseGamma
from jensen.core.distributions.joint import Given, Joint
from jensen.core.distributions.laplace import Laplace
from jensen.core.distributions.linear_bernoulli import LinearBernoulli
from jensen.core.distributions.linear_categorical import LinearCategorical
from jensen.core.distributions.log_normal import LogNormal
from jensen.core.distributions.logistic import Logistic
from jensen.core.distributions.low_rank_normal import LowRankNormal
from jensen.core.distributions.matrix_normal import MatrixNormal
from jensen.core.distributions.mixture import Mixture
from jensen.core.distributions.multinomial import Multinomial
from jensen.core.distributions.negative_binomial import NegativeBinomial
from jensen.core.distributions.pareto import Pareto
from jensen.core.distributions.poisson import Poisson
from jensen.core.distributions.pushforward import Pushforward
from jensen.core.distributions.student_t import StudentT
from jensen.core.distributions.truncated_normal import TruncatedNormal
from jensen.core.distributions.von_mises_fisher import VonMisesFisher
from jensen.core.distributions.wishart import Wishart

__all__ = [
    "Bernoulli",
    "Beta",
    "Binomial",
    "Categorical",
    "Cauchy",
    "ChiSquared",
    "ContinuousBernoulli",
    "DiagNormal",
    "Dirichlet",
    "DiscretisedLogistic",
    "Exponential",
    "FromTorch",
    "FullNormal",
    "FullStudentT",
    "Gamma",
    "Geometric",
    "Given",
    "Hierarchical",
    "InverseGamma",
    "Joint",
    "Laplace",
    "LinearBernoulli",
    "LinearCategorical",
    "LogNormal",
    "Logistic",
    "LowRankNormal",
    "MatrixNormal",
    "Mixture",
    "Multinomial",
    "NegativeBinomial",
    "Pareto",
    "Poisson",
    "Pushforward",
    "StudentT",
    "TruncatedNormal",
    "Uniform",
    "VonMisesFisher",
    "Wishart",
    "characteristic",
    "check_binary",
    "draw",
    "from_real",
    "from_torch",
    "log_mgf",
    "sample_and_log_prob",
    "sample_and_score",
    "tempered",
    "to_real",
]

"""Every part of the library that the laws run over: a new one is one more row of a table here.

The type of each table is a contract, which the type checker holds its rows to. More families of distributions are in
`families`. EXPECTED names, for a row, the laws that it breaks by design, with the reason; EXAMPLES what the laws of
flows and models are tried on.
"""

from jensen.laws.instances._programs import programs
from jensen.laws.instances.bounds import BOUNDS
from jensen.laws.instances.codes import CODED, QUANTISERS
from jensen.laws.instances.distributions import DISTRIBUTIONS
from jensen.laws.instances.estimators import ESTIMATORS
from jensen.laws.instances.examples import EXAMPLES, EXPECTED
from jensen.laws.instances.flows import BIJECTIONS, FLOWS
from jensen.laws.instances.models import DENSITIES, MODELS

__all__ = [
    "BIJECTIONS",
    "BOUNDS",
    "CODED",
    "DENSITIES",
    "DISTRIBUTIONS",
    "ESTIMATORS",
    "EXAMPLES",
    "EXPECTED",
    "FLOWS",
    "MODELS",
    "QUANTISERS",
    "programs",
]

"""Invertible maps as values: forward(z, context) -> (z', log |det dz'/dz|), inverse(z', context) -> (z, minus that).

Flows with networks (`Coupling`, `Autoregressive`) take a context of each datum through weights that all data share; of
the others, which are few numbers, `Hypernetwork` makes such flows. `Conditional` holds a context for a distribution.
`spectral` bounds the norms of weights.
"""

from jensen.core.flows import spectral
from jensen.core.flows._from_zuko import FromZuko, from_zuko
from jensen.core.flows.actnorm import Actnorm, normalised
from jensen.core.flows.affine import Affine
from jensen.core.flows.autoregressive import Autoregressive, iaf, maf
from jensen.core.flows.conditional import Conditional, Hypernetwork
from jensen.core.flows.continuous import Continuous
from jensen.core.flows.coupling import Coupling, real_nvp, spline_couplings
from jensen.core.flows.inverse import Inverse
from jensen.core.flows.permutation import Permutation, Reverse
from jensen.core.flows.planar import Planar
from jensen.core.flows.plu import PLU
from jensen.core.flows.radial import Radial
from jensen.core.flows.spline import RationalQuadratic
from jensen.core.flows.sylvester import Sylvester
from jensen.core.flows.triangular import Triangular

__all__ = [
    "PLU",
    "Actnorm",
    "Affine",
    "Autoregressive",
    "Conditional",
    "Continuous",
    "Coupling",
    "FromZuko",
    "Hypernetwork",
    "Inverse",
    "Permutation",
    "Planar",
    "Radial",
    "RationalQuadratic",
    "Reverse",
    "Sylvester",
    "Triangular",
    "from_zuko",
    "iaf",
    "maf",
    "normalised",
    "real_nvp",
    "spectral",
    "spline_couplings",
]

"""Flows: their constructors, and values that are not of their size."""

import torch

from jensen.core import flows, keys
from jensen.core.flows import spectral
from tests.doors.door import KEY, Free, also, door, only

S, N, D, C = 4, 5, 3, 2
Z, CONTEXT = torch.zeros(S, N, D), torch.zeros(N, C)
DTYPE = only(torch.float32, torch.int64, "float32")
HIDDEN = only((4,), 4, (0,), (2.5,), ())
NETWORK = {"key": KEY, "d": D, "hidden": HIDDEN, "context": also(0, -1), "n": N}
TRANSFORM = only(flows.Affine(), flows.Affine, "affine", None)
VALUES = {
    "Actnorm": flows.Actnorm.identity(D),
    "Autoregressive": flows.Autoregressive.identity(KEY, D, (4,)),
    "Continuous": flows.Continuous.identity(KEY, D, (4,)),
    "Coupling": flows.Coupling.identity(KEY, D, (4,)),
    "PLU": flows.PLU.identity(D),
    "Permutation": flows.Permutation.random(KEY, D),
    "Planar": flows.Planar.identity(KEY, D),
    "Radial": flows.Radial.identity(KEY, D),
    "Reverse": flows.Reverse(),
    "Sylvester": flows.Sylvester.triangular(KEY, D),
    "Triangular": flows.Triangular.identity(D),
}
WEIGHT, LEFT = keys.normal(KEY, (4, 3)), torch.full((4,), 0.5)
GIVEN = flows.Coupling.identity(KEY, D, (4,), C)

ROWS = {
    "flows.real_nvp": door(
        flows.real_nvp, key=KEY, d=D, couplings=also(4, 3), hidden=HIDDEN, context=also(0, -1), n=N, dtype=DTYPE
    ),
    "flows.spline_couplings": door(
        flows.spline_couplings, key=KEY, d=D, couplings=also(4, 3), hidden=HIDDEN, bins=also(8, 1, 1000),
        bound=also(5.0, 0.0, -1.0), context=also(0, -1), n=N, dtype=DTYPE
    ),
    "flows.iaf": door(
        flows.iaf, key=KEY, d=D, layers=2, hidden=HIDDEN, context=also(0, -1), n=N, transform=TRANSFORM, dtype=DTYPE
    ),
    "flows.maf": door(
        flows.maf, key=KEY, d=D, layers=2, hidden=HIDDEN, context=also(0, -1), n=N, transform=TRANSFORM, dtype=DTYPE
    ),
    "flows.Coupling.identity": door(flows.Coupling.identity, **NETWORK, transform=TRANSFORM, dtype=DTYPE),
    "flows.Autoregressive.identity": door(flows.Autoregressive.identity, **NETWORK, transform=TRANSFORM, dtype=DTYPE),
    "flows.Continuous.identity": door(
        flows.Continuous.identity, **NETWORK, steps=also(8, 0), probes=also(1, -1), dtype=DTYPE
    ),
    "flows.Continuous.reprobed": door(VALUES["Continuous"].reprobed, key=KEY),
    "flows.RationalQuadratic": door(flows.RationalQuadratic, bins=also(8, 1, 1000), bound=also(5.0, 0.0, -1.0)),
    "flows.Affine": door(flows.Affine().forward, theta=Free(Z[:, :2]), z=Free(Z[:, 0])),
    "flows.RationalQuadratic.inverse": door(flows.RationalQuadratic(2).inverse, theta=Free(Z), z=Free(Z[:, 0])),
    "flows.Planar.identity": door(flows.Planar.identity, key=KEY, d=D, dtype=DTYPE),
    "flows.Radial.identity": door(flows.Radial.identity, key=KEY, d=D, dtype=DTYPE),
    "flows.Sylvester.orthogonal": door(flows.Sylvester.orthogonal, key=KEY, d=D, m=also(2, 4), dtype=DTYPE),
    "flows.Sylvester.householder": door(
        flows.Sylvester.householder, key=KEY, d=D, reflections=2, m=also(2, 4), dtype=DTYPE
    ),
    "flows.Sylvester.triangular": door(flows.Sylvester.triangular, key=KEY, d=D, dtype=DTYPE),
    "flows.Permutation.random": door(flows.Permutation.random, key=KEY, d=D),
    "flows.Triangular.identity": door(flows.Triangular.identity, d=D, dtype=DTYPE),
    "flows.Triangular.of": door(flows.Triangular.of, loc=torch.zeros(D), factor=torch.eye(D)),
    "flows.PLU.identity": door(flows.PLU.identity, d=D, dtype=DTYPE),
    "flows.PLU.rotation": door(flows.PLU.rotation, key=KEY, d=D, dtype=DTYPE),
    "flows.Actnorm.identity": door(flows.Actnorm.identity, d=D, dtype=DTYPE),
    "flows.Actnorm.normalising": door(flows.Actnorm.normalising, z=Free(Z)),
    "flows.normalised": door(
        flows.normalised, flows=only((VALUES["Actnorm"],), VALUES["Actnorm"], flows.Actnorm, 3), z=Free(Z)
    ),
    "flows.Hypernetwork.of": door(
        flows.Hypernetwork.of, key=KEY, flow=only(VALUES["Planar"], flows.Planar, flows.Reverse(), 3, None), context=C,
        scale=also(0.01, -1.0),
    ),
    "flows.Inverse.forward": door(flows.Inverse(VALUES["Coupling"]).forward, z=Free(Z)),
    "flows.Conditional.forward": door(flows.Conditional((GIVEN,), CONTEXT).forward, z=Free(Z)),
    "flows.Conditional.inverse": door(flows.Conditional((GIVEN,), CONTEXT).inverse, z=Free(Z)),
    "flows.Coupling.forward of a context": door(
        GIVEN.forward, z=Free(Z), context=only(CONTEXT, None, CONTEXT[:, :1], 3)
    ),
    "spectral.start": door(spectral.start, key=KEY, weight=WEIGHT, steps=10),
    "spectral.norm": door(spectral.norm, weight=WEIGHT, u=LEFT, steps=1),
    "spectral.normalised": door(spectral.normalised, weight=WEIGHT, u=LEFT, limit=also(1.0, 0.0, -1.0), steps=1),
    "spectral.clipped": door(
        spectral.clipped, weight=WEIGHT, u=LEFT, low=also(0.9, 0.0), high=also(1.1, 0.5), steps=1
    ),
    **{f"flows.{name}.forward": door(flow.forward, z=Free(Z)) for name, flow in VALUES.items()},
    **{f"flows.{name}.inverse": door(flow.inverse, z=Free(Z)) for name, flow in VALUES.items()},
}  # fmt: skip

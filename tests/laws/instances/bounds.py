"""Bounds on log p(x)."""

from jensen.core import bounds
from jensen.core.contracts import Bound
from jensen.core.divergences import generators

BOUNDS: dict[str, Bound] = {
    "elbo": bounds.elbo,
    "iwae": bounds.iwae,
    "vr_max": bounds.vr_max,
    "Renyi(0.5)": bounds.Renyi(0.5),
    "Renyi(2)": bounds.Renyi(2.0),
    "Cubo": bounds.Cubo(2.0),
    "Miwae": bounds.Miwae(2, 3),
    "Ciwae": bounds.Ciwae(0.5),
    "Tvo left": bounds.Tvo((0.0, 0.3, 1.0), "left"),
    "Tvo right": bounds.Tvo((0.0, 0.3, 1.0), "right"),
    "Jackknife": bounds.Jackknife(1),
    "Sumo": bounds.Sumo(1),
    "Csiszar": bounds.Csiszar(generators.reverse_kl),
    "TailAdaptive": bounds.TailAdaptive(),
}

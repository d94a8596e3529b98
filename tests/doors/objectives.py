"""Bounds and objectives."""

import math

import torch

from jensen.core import bounds, objectives
from jensen.core.distributions import DiagNormal
from jensen.core.divergences import generators
from tests.doors.door import KEY, also, door, only

S, N, D = 6, 5, 3
LOG_W, R, KL = torch.randn(S, N, generator=torch.Generator().manual_seed(0)), torch.zeros(N), torch.ones(N)
NORMAL = DiagNormal(torch.zeros(N, D), torch.zeros(N, D))
Z = torch.zeros(2, N, D)
WRONG_BOUNDS = ("iwae", None, bounds.Renyi, lambda log_w: log_w.mean(), lambda log_w: log_w)
STATE = objectives.Multiplier.start(R)
PARTS = objectives.Decomposition(R, R, R)
WEIGHT = also(2.0, -1.0, math.inf, torch.ones(2))
TARGET = also(1.0, math.inf, torch.ones(2))
FLOOR = also(0.1, -1.0, math.inf, torch.ones(4))
GROUPS = only((1, 2), (1, 1), (0, 3), 3, (1.5, 1.5))
SUMO, ONES = bounds.Sumo(), torch.ones(N, dtype=torch.int64)
VALUES = {
    "elbo": bounds.elbo, "iwae": bounds.iwae, "vr_max": bounds.vr_max, "Renyi": bounds.Renyi(0.5),
    "Cubo": bounds.Cubo(), "Tvo": bounds.Tvo((0.0, 0.5, 1.0)), "Miwae": bounds.Miwae(2, 3), "Ciwae": bounds.Ciwae(0.5),
    "Csiszar": bounds.Csiszar(generators.chi2), "TailAdaptive": bounds.TailAdaptive(), "Jackknife": bounds.Jackknife(),
    "Sumo": SUMO,
}  # fmt: skip
GIVEN = {  # a value's call takes these positionally
    "Beta": objectives.Beta(2.0), "Capacity": objectives.Capacity(2.0, 1.0), "FreeBits": objectives.FreeBits(0.1),
    "Geco": objectives.Geco(1.0), "Committed": objectives.Committed(0.1), "BetaTc": objectives.BetaTc(2.0),
}  # fmt: skip

ROWS = {
    **{f"bounds.{name} of log_w": door(value, log_w=also(LOG_W, LOG_W[:0])) for name, value in VALUES.items()},
    **{f"bounds.{name}.derivatives": door(value.derivatives, log_w=also(LOG_W, LOG_W[:0]))
       for name, value in VALUES.items() if hasattr(value, "derivatives")},
    "bounds.Renyi": door(bounds.Renyi, alpha=also(0.5, math.inf)),
    "bounds.Cubo": door(bounds.Cubo, n=also(2.0, 0.5, math.inf)),
    "bounds.Tvo": door(
        bounds.Tvo, betas=only((0.0, 0.5, 1.0), (0.0, 0.5), (1.0, 0.0), 3, "ab", ("a", "b")), side="left",
    ),
    "bounds.Miwae": door(bounds.Miwae, m=2, k=3),
    "bounds.Miwae of 5": door(bounds.Miwae(2, 3), log_w=only(LOG_W, LOG_W[:5])),
    "bounds.Ciwae": door(bounds.Ciwae, beta=also(0.5, 1.5, -0.1)),
    "bounds.Csiszar": door(bounds.Csiszar, f=generators.chi2),
    "bounds.TailAdaptive": door(bounds.TailAdaptive, beta=also(-1.0, math.inf)),
    "bounds.Jackknife": door(bounds.Jackknife, m=1),
    "bounds.Sumo": door(bounds.Sumo, first=also(1, 0), tail=also(80, 0), decay=also(0.9, 1.0, 0.0)),
    "bounds.Sumo with terms": door(
        SUMO, log_w=LOG_W, terms=only(ONES, 0 * ONES, ONES.float(), ONES.numpy(), ONES[:3], 3)
    ),
    "bounds.Sumo.draw": door(SUMO.draw, key=KEY, n=N),
    "bounds.additive": door(bounds.additive, bound=only(lambda log_w: log_w.mean(0), *WRONG_BOUNDS), log_w=LOG_W),
    "bounds.additive of a count": door(bounds.additive, bound=only(bounds.elbo, *WRONG_BOUNDS), log_w=also(4, 0)),
    "bounds.choose": door(bounds.choose, condition=only(True, 3, torch.ones(2), "yes"), yes=lambda: R, no=lambda: KL),
    "bounds.derivatives": door(bounds.derivatives, bound=only(bounds.iwae, *WRONG_BOUNDS), log_w=LOG_W),
    "bounds.free_bits": door(
        bounds.free_bits, kl=torch.ones(N, D), floor=only(0.1, -1.0, "a", torch.ones(4)), groups=GROUPS,
    ),
    "bounds.leave_one_out_iwae": door(bounds.leave_one_out_iwae, log_w=also(LOG_W, LOG_W[:1])),
    "bounds.linear_betas": door(bounds.linear_betas, intervals=also(4, 0)),
    "bounds.log_betas": door(bounds.log_betas, intervals=also(4, 0), first=also(0.1, 0.0, 1.0)),
    "bounds.parse": door(bounds.parse, text=only("iwae", "iwea", "renyi", "renyi(a)", "miwae(2)", 3, None)),
    "bounds.piwae": door(bounds.piwae, log_w_theta=LOG_W, log_w_phi=also(LOG_W, LOG_W[:5]), m=2, k=3),
    "bounds.upper": door(bounds.upper, bound=only(bounds.elbo, "iwae", None, bounds.Renyi)),
    **{f"objectives.{name} of terms": door(
        lambda reconstruction, q, prior, weights, value=value: value(
            reconstruction, q, prior, Z, data=9, weights=weights, state=value.start(R)
        ),
        reconstruction=R, q=NORMAL, prior=only(NORMAL, 3, "normal"), weights=only({}, 3, {"kl": torch.ones(2)}),
    ) for name, value in GIVEN.items()},
    "objectives.Beta": door(objectives.Beta, weight=also(2.0, -1.0, math.inf)),
    "objectives.Capacity": door(objectives.Capacity, weight=also(2.0, -1.0), target=also(1.0, math.inf)),
    "objectives.FreeBits": door(objectives.FreeBits, floor=also(0.1, -1.0), groups=only((1, 2), (0, 3), 3, (1.5,))),
    "objectives.Geco": door(
        objectives.Geco, target=also(1.0, math.inf), rate=also(0.01, -1.0, math.inf), decay=also(0.9, 1.0, -0.1)
    ),
    "objectives.Committed": door(objectives.Committed, rate=also(0.1, -1.0, 20.0)),
    "objectives.BetaTc": door(objectives.BetaTc, beta=also(2.0, -1.0), alpha=also(1.0, -1.0), gamma=also(1.0, -1.0)),
    "objectives.Multiplier.start": door(objectives.Multiplier.start, like=only(R, 3, "x", R.numpy(), R.long())),
    "objectives.Multiplier.update": door(
        STATE.update, reconstruction=also(R, R[:0]), target=TARGET, rate=also(0.01, -1.0, math.inf),
        decay=also(0.99, 1.0, -0.1), limit=also(1e6, 0.5),
    ),
    "objectives.batch_weights": door(
        objectives.batch_weights, n=only(5, 0, 10, 2.5), data=also(9, 4), weights="weighted",
        like=only(R, 3, R.numpy()),
    ),
    "objectives.beta": door(objectives.beta, reconstruction=R, kl=also(KL, KL[:4]), weight=WEIGHT),
    "objectives.beta_tc": door(
        objectives.beta_tc, reconstruction=R, parts=only(PARTS, 3, R), beta=WEIGHT, alpha=WEIGHT, gamma=WEIGHT
    ),
    "objectives.capacity": door(objectives.capacity, reconstruction=R, kl=KL, weight=WEIGHT, target=TARGET),
    "objectives.committed": door(objectives.committed, q=NORMAL, rate=also(0.1, -1.0, 20.0)),
    "objectives.decompose": door(
        objectives.decompose, q=NORMAL, prior=NORMAL, z=also(Z, Z[:0], Z[..., :2]), data=also(9, 4), weights="weighted"
    ),
    "objectives.discrimination": door(objectives.discrimination, of_joint=LOG_W, of_product=also(LOG_W, LOG_W[:4])),
    "objectives.factor": door(
        objectives.factor, reconstruction=R, kl=KL, total_correlation=also(KL, KL[:4]), gamma=WEIGHT, weight=WEIGHT
    ),
    "objectives.free_bits": door(
        objectives.free_bits, reconstruction=R, kl=torch.ones(N, D), floor=FLOOR, groups=GROUPS, per_datum=False,
        weight=WEIGHT
    ),
    "objectives.geco": door(
        objectives.geco, reconstruction=R, kl=KL, multiplier=only(STATE, 3, R), target=TARGET, weight=WEIGHT
    ),
    "objectives.kl": door(objectives.kl, q=NORMAL, prior=NORMAL, z=only(Z)),
    "objectives.permuted": door(objectives.permuted, key=KEY, z=Z),
    "objectives.parse": door(objectives.parse, text=only("beta(2)", "betta(2)", "beta", "beta(a)", 3, None)),
}  # fmt: skip

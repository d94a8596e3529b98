"""Doors of models of time series."""

import torch

from jensen.core import keys
from jensen.core.distributions import DiagNormal
from jensen.core.models.latent import gp, longitudinal, ode, posteriors, series
from jensen.core.models.latent.series import AtTimes, Series
from jensen.core.nn import deep_set, initial
from tests.doors.door import KEY, also, door, only

N, M, D = 5, 3, 2
TIMES = torch.tensor([0.2, 0.9, 1.8]).expand(N, M)
VALUES, MASK = keys.normal(KEY, (N, M, 2)), torch.ones(N, M, dtype=torch.bool)
X = Series(TIMES, VALUES, MASK)
SERIES = only(
    X, VALUES, None, Series, X._replace(values=VALUES[..., 0]), X._replace(values=VALUES[:2]),
    X._replace(values=VALUES.long()), X._replace(times=TIMES.double()), X._replace(times=TIMES / 0),
    X._replace(mask=MASK.float()), X._replace(mask=MASK[:, :2]), X._replace(values=VALUES.numpy()),
)  # fmt: skip
OF_MODELS = only(X, *SERIES.wrong, X._replace(values=VALUES[..., :1]))
WIDTHS = only((4,), 4, (0,), ("4",))
ODE = ode.build(2, D, 2.0, 2, (4,), (), (4,), 2)
LONG = longitudinal.build(2, D, 1, (4,), (), (4,))
GP = gp.build(2, D, 2.0, 3, encoder=(4,), decoder=())
MODELS = {"ode.LatentODE": ODE, "longitudinal.Longitudinal": LONG, "gp.GaussianProcessVAE": GP}
PARAMS = {name: model.init(KEY, X) for name, model in MODELS.items()}
LATENTS = {"ode.LatentODE": D, "longitudinal.Longitudinal": M * D}
P = DiagNormal(torch.zeros(2, N, M, 2), torch.zeros(2, N, M, 2))


def of(name, method, **arguments):
    return door(getattr(MODELS[name], method), params=only(PARAMS[name], {}, 3), **arguments)


ROWS = {
    "deep_set.init": door(
        deep_set.init, key=KEY, inputs=2, hidden=only((4,), 4, (), (0,)), outputs=3, weight=initial.xavier,
        dtype=only(torch.float32, torch.int64, "float32"),
    ),
    "deep_set.apply": door(
        deep_set.apply, params=only(deep_set.init(KEY, 2, (4,), 3), {}, 3), x=only(VALUES, VALUES.long(), None, "x"),
        mask=only(MASK, MASK.float(), MASK[:, :2], None), activation=torch.tanh,
    ),
    "series.observed_log_prob": door(series.observed_log_prob, p=only(P, 3, None, DiagNormal), x=SERIES),
    "series.moments": door(series.moments, x=only(X, *SERIES.wrong, X._replace(mask=~MASK))),
    "series.AtTimes.series": door(
        AtTimes(ODE, (0.2, 0.9, 1.8)).series, x=also(VALUES.flatten(1), VALUES.flatten(1)[:, :5])
    ),
    "ode.build": door(
        ode.build, channels=2, latent=D, duration=also(2.0, 0.0, -1.0), steps=2, field=WIDTHS, decoder=WIDTHS,
        encoder=only((4,), 4, (), (0,)), frequencies=2,
        posterior=only(posteriors.DIAG, "diag", type(posteriors.DIAG), None),
    ),
    "longitudinal.build": door(
        longitudinal.build, channels=2, latent=D, flows=1, transition=WIDTHS, decoder=WIDTHS,
        encoder=only((4,), 4, (), (0,)),
    ),
    "gp.build": door(
        gp.build, channels=2, latent=D, duration=also(2.0, 0.0), inducing=also(3, 1), length=also(1.0, 0.0),
        encoder=WIDTHS, decoder=WIDTHS, jitter=also(1e-4, 0.0, 1.0),
    ),
    **{f"{name}.init": door(model.init, key=KEY, x=OF_MODELS) for name, model in MODELS.items()},
    **{f"{name}.posterior": of(name, "posterior", x=OF_MODELS) for name in MODELS},
    **{f"{name}.infer": of(name, "infer", x=OF_MODELS, key=KEY, s=2) for name in MODELS},
    **{f"{name}.prior": of(name, "prior", times=TIMES) for name in LATENTS},
    **{f"{name}.likelihood": of(name, "likelihood", z=also(torch.zeros(2, N, d), torch.zeros(2, N, d + 1)),
                                times=TIMES) for name, d in LATENTS.items()},
    **{f"{name}.log_joint": of(name, "log_joint", x=OF_MODELS, z=only(
        torch.zeros(2, N, d), torch.zeros(2, N, d + 1), torch.zeros(2, N + 1, d), None, "x"
    )) for name, d in LATENTS.items()},
    "ode.LatentODE.states": of("ode.LatentODE", "states", z=also(torch.zeros(2, N, D), torch.zeros(2, N, D + 1)),
                               times=also(TIMES, TIMES + 1, -TIMES)),
    "gp.GaussianProcessVAE.pseudo_observations": of("gp.GaussianProcessVAE", "pseudo_observations", x=OF_MODELS),
    "gp.GaussianProcessVAE.likelihood": of(
        "gp.GaussianProcessVAE", "likelihood", z=only(torch.zeros(2, N, M, D), torch.zeros(2, N, M, 5), None, "x")
    ),
}  # fmt: skip

"""Models of counts, of labels behind a bottleneck, and encoders that learn to learn."""

import torch

from jensen.core.distributions import DiagNormal
from jensen.core.models import classifier
from jensen.core.models.latent import bottleneck, likelihoods, linear_normal, poisson, reptile
from tests.doors.door import KEY, also, door, only

S, N, D = 4, 5, 3
X = torch.linspace(-1, 1, 30).reshape(N, 6)
Z = torch.ones(S, N, D)
COUNTS = only(Z, Z.double(), Z[..., :2], Z[0, 0], Z.numpy(), Z.long(), "x", None)
POISSON = poisson.build(6, D)
RATES = POISSON.init(KEY, X)
GAUSSIAN = likelihoods.GAUSSIAN
CODES = classifier.mlp(D, (), 3)
BOTTLENECK = bottleneck.build(6, (4,), CODES)
CODED, LABELS = BOTTLENECK.init(KEY), torch.tensor([0, 2, 1, 1, 0])
CLASSES = also(LABELS, LABELS + 1, LABELS - 1, LABELS[1:])
ENCODER, TASK = reptile.build(6, (4,), D), linear_normal.LinearNormal(torch.ones(6, D), torch.zeros(()))
STARTED = ENCODER.init(KEY)
LABELLED = {"x": also(X, X[:, :4], X.double()), "labels": CLASSES, "noise": only(Z, Z[..., :2], Z.numpy(), "x", None)}

ROWS = {
    "poisson.build": door(
        poisson.build, data=6, latent=D, encoder=only((4,), 4, (0,), ("4",)), decoder=only((), 4, (0,), ("4",)),
        activation=torch.tanh, likelihood=only(GAUSSIAN, "gaussian", type(GAUSSIAN), None),
    ),
    "poisson.PoissonVAE.init": door(POISSON.init, key=KEY, x=also(X, X.mean(0), X[:1], X[:, :4])),
    "poisson.PoissonVAE.posterior": door(
        POISSON.posterior, params=only(RATES, {}, 3, X), x=also(X, X.double(), X[:, :4])
    ),
    "poisson.PoissonVAE.prior": door(POISSON.prior, params=only(RATES, {}, 3, X), n=N),
    "poisson.PoissonVAE.likelihood": door(POISSON.likelihood, params=only(RATES, {}, 3), z=COUNTS),
    "poisson.PoissonVAE.log_prior": door(POISSON.log_prior, params=only(RATES, {}, 3), z=COUNTS),
    "poisson.PoissonVAE.log_joint": door(
        POISSON.log_joint, params=only(RATES, {}, 3), x=also(X, X[:4]), z=only(Z, *COUNTS.wrong[1:])
    ),
    "poisson.PoissonVAE.reconstruction": door(
        POISSON.reconstruction, params=only(RATES, {}, 3), x=also(X, X.double(), X[:, :4])
    ),
    "poisson.PoissonVAE.dictionary": door(POISSON.dictionary, params=only(RATES, {}, 3)),
    "bottleneck.build": door(
        bottleneck.build, data=6, hidden=only((4,), 4, (0,), ("4",)), classifier=only(CODES, "mlp", POISSON, None),
        activation=torch.tanh,
    ),
    "bottleneck.Bottleneck.init": door(BOTTLENECK.init, key=KEY, dtype=only(torch.float32, torch.int64, "float32")),
    "bottleneck.Bottleneck.posterior": door(
        BOTTLENECK.posterior, params=only(CODED, {}, 3, X), x=also(X, X.double(), X[:, :4])
    ),
    "bottleneck.Bottleneck.prior": door(BOTTLENECK.prior, params=only(CODED, {}, 3, X), n=N),
    "bottleneck.Bottleneck.log_likelihood": door(
        BOTTLENECK.log_likelihood, params=only(CODED, {}, 3), z=only(Z, Z[..., :2], Z[0, 0], "x", None), labels=CLASSES,
    ),
    "bottleneck.Bottleneck.terms": door(BOTTLENECK.terms, params=only(CODED, {}, 3), **LABELLED),
    "bottleneck.Bottleneck.log_prob": door(BOTTLENECK.log_prob, params=only(CODED, {}, 3), **LABELLED),
    "bottleneck.Bottleneck.correct": door(BOTTLENECK.correct, params=only(CODED, {}, 3), **LABELLED),
    "bottleneck.label_entropy": door(bottleneck.label_entropy, labels=also(LABELS, LABELS + 1, LABELS - 1), classes=3),
    "poisson.PoissonVAE.independent": door(POISSON.independent, x=X),
    "reptile.build": door(
        reptile.build, data=6, hidden=only((4,), 4, (0,), ("4",)), latent=D, activation=torch.tanh
    ),
    "reptile.Encoder.init": door(ENCODER.init, key=KEY, dtype=only(torch.float32, torch.int64, "float32")),
    "reptile.Encoder.posterior": door(
        ENCODER.posterior, params=only(STARTED, {}, 3, X), x=also(X, X.double(), X[:, :4])
    ),
    "reptile.adapted": door(
        reptile.adapted, loss=only(lambda p, i: p["0"]["bias"].square().sum(), 3.0, "elbo", None),
        params=only(STARTED), steps=2, step_size=also(0.1, 0.0),
    ),
    "reptile.pull": door(reptile.pull, params=only(STARTED), adapted=only(STARTED, {}, 3)),
    "linear_normal.LinearNormal.elbo": door(
        TASK.elbo, q=only(DiagNormal(Z[0], Z[0]), X, "q", None), x=also(X, X[:, :4], X[:4])
    ),
    "linear_normal.LinearNormal.log_evidence": door(TASK.log_evidence, x=also(X, X[:, :4])),
}  # fmt: skip

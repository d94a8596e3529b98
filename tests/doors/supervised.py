"""Perceptrons of an input and a condition, and the models of data with labels that they make."""

import torch

from jensen.core import keys
from jensen.core.models import classifier
from jensen.core.models.latent import cvae, likelihoods, multimodal, vae
from jensen.core.models.latent.semi import M1, Stacked, m2
from jensen.core.nn import conditional, initial
from tests.doors.door import KEY, Free, also, door, only

S, N, D = 4, 5, 2
X = (keys.uniform(KEY, (N, 64)) < 0.5).float()
LABELS = torch.tensor([0, 2, 1, 1, 0])
ONE_HOT = torch.eye(3)[LABELS]
NETWORK = conditional.init(KEY, (64, 6, 2), 3)
CLASSIFIER, FIRST = classifier.mlp(64, (6,), 3), vae.mlp(64, (6,), D)
SECOND = m2.build(classifier.mlp(D, (6,), 3), (6,), 1, likelihood=likelihoods.GAUSSIAN)
M2, OF_FEATURES, STACKED = m2.build(CLASSIFIER, (6,), D), M1(FIRST, classifier.mlp(D, (6,), 3)), Stacked(FIRST, SECOND)
PARAMS, FEATURE_PARAMS, STACK_PARAMS = M2.init(KEY, X), OF_FEATURES.init(KEY, X), STACKED.init(KEY, X)
LATENTS = {"y": ONE_HOT[None, :, None].expand(S, -1, -1, -1), "z": torch.zeros(S, N, D)}
TREE = only(PARAMS, {}, 3, X)
CLASSES = also(LABELS, LABELS + 1, LABELS - 1, LABELS[1:], LABELS.int()[1:])
WRONG_LATENTS = ({}, 3, {"y": LATENTS["y"]}, {**LATENTS, "z": LATENTS["z"][..., :1]}, {**LATENTS, "z": "x"})
EVENT = only(
    LATENTS, *WRONG_LATENTS, {**LATENTS, "y": LATENTS["y"][..., 0, :]}, {**LATENTS, "z": LATENTS["z"].double()}
)
ABOVE = {"features": torch.zeros(S, N, D), "y": LATENTS["y"], "z": torch.zeros(S, N, 1)}
GIVEN = torch.cat([X, ONE_HOT], -1)
CVAE = cvae.build(64, 3, (6,), D, learned=True)
CVAE_PARAMS = only(CVAE.init(KEY, GIVEN), {}, 3, X)
PAIRS = only(GIVEN, X, torch.cat([0.5 * X, ONE_HOT], -1), GIVEN[0], GIVEN.long(), GIVEN.numpy(), "x")
MODAL = multimodal.build((64, 3), (6,), D)
MODAL_PARAMS = only(MODAL.init(KEY, GIVEN), {}, 3, X)
Z = only(LATENTS["z"], LATENTS["z"][..., :1], LATENTS["z"].double(), LATENTS["z"].long(), "x", None)
BINARY = only(X, X[:, :60], 0.5 * X, X[0], X.long(), X.numpy(), "x")

ROWS = {
    "conditional.init": door(
        conditional.init, key=KEY, sizes=only((64, 6, 2), (64, 6), (64, 0, 2), 3), condition=3, weight=initial.xavier,
        dtype=only(torch.float32, torch.int64, "float32"),
    ),
    "conditional.apply": door(
        conditional.apply, params=only(NETWORK, {}, 3), x=Free(X), c=Free(ONE_HOT), activation=torch.tanh,
    ),
    "conditional.features": door(
        conditional.features, params=only(NETWORK, {}, 3), x=Free(X), c=Free(ONE_HOT), activation=torch.tanh,
    ),
    "conditional.last": door(conditional.last, params=only(NETWORK, {}, 3)),
    "m2.build": door(
        m2.build, classifier=only(CLASSIFIER, "mlp", FIRST, None), hidden=only((6,), (), 6, (0,), ("6",)), latent=D,
        activation=torch.tanh, likelihood=only(likelihoods.BERNOULLI, "bernoulli", type(likelihoods.BERNOULLI), None),
    ),
    "m2.M2.init": door(M2.init, key=KEY, x=also(X, X.mean(0), X[:1], X[:, :60])),
    "m2.M2.posterior": door(M2.posterior, params=TREE, x=BINARY),
    "m2.M2.encoded": door(M2.encoded, params=TREE, x=BINARY, labels=CLASSES),
    "m2.M2.prior": door(M2.prior, params=TREE, n=N),
    "m2.M2.likelihood": door(M2.likelihood, params=TREE, z=EVENT),
    "m2.M2.log_prior": door(M2.log_prior, params=TREE, z=EVENT),
    "m2.M2.log_joint": door(M2.log_joint, params=TREE, x=BINARY, z=EVENT),
    "m2.M2.labelled": door(
        M2.labelled, params=TREE, x=BINARY, labels=CLASSES, z=only(LATENTS["z"], LATENTS["z"][..., :1], "x", None)
    ),
    "m2.M2.log_prob": door(M2.log_prob, params=TREE, x=also(X, X[:, :60]), labels=CLASSES),
    "m2.M2.correct": door(M2.correct, params=TREE, x=also(X, X[:, :60]), labels=CLASSES),
    "m2.M2.independent": door(M2.independent, x=X),
    "cvae.build": door(
        cvae.build, data=64, condition=3, hidden=only((6,), (), 6, (0,), ("6",)), latent=D, learned=only(True, "p"),
        activation=torch.tanh, likelihood=only(likelihoods.BERNOULLI, "bernoulli", type(likelihoods.BERNOULLI), None),
    ),
    "cvae.CVAE.init": door(CVAE.init, key=KEY, x=also(GIVEN, GIVEN.mean(0), GIVEN[:1], X)),
    "cvae.CVAE.posterior": door(CVAE.posterior, params=CVAE_PARAMS, x=PAIRS),
    "cvae.CVAE.prior": door(CVAE.prior, params=CVAE_PARAMS, n=N),
    "cvae.CVAE.likelihood": door(CVAE.likelihood, params=CVAE_PARAMS, z=Z),
    "cvae.CVAE.given": door(CVAE.given, params=CVAE_PARAMS, z=Z, c=only(ONE_HOT, ONE_HOT[:, :2], ONE_HOT.long(), "c")),
    "cvae.CVAE.log_prior": door(CVAE.log_prior, params=CVAE_PARAMS, z=Z),
    "cvae.CVAE.log_joint": door(CVAE.log_joint, params=CVAE_PARAMS, x=PAIRS, z=Z),
    "cvae.CVAE.independent": door(CVAE.independent, x=also(GIVEN, X)),
    "cvae.CVAE.parts": door(CVAE.parts, x=PAIRS),
    "multimodal.build": door(
        multimodal.build, data=only((64, 3), (64,), 64, (0, 3), ("64", 3)), hidden=only((6,), 6, (0,), ("6",)),
        latent=D, experts=only("product", "sum", None), activation=torch.tanh,
        likelihoods=only(likelihoods.BERNOULLI, "bernoulli", [likelihoods.BERNOULLI], None),
    ),
    "multimodal.product": door(
        multimodal.product, experts=only([MODAL.prior(MODAL_PARAMS.value, N)], [], None, [X], MODAL)
    ),
    "multimodal.Multimodal.init": door(MODAL.init, key=KEY, x=also(GIVEN, GIVEN.mean(0), GIVEN[:1], X)),
    "multimodal.Multimodal.posterior": door(MODAL.posterior, params=MODAL_PARAMS, x=PAIRS),
    "multimodal.Multimodal.given": door(
        MODAL.given, params=MODAL_PARAMS,
        parts=only((X, None), (None, None), (X,), X, None, (X[:, :60], None), (X, ONE_HOT[1:]), "x"),
    ),
    "multimodal.Multimodal.prior": door(MODAL.prior, params=MODAL_PARAMS, n=N),
    "multimodal.Multimodal.likelihood": door(MODAL.likelihood, params=MODAL_PARAMS, z=Z),
    "multimodal.Multimodal.decode": door(
        MODAL.decode, params=MODAL_PARAMS, z=Z, modality=only(1, 2, -1, 0.5, "1", None)
    ),
    "multimodal.Multimodal.log_prior": door(MODAL.log_prior, params=MODAL_PARAMS, z=Z),
    "multimodal.Multimodal.log_joint": door(MODAL.log_joint, params=MODAL_PARAMS, x=PAIRS, z=Z),
    "multimodal.Multimodal.independent": door(MODAL.independent, x=also(GIVEN, X)),
    "multimodal.Multimodal.parts": door(MODAL.parts, x=also(GIVEN, X)),
    "semi.M1": door(
        M1, first=only(FIRST, CLASSIFIER, "vae", None), second=only(classifier.mlp(D, (6,), 3), CLASSIFIER, FIRST, None)
    ),
    "semi.M1.init": door(OF_FEATURES.init, key=KEY, x=also(X, X.mean(0), X[:1], X[:, :60])),
    "semi.M1.log_prob": door(
        OF_FEATURES.log_prob, params=only(FEATURE_PARAMS, {}, 3), x=also(X, X[:, :60]), labels=CLASSES
    ),
    "semi.M1.correct": door(
        OF_FEATURES.correct, params=only(FEATURE_PARAMS, {}, 3), x=also(X, X[:, :60]), labels=CLASSES
    ),
    "semi.Stacked": door(Stacked, first=only(FIRST, CLASSIFIER, "vae"), second=only(SECOND, M2, CLASSIFIER, None)),
    "semi.Stacked.init": door(STACKED.init, key=KEY, x=also(X, X.mean(0), X[:1], X[:, :60])),
    "semi.Stacked.posterior": door(STACKED.posterior, params=only(STACK_PARAMS, {}, 3, X), x=BINARY),
    "semi.Stacked.prior": door(STACKED.prior, params=only(STACK_PARAMS, {}, 3, X), n=N),
    "semi.Stacked.log_joint": door(
        STACKED.log_joint, params=only(STACK_PARAMS, {}, 3), x=BINARY,
        z=only(ABOVE, {}, 3, LATENTS, {**ABOVE, "features": ABOVE["features"][..., :1]}),
    ),
    "semi.Stacked.log_prob": door(
        STACKED.log_prob, params=only(STACK_PARAMS, {}, 3), x=also(X, X[:, :60]), labels=CLASSES
    ),
    "semi.Stacked.correct": door(
        STACKED.correct, params=only(STACK_PARAMS, {}, 3), x=also(X, X[:, :60]), labels=CLASSES
    ),
}  # fmt: skip

"""Variational autoencoders of one and of several layers, their priors and families of posteriors."""

import torch
from torch.nn import functional as F

from jensen.core import keys
from jensen.core.models.latent import hvae, ladder, likelihoods, posteriors, priors, sbn, vae
from tests.doors.door import KEY, also, door, only

S, N, D = 4, 5, 3
X = (keys.uniform(KEY, (N, 64)) < 0.5).float()
Z = torch.zeros(S, N, D)
LATENTS = only(Z, Z.double(), Z[..., :2], Z[0, 0], Z.numpy(), Z.long(), "x", None)
IMAGE = (1, 8, 8)
VAE, CONV_VAE, SBN = vae.mlp(64, (6,), D), vae.conv(IMAGE, (2,), D), sbn.build(64, D)
VAE_PARAMS, SBN_PARAMS = VAE.init(KEY, X), SBN.init(KEY, X)
HVAE = hvae.build(64, (2, 1), (6,))
HVAE_PARAMS = HVAE.init(KEY, X)
LADDER = ladder.build(64, (2, 1), (6,))
LADDER_PARAMS = LADDER.init(KEY, X)

ROWS = {
    "vae.mlp": door(
        vae.mlp, data=64, hidden=only((6,), 6, (0,), ("6",)), latent=D, activation=torch.tanh,
        likelihood=only(likelihoods.BERNOULLI, "bernoulli", type(likelihoods.BERNOULLI), None),
        posterior=only(posteriors.DIAG, "diag", type(posteriors.DIAG), None),
        prior=only(priors.NORMAL, "normal", type(priors.NORMAL), None),
    ),
    "vae.conv": door(
        vae.conv, image=only(IMAGE, (8, 8), 64), channels=only((2,), (), 2, (0,)), latent=D, activation=F.relu,
        likelihood=only(likelihoods.BERNOULLI, "bernoulli", None), posterior=only(posteriors.DIAG, "diag", None),
        prior=only(priors.NORMAL, "normal", None),
    ),
    "vae.VAE.init": door(VAE.init, key=KEY, x=also(X, X.mean(0), X.mean(0, keepdim=True), X[:1], X[:, :60])),
    "vae.VAE.init of a conv": door(CONV_VAE.init, key=KEY, x=also(X, X.mean(0), X[:1], X[:, :60])),
    "vae.VAE.posterior": door(
        VAE.posterior, params=only(VAE_PARAMS, {}, 3, X), x=also(X, X.double(), X[:, :60], 0.5 * X),
    ),
    "vae.VAE.encoded": door(
        VAE.encoded, params=only(VAE_PARAMS, {}, 3, X), x=also(X, X.double(), X[:, :60], 0.5 * X),
    ),
    "vae.VAE.posterior_of": door(
        VAE.posterior_of, params=only(VAE_PARAMS, {}, 3, X), outputs=also(torch.zeros(N, 2 * D), torch.zeros(N, D)),
    ),
    "vae.VAE.units": door(VAE.units, outputs=torch.zeros(N, 2 * D)),
    "priors.MixtureOfNormals": door(priors.MixtureOfNormals, components=3),
    "priors.MixtureOfPosteriors": door(priors.MixtureOfPosteriors, inputs=3),
    "priors.parse": door(priors.parse, text=only("vamp(8)", "vampp", "vamp(a)", 3, None)),
    "posteriors.parse": door(posteriors.parse, text=only("iaf(8)", "iaff", "low-rank(a)", 3, None)),
    "vae.VAE.prior": door(VAE.prior, params=only(VAE_PARAMS, {}, 3, X), n=N),
    "vae.VAE.likelihood": door(VAE.likelihood, params=only(VAE_PARAMS, {}, 3), z=LATENTS),
    "vae.VAE.log_prior": door(VAE.log_prior, params=only(VAE_PARAMS, {}, 3), z=only(Z, *LATENTS.wrong[1:])),
    "vae.VAE.log_joint": door(
        VAE.log_joint, params=only(VAE_PARAMS, {}, 3), x=also(X, 0.5 * X, X[:4]), z=LATENTS
    ),
    "vae.VAE.independent": door(VAE.independent, x=X),
    "hvae.build": door(
        hvae.build, data=64, latents=only((3, 2), (), 3, (0,)), hidden=only((6,), 6, (0,), ("6",)),
        activation=torch.tanh, likelihood=only(likelihoods.BERNOULLI, "bernoulli", type(likelihoods.BERNOULLI), None),
    ),
    "hvae.HVAE.init": door(HVAE.init, key=KEY, x=also(X, X.mean(0), X[:1], X[:, :60])),
    "hvae.HVAE.posterior": door(HVAE.posterior, params=only(HVAE_PARAMS, {}, 3, X), x=also(X, X[:, :60], 0.5 * X)),
    "hvae.HVAE.prior": door(HVAE.prior, params=only(HVAE_PARAMS, {}, 3, X), n=N),
    "hvae.HVAE.log_joint": door(
        HVAE.log_joint, params=only(HVAE_PARAMS, {}, 3), x=also(X, 0.5 * X, X[:4]), z=only(Z, *LATENTS.wrong[1:])
    ),
    "ladder.build": door(
        ladder.build, data=64, latents=only((3, 2), (), 3, (0,)), hidden=only((6,), 6, (0,), ("6",)),
        activation=torch.tanh, likelihood=only(likelihoods.BERNOULLI, "bernoulli", None),
    ),
    "ladder.Ladder.posterior": door(
        LADDER.posterior, params=only(LADDER_PARAMS, {}, 3, X), x=also(X, X[:, :60], 0.5 * X)
    ),
    "ladder.Ladder.kl_per_layer": door(
        LADDER.kl_per_layer, params=only(LADDER_PARAMS, {}, 3), x=also(X, 0.5 * X, X[:4]),
        z=only(Z, *LATENTS.wrong[1:])
    ),
    "sbn.build": door(sbn.build, data=64, units=3, layers=also(1, 0), hidden=only((6,), 6, (0,), ("6",))),
    "sbn.SBN.init": door(SBN.init, key=KEY, x=also(X, X.mean(0), X[:1], X[:, :60])),
    "sbn.SBN.posterior": door(
        SBN.posterior, params=only(SBN_PARAMS, {}, 3, X), x=also(X, X.double(), X[:, :60], 0.5 * X),
    ),
    "sbn.SBN.prior": door(SBN.prior, params=only(SBN_PARAMS, {}, 3, X), n=N),
    "sbn.SBN.likelihood": door(SBN.likelihood, params=only(SBN_PARAMS, {}, 3), z=LATENTS),
    "sbn.SBN.log_prior": door(SBN.log_prior, params=only(SBN_PARAMS, {}, 3), z=only(Z, *LATENTS.wrong[1:])),
    "sbn.SBN.log_joint": door(
        SBN.log_joint, params=only(SBN_PARAMS, {}, 3), x=also(X, 0.5 * X, X[:4]), z=LATENTS
    ),
    "sbn.SBN.independent": door(SBN.independent, x=X),
}  # fmt: skip

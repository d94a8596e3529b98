"""Fields, diffusions and flows along a velocity."""

import torch
from torch.nn import functional as F

from jensen.core.models.latent import vae
from jensen.core.models.transport import (
    choices,
    diffusion,
    diffusion_posterior,
    dit,
    energies,
    fields,
    flow_matching,
    guidance,
    langevin,
    latent_diffusion,
    mixed,
    noise_levels,
    pixel_diffusion,
    probability_flow,
    score_matching,
    variational_diffusion,
    variational_flow_matching,
    weightings,
)
from tests.doors.door import KEY, Free, also, door, only

N, D = 3, 2
FIELD, LEVELS = fields.mlp(D, (4,)), noise_levels.linear(5)
POSTERIOR = diffusion_posterior.build(fields.mlp(D + 1, (4,), outputs=D), LEVELS, context=1)
ENDS = variational_flow_matching.build(FIELD, variational_flow_matching.Normal(0.5))
SIZES = {"width": also(4, 3), "layers": 1, "heads": also(2, 3)}  # of a transformer
DIFFUSION, FLOW = diffusion.build(FIELD, LEVELS), flow_matching.build(FIELD)
PIXELS = pixel_diffusion.build(FIELD, LEVELS, 3)
VAE = vae.mlp(D, (4,), D)
LATENT = latent_diffusion.build(VAE, DIFFUSION)
VDM = variational_diffusion.build(FIELD)
OF_VDM = VDM.init(KEY)
ODE = probability_flow.build(DIFFUSION)
PARAMS = FIELD.init(KEY)
X = torch.zeros(N, D)
LABELS = torch.tensor([0, 2, -1])
ROWS_OF_X = only(X, X[:, :1], X[0], X.long(), X.numpy(), "x", None)
ROWS_OF_ANY_X = only(X, X[0], X.long(), X.numpy(), "x", None)
PIXELS_OF_X = only(X, X + 0.1, X + 2, X[:, :1], X[0], X.long(), X.numpy(), "x", None)
STEPS = also(2, 9)
STAGE = VAE.init(KEY, torch.eye(D))
FIRST = latent_diffusion.First(STAGE, X[0], X[0])


def height(x):
    return 0.5 * x.square().sum(-1)


ROWS = {
    "fields.mlp": door(
        fields.mlp,
        data=D,
        hidden=only((4,), 4, (0,), ("4",)),
        activation=F.silu,
        outputs=1,
        frequencies=3,
        fineness=only(2.0, 0.0, "1", None),
    ),
    "fields.waves": door(fields.waves, t=Free(torch.zeros(N)), frequencies=3),
    "noise_levels.linear": door(noise_levels.linear, steps=also(5, 1), first=also(0.1, 0.5), last=also(0.2, 1.0)),
    "noise_levels.cosine": door(noise_levels.cosine, steps=also(5, 1), offset=also(0.1, 1.0)),
    "diffusion.build": door(
        diffusion.build,
        field=only(FIELD, 3, fields.Mlp),
        levels=only(LEVELS, 5, noise_levels.Linear),
        variance="large",
        weighting=only(weightings.BOUND, "bound", weightings.Bound),
    ),
    "diffusion.loss": door(DIFFUSION.loss, params=only(PARAMS, {}, 3), x=ROWS_OF_X, key=KEY),
    "diffusion.bound": door(DIFFUSION.bound, params=only(PARAMS, {}, 3), x=ROWS_OF_X, key=KEY),
    "diffusion.sample": door(DIFFUSION.sample, params=only(PARAMS, {}, 3), key=KEY, n=N),
    "diffusion.implicit": door(DIFFUSION.implicit, params=only(PARAMS, {}, 3), key=KEY, n=N, steps=STEPS, eta=0.5),
    "dit.image": door(dit.image, shape=only((1, 4, 4), (4, 4), 4, (1, 4, 0), None), patch=also(2, 3), **SIZES),
    "dit.vector": door(dit.vector, data=6, tokens=3, **SIZES),
    "mixed.build": door(mixed.build, field=only(FIELD, 3, fields.Mlp), levels=only(LEVELS, 5, noise_levels.Linear)),
    "pixel_diffusion.build": door(
        pixel_diffusion.build,
        field=only(FIELD, 3, fields.Mlp),
        levels=only(LEVELS, 5),
        shades=also(3, 1),
        variance="small",
        weighting=only(weightings.SIMPLE, "bound", weightings.Bound),
    ),
    "choices.build": door(
        choices.build, logits=only(FIELD, 3, fields.Mlp), levels=only(LEVELS, 5, noise_levels.Linear), shades=also(3, 1)
    ),
    "choices.mlp": door(choices.mlp, data=D, shades=also(3, 1), hidden=only((4,), 4, (0,), ("4",)), degree=1),
    "choices.noise": door(
        choices.noise,
        logits=Free(torch.zeros(N, 3 * D)),
        x=only(X, X.long(), X.numpy(), "x", None),
        log_snr=Free(torch.zeros(N)),
        shades=also(3, 1),
    ),
    "weightings.min_snr": door(weightings.min_snr, limit=only(5.0, 0.0, "1", None)),
    "weightings.p2": door(weightings.p2, exponent=only(1.0, -1.0, "1", None), offset=only(1.0, 0.0, "1", None)),
    "variational_diffusion.build": door(
        variational_diffusion.build, field=only(FIELD, 3, fields.Mlp), shades=also(3, 1)
    ),
    "variational_diffusion.loss": door(VDM.loss, params=only(OF_VDM, {}, 3), x=ROWS_OF_X, key=KEY),
    "variational_diffusion.bound": door(VDM.bound, params=only(OF_VDM, {}, 3), x=ROWS_OF_X, key=KEY, draws=2),
    "variational_diffusion.sample": door(VDM.sample, params=only(OF_VDM, {}, 3), key=KEY, n=N, steps=2),
    "variational_diffusion.spread": door(variational_diffusion.spread, key=KEY, n=N),
    "pixel_diffusion.log_mass": door(
        pixel_diffusion.log_mass,
        x=only(X, X + 0.1, X + 2, X.long(), X.numpy(), "x", None),
        loc=only(X, X.long(), X.numpy(), "x", None),
        scale=only(0.1, 0.0, "1", None),
        shades=also(3, 1, 4),
    ),
    "pixel_diffusion.bound": door(PIXELS.bound, params=only(PARAMS, {}, 3), x=PIXELS_OF_X, key=KEY),
    "latent_diffusion.build": door(
        latent_diffusion.build, model=only(VAE, 3, type(VAE)), prior=only(DIFFUSION, FIELD, diffusion.Diffusion)
    ),
    "latent_diffusion.first": door(LATENT.first, params=only(STAGE, {}, 3), x=ROWS_OF_X, key=KEY),
    "latent_diffusion.loss": door(LATENT.loss, params=only(PARAMS, {}, 3), first=only(FIRST), x=ROWS_OF_X, key=KEY),
    "latent_diffusion.bound": door(LATENT.bound, params=only(PARAMS, {}, 3), first=only(FIRST), x=ROWS_OF_X, key=KEY),
    "latent_diffusion.sample": door(LATENT.sample, params=only(PARAMS, {}, 3), first=only(FIRST), key=KEY, n=N),
    "guidance.build": door(
        guidance.build, field=only(fields.mlp(D + 3, (4,), outputs=D), 3, fields.Mlp, fields.mlp(3)), classes=also(3, 1)
    ),
    "guidance.of": door(
        guidance.build(fields.mlp(D + 3, (4,), outputs=D), 3).of,
        labels=only(LABELS, LABELS + 3, LABELS - 2, LABELS[:, None], LABELS.float(), LABELS.numpy(), "x"),
        scale=only(1.0, -1.0, "1", None),
    ),
    "guidance.dropped": door(
        guidance.dropped,
        labels=only(LABELS, LABELS[:, None], LABELS.numpy(), "x", None),
        key=KEY,
        share=only(0.5, 1.0, "1", None),
    ),
    "flow_matching.build": door(flow_matching.build, field=only(FIELD, 3, fields.Mlp)),
    "flow_matching.loss": door(FLOW.loss, params=only(PARAMS, {}, 3), x=ROWS_OF_X, key=KEY),
    "flow_matching.transported": door(
        FLOW.transported, params=only(PARAMS, {}, 3), x=ROWS_OF_X, steps=2, method="euler"
    ),
    "flow_matching.sample": door(FLOW.sample, params=only(PARAMS, {}, 3), key=KEY, n=N, steps=2, method="rk4"),
    "flow_matching.log_prob": door(FLOW.log_prob, params=only(PARAMS, {}, 3), x=ROWS_OF_X, steps=2),
    "probability_flow.build": door(probability_flow.build, diffusion=only(DIFFUSION, FIELD, diffusion.Diffusion)),
    "probability_flow.encoded": door(ODE.encoded, params=only(PARAMS, {}, 3), x=ROWS_OF_X, steps=2),
    "probability_flow.decoded": door(ODE.decoded, params=only(PARAMS, {}, 3), z=ROWS_OF_X, steps=2),
    "probability_flow.log_prob": door(ODE.log_prob, params=only(PARAMS, {}, 3), x=ROWS_OF_X, steps=2),
    "diffusion_posterior.build": door(
        diffusion_posterior.build,
        field=only(FIELD, 3, fields.Mlp),
        levels=only(LEVELS, 5, noise_levels.Linear),
        scale=only(1.0, 0.0, "1", None),
        context=also(1, D),
    ),
    "diffusion_posterior.draw": door(
        POSTERIOR.draw,
        params=only(POSTERIOR.init(KEY), {}, 3),
        key=KEY,
        s=2,
        context=only(X[:, :1], X, X[0], X[:, :1].long(), None),
    ),
    "variational_flow_matching.build": door(
        variational_flow_matching.build,
        field=only(FIELD, 3, fields.Mlp),
        ends=only(variational_flow_matching.Normal(), 3, variational_flow_matching.Choices),
    ),
    "variational_flow_matching.loss": door(ENDS.loss, params=only(PARAMS, {}, 3), x=ROWS_OF_X, key=KEY),
    "variational_flow_matching.sample": door(ENDS.sample, params=only(PARAMS, {}, 3), key=KEY, n=N, steps=2),
    "score_matching.implicit": door(score_matching.implicit, score=torch.neg, x=ROWS_OF_ANY_X),
    "score_matching.sliced": door(score_matching.sliced, score=torch.neg, x=ROWS_OF_ANY_X, key=KEY, probes=2),
    "score_matching.denoising": door(score_matching.denoising, score=torch.neg, x=ROWS_OF_ANY_X, key=KEY, scale=0.5),
    "energies.score": door(energies.score, energy=height),
    "energies.mlp": door(energies.mlp, data=D, hidden=only((4,), 4, (0,), ("4",)), activation=F.silu),
    "langevin.unadjusted": door(
        langevin.unadjusted, score=torch.neg, x=ROWS_OF_ANY_X, key=KEY, steps=2, step=only(0.1, 0.0, "1", None)
    ),
    "langevin.adjusted": door(
        langevin.adjusted, energy=height, x=ROWS_OF_ANY_X, key=KEY, steps=2, step=only(0.1, 0.0, "1", None)
    ),
    "flow_matching.straightness": door(FLOW.straightness, params=only(PARAMS, {}, 3), x=ROWS_OF_X, steps=2),
}

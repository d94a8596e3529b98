"""Models of codes, how their codes are used, and their priors."""

from torch.nn import functional as F

from jensen.core import keys
from jensen.core.models.adversarial.patches import Patches
from jensen.core.models.autoregressive import codes
from jensen.core.models.autoregressive.sampling import Choice
from jensen.core.models.latent import likelihoods
from jensen.core.models.quantised import Autoencoder, CodeMap, Fsq, Vq, VqGan, autoencoder, two_maps, usage, vqgan
from tests.doors.door import KEY, also, door, only

X = keys.uniform(KEY, (6, 64))
IMAGE = (1, 8, 8)
MODEL = autoencoder.mlp(64, (6,), 2, 3, Vq(4))
PARAMS, STATE = MODEL.init(KEY, X)
CODES = MODEL.codes(PARAMS, STATE, X)
TWO = two_maps.conv(IMAGE, (2,), (3,), 2, Vq(4), Fsq((3, 4)))
TWO_PARAMS, TWO_STATE = TWO.init(KEY, X)
TWO_CODES = TWO.codes(TWO_PARAMS, TWO_STATE, X)
PRIOR = codes.build(TWO.maps, 8, 1, 2)
LABELLED = codes.build(TWO.maps, 8, 1, 2, classes=3)
LABELLED_PARAMS, LABELS = LABELLED.init(KEY), only(X[:, 0].long(), X[:, 0].long() + 3, X[:, :2].long(), X[:, 0], "x")
PRIOR_PARAMS, SYMBOLS = PRIOR.init(KEY), PRIOR.sequences(TWO_CODES)
SMALL = autoencoder.conv(IMAGE, (2,), 3, Vq(4))
GAN = VqGan(SMALL, Patches(IMAGE, (2,)))
GAN_PARAMS, GAN_STATE = GAN.init(KEY, X)
MAP, USE = MODEL.maps[0], usage.start(MODEL.maps[0])
QUANTISER = only(Vq(4), Vq, 4, "vq(4)", None)
LIKELIHOOD = only(likelihoods.SQUARED_ERROR, "gaussian", likelihoods.SquaredErrorLikelihood, None)
WRONG_CODES = (CODES + 4, CODES - 4, CODES[:, :1], CODES[0], CODES.float(), CODES.numpy(), 3, None)


def methods(name, model, params, state, codes, wrong):
    """A row for each method of a model."""
    seen = model.step(params, state, X, KEY).seen
    rows = {
        "init": door(model.init, key=KEY, x=also(X, X.mean(0), X[:1], X[:, :60])),
        "step": door(model.step, params=only(params, {}, 3, X), state=only(state), x=also(X, X[:, :60]), key=KEY),
        "follow": door(model.follow, state=only(state), seen=only(seen, 3, X, None), key=KEY),
        "codes": door(model.codes, params=only(params, {}, 3, X), state=only(state), x=also(X, X[:, :60])),
        "independent": door(model.independent, x=also(X, X[:, :60])),
    }
    for method in ("likelihood", "decode_codes"):
        given = {"params": only(params, {}, 3, X), "state": only(state), "codes": only(codes, *wrong)}
        rows[method] = door(getattr(model, method), **given)
    return {f"{name}.{method}": row for method, row in rows.items()}


ROWS = {
    "autoencoder.mlp": door(
        autoencoder.mlp, data=64, hidden=only((6,), 6, (0,), ("6",)), positions=2, width=3, quantiser=QUANTISER,
        activation=F.relu, likelihood=LIKELIHOOD,
    ),
    "autoencoder.conv": door(
        autoencoder.conv, image=only(IMAGE, (1, 8), (1, 7, 8), 8), channels=only((2,), (), (2, 2, 2, 2), (0,), 2),
        width=3, quantiser=QUANTISER, activation=F.relu, likelihood=LIKELIHOOD,
    ),
    "two_maps.conv": door(
        two_maps.conv, image=only(IMAGE, (1, 8), (1, 7, 8), 8), channels=only((2,), (), (2, 2, 2, 2), (0,), 2),
        above=only((3,), (), (3, 3, 3), (0,), 3), width=3, top=QUANTISER, bottom=QUANTISER, activation=F.relu,
        likelihood=LIKELIHOOD,
    ),
    **methods("autoencoder.Autoencoder", MODEL, PARAMS, STATE, CODES, WRONG_CODES),
    **methods(
        "two_maps.TwoMaps", TWO, TWO_PARAMS, TWO_STATE, TWO_CODES,
        (
            TWO_CODES._replace(top=TWO_CODES.bottom), TWO_CODES._replace(bottom=TWO_CODES.bottom + 12), TWO_CODES[:1],
            TWO_CODES._replace(top=TWO_CODES.top.float()), TWO_CODES.top, 3, None,
        ),
    ),
    "usage.start": door(usage.start, of=only(MAP, (2,), 4, CodeMap, None)),
    "usage.follow": door(
        usage.follow, use=only(USE, 3, USE.shares, None), of=only(MAP, (2,), 4, None),
        codes=only(CODES, *WRONG_CODES), steps=5,
    ),
    "usage.Use.used": door(USE.used, steps=5),
    "quantised.VqGan": door(
        VqGan, coder=only(SMALL, TWO, MODEL.quantiser, Autoencoder, None),
        critic=only(Patches(IMAGE, (2,)), Patches((1, 4, 4), (2,)), Patches, 3, None),
        features=only(None, 3, "x"), perceptual=also(1.0, -1.0),
    ),
    "vqgan.VqGan.coder_step": door(
        GAN.coder_step, params=only(GAN_PARAMS, {}, 3, X), state=only(GAN_STATE), x=also(X, X[:, :60]), key=KEY,
    ),
    "vqgan.VqGan.critic_loss": door(
        GAN.critic_loss, params=only(GAN_PARAMS, {}, 3, X), state=only(GAN_STATE), x=also(X, X[:, :60]),
    ),
    "vqgan.ratio": door(
        vqgan.ratio, losses=only(lambda w: (w.sum(), w.sum()), 3, None), weight=only(X, X.numpy(), 3, "x", None),
    ),
    "patches.Patches": door(
        Patches, image=only(IMAGE, (1, 8), (1, 7, 8), 8), channels=only((2,), (), (2, 2, 2, 2), (0,), 2),
    ),
    "patches.Patches.call": door(GAN.critic, params=only(GAN_PARAMS["critic"], {}, 3), x=also(X, X[:, :60])),
    "codes.build": door(
        codes.build, maps=only(TWO.maps, (), MAP, (4,), 3, None), features=also(8, 7), layers=1, heads=also(2, 3),
        rate=also(0.5, 1.0, -0.1), classes=also(4, 1, -1),
    ),
    "codes.CodePrior.sequences": door(
        PRIOR.sequences, codes=only(TWO_CODES, TWO_CODES.top, TWO_CODES[::-1], *WRONG_CODES),
    ),
    "codes.CodePrior.sequences with labels": door(LABELLED.sequences, codes=only(TWO_CODES), labels=LABELS),
    "codes.CodePrior.sample with labels": door(
        LABELLED.sample, params=only(LABELLED_PARAMS, {}, 3), key=KEY, n=len(X), choice=only(Choice()), labels=LABELS,
    ),
    "codes.CodePrior.codes": door(
        PRIOR.codes, x=only(SYMBOLS, SYMBOLS + 90, SYMBOLS[:, 1:], SYMBOLS[0], SYMBOLS.float(), SYMBOLS.numpy(), None),
    ),
    "codes.CodePrior.sample": door(
        PRIOR.sample, params=only(PRIOR_PARAMS, {}, 3), key=KEY, n=3, choice=only(Choice(), 3, "x"),
    ),
}  # fmt: skip

"""Keys, trees, minibatches, networks and models."""

import torch
from torch.nn import functional as F

from jensen.core import keys, minibatch, spelling, trees
from jensen.core.models import classifier, quantised
from jensen.core.models.latent import hvae, ladder, likelihoods, posteriors, priors, sbn, vae
from jensen.core.models.quantised import (
    Fsq,
    GradientVq,
    GumbelVq,
    Lfq,
    Projected,
    ResidualVq,
    SoftVq,
    Vq,
    codebook,
    kmeans,
    paths,
    usage,
)
from jensen.core.nn import (
    batch_norm,
    conv,
    convnet,
    dropout,
    group_norm,
    initial,
    layer_norm,
    linear,
    mlp,
    pooling,
    residual,
    rms_norm,
    windows,
)
from tests.doors.door import KEY, Free, also, door, only

S, N, D = 4, 5, 3
X = (keys.uniform(KEY, (N, 64)) < 0.5).float()
Z = torch.zeros(S, N, D)
LATENTS = only(Z, Z.double(), Z[..., :2], Z[0, 0], Z.numpy(), Z.long(), "x", None)
DENSE = linear.init(KEY, 8, 2)
LAYERS = mlp.init(KEY, (8, 4, 2))
CONV, BACK = conv.init(KEY, 2, 3, 4), conv.init_transposed(KEY, 2, 3, 4)
BLOCK, CONV_BLOCK = residual.init(KEY, 8, 4), residual.init_conv(KEY, 2, 3)
(SCALED, RUNNING), GROUPED = batch_norm.init(2, 2), group_norm.init(2, 2)
NORM, RMS = layer_norm.init(8), rms_norm.init(8)
STACK = only((windows.Window(3), windows.Window(2, 2)), 3, windows.Window(3), (3, 2))
EXTENT = only(2, -1, 2.5, True, "3", (2,), (2, 0), (2, 2, 2), KEY)
PADDING = only(1, -1, 0.5, "1", (1,), (1, -1))
POOL = only(2, -1, 2.5, True, "3", (2, 0), (2, 2, 2), KEY)
IMAGE = (1, 8, 8)
ENCODER, DECODER = convnet.init_encoder(KEY, IMAGE, (2,), 6), convnet.init_decoder(KEY, 3, (2,), IMAGE)
VAE, CONV_VAE, SBN = vae.mlp(64, (6,), D), vae.conv(IMAGE, (2,), D), sbn.build(64, D)
CLASSIFIER, CLASSES = classifier.conv(IMAGE, (2,), (6,), 3), torch.zeros(N, dtype=torch.int64)
CLASSIFIER_PARAMS = CLASSIFIER.init(KEY)
VAE_PARAMS, SBN_PARAMS = VAE.init(KEY, X), SBN.init(KEY, X)
HVAE = hvae.build(64, (2, 1), (6,))
HVAE_PARAMS = HVAE.init(KEY, X)
LADDER = ladder.build(64, (2, 1), (6,))
LADDER_PARAMS = LADDER.init(KEY, X)
VECTORS = keys.normal(KEY, (N, 2, D))
BOOK = codebook.init(KEY, VECTORS, 6)
VQ, RESIDUAL, FSQ, LFQ, SOFT, GUMBEL = Vq(6), ResidualVq(Vq(4), 2), Fsq((3, 4, 2)), Lfq(3), SoftVq(6), GumbelVq(6)
PROJECTED = Projected(FSQ, 3)
CODES = VQ.encode({}, BOOK, VECTORS)
QUANTISED = VQ.quantise({}, BOOK, VECTORS, KEY)
SOFT_PARAMS, (PROJECTED_PARAMS, _) = SOFT.init(KEY, VECTORS)[0], PROJECTED.init(KEY, VECTORS)
RESIDUAL_BOOKS = RESIDUAL.init(KEY, VECTORS)[1]
NARROW = only(VECTORS, VECTORS[..., :2], VECTORS[0, 0], VECTORS.numpy(), VECTORS.long(), "x", None)
ALIKE = only(VECTORS, *NARROW.wrong, VECTORS.double())
QUANTISERS = {
    "Vq": (VQ, {}, only(BOOK, 3, BOOK.vectors), CODES, ALIKE),
    "ResidualVq": (
        RESIDUAL, {}, only(RESIDUAL_BOOKS, 3, BOOK, RESIDUAL_BOOKS[:1], (3, 3)), CODES[..., None] % 4, ALIKE,
    ),
    "GradientVq": (GradientVq(6), SOFT_PARAMS, only({}), CODES, ALIKE),
    "Fsq": (FSQ, {}, only({}), CODES, NARROW),
    "Lfq": (LFQ, {}, only({}), CODES, NARROW),
    "SoftVq": (SOFT, SOFT_PARAMS, only({}), CODES, ALIKE),
    "GumbelVq": (GUMBEL, SOFT_PARAMS, only({}), CODES, ALIKE),
    "Projected": (PROJECTED, PROJECTED_PARAMS, only({}), CODES, ALIKE),
}  # fmt: skip
TREE = {"a": torch.zeros(2), "b": {"c": torch.zeros(3)}}
DTYPE = only(torch.float32, torch.int64, "float32")

ROWS = {
    "keys.key": door(keys.key, seed=only(7, 2.5, "7", True, KEY, 2**63)),
    "keys.fold_in": door(keys.fold_in, key=KEY, index=only(3, 2.5, "3", True, torch.ones(2), torch.ones(2) > 0, None)),
    "keys.split": door(keys.split, key=KEY, num=3),
    "keys.at": door(keys.at, key=KEY, particle=only(1, 1.5, "1", torch.ones(2)), datum=only(2, 1.5, True)),
    "keys.bits": door(keys.bits, key=KEY, shape=only((2, 3), (2, -1), (2.5,), 3, torch.zeros(2), "ab")),
    "keys.uniform": door(keys.uniform, key=KEY, shape=only((2, 3), (2, -1), 3), dtype=DTYPE),
    "keys.normal": door(keys.normal, key=KEY, shape=only((2, 3), (2, -1), 3), dtype=DTYPE),
    "keys.permutation": door(keys.permutation, key=KEY, n=4),
    "keys.to_uniform": door(keys.to_uniform, words=Free(keys.bits(KEY, (2, 3))), dtype=DTYPE),
    "trees.map": door(trees.map, f=torch.neg, tree=only(TREE)),
    "trees.set_grads": door(trees.set_grads, params=only(TREE), grads=only(TREE, {}, 3, {"a": torch.zeros(2), "b": 1})),
    "trees.norm": door(trees.norm, tree=only(TREE, {}, {"a": 3}, {"a": X.numpy()})),
    "trees.ravel": door(trees.ravel, tree=only(TREE, {}, {"a": 3}, {"a": X.numpy()})),
    "trees.ravel.vector": door(trees.ravel(TREE)[1], vector=torch.zeros(5)),
    "trees.from_paths": door(
        trees.from_paths, params=only(trees.paths(TREE), {}, 3, {"a": torch.zeros(3), "b.c": torch.zeros(3)}, {"b": 3}),
        like=only(TREE),
    ),
    "trees.check_keys": door(
        trees.check_keys, params=only(DENSE, 3, {}, {"wieght": 3}), expected=only(("weight", "bias")),
    ),
    "minibatch.log_joint": door(
        minibatch.log_joint, log_prior=lambda z: z.sum(-1), log_likelihood=lambda z: z.sum(-1).expand(-1, 3), num_data=9
    ),
    "minibatch.log_joint.density": door(
        lambda log_prior, log_likelihood, num_data: minibatch.log_joint(log_prior, log_likelihood, num_data)(Z[:, :1]),
        log_prior=only(lambda z: z.sum(-1), lambda z: z.sum(), lambda z: 3.0),
        log_likelihood=only(lambda z: z.sum(-1).expand(-1, 3), lambda z: z.sum((1, 2)), lambda z: 3.0),
        num_data=only(9, 2),
    ),
    "spelling.parse": door(lambda text: spelling.parse(text, {"a": lambda: 1}, "letter"), text=only("a", "b", "a(", 3)),
    "initial.xavier": door(initial.xavier, key=KEY, shape=only((2, 3), (2,), 3), dtype=DTYPE),
    "initial.he": door(initial.he, key=KEY, shape=only((2, 3), (2,), 3), dtype=DTYPE),
    "initial.Normal": door(initial.Normal(0.1), key=KEY, shape=only((2, 3), (2,), 3), dtype=DTYPE),
    "initial.initialiser": door(initial.initialiser, activation=F.relu),
    "initial.fans": door(initial.fans, shape=only((2, 3), (2,), 3)),
    "linear.init": door(linear.init, key=KEY, inputs=8, outputs=2, weight=initial.xavier, dtype=DTYPE),
    "linear.apply": door(linear.apply, params=only(DENSE, {}, 3, {"wieght": 3}), x=Free(X[:, :8])),
    "linear.apply of a datum of another size": door(
        linear.apply, params=only(DENSE), x=only(X[:, :8], X, X[:, :8].double()),
    ),
    "mlp.init": door(
        mlp.init, key=KEY, sizes=only((8, 4, 2), (8,), (8, 0), (8, 2.5), 3), weight=initial.xavier, dtype=DTYPE
    ),
    "mlp.apply": door(mlp.apply, params=only(LAYERS, {}, 3, {"one": 3}), x=Free(X[:, :8]), activation=torch.tanh),
    "mlp.features": door(mlp.features, params=only(LAYERS, {}, 3), x=Free(X[:, :8]), activation=torch.tanh),
    "mlp.last": door(mlp.last, params=only(LAYERS, {}, 3)),
    "windows.output_size": door(windows.output_size, size=also(9, 0, 2), layers=STACK),
    "windows.input_size": door(windows.input_size, size=4, layers=STACK),
    "windows.receptive_field": door(windows.receptive_field, layers=STACK),
    "windows.axes_of": door(windows.axes_of, kernel=only((3, 5), (), (3, 3, 3))),
    "windows.along": door(windows.along, axes=2, kernel=EXTENT, stride=EXTENT, padding=PADDING, dilation=EXTENT),
    "conv.init": door(
        conv.init, key=KEY, inputs=2, outputs=4, kernel=also(4, (3, 3, 3), (0, 1)), groups=also(2, 3),
        weight=initial.he, dtype=DTYPE,
    ),
    "conv.apply": door(
        conv.apply, params=only(CONV, {}, 3), x=Free(torch.zeros(N, 2, 8, 8)), stride=EXTENT, padding=PADDING,
        dilation=EXTENT, groups=only(1, 0, 2, "1"),
    ),
    "conv.init_transposed": door(
        conv.init_transposed, key=KEY, inputs=2, outputs=4, kernel=also(4, (3, 3, 3), (0, 1)), groups=also(2, 3),
        weight=initial.he, dtype=DTYPE,
    ),
    "conv.apply_transposed": door(
        conv.apply_transposed, params=only(BACK, {}, 3), x=Free(torch.zeros(N, 2, 4, 4)), stride=EXTENT,
        padding=only(1, -1, 0.5, 9), dilation=EXTENT, groups=only(1, 0, 3, "1"),
    ),
    "pooling.max_pool": door(
        pooling.max_pool, x=Free(torch.zeros(N, 8, 8)), kernel=POOL, stride=EXTENT, padding=only(1, -1, 2, 0.5),
    ),
    "pooling.mean_pool": door(
        pooling.mean_pool, x=Free(torch.zeros(N, 8, 8)), kernel=POOL, stride=EXTENT, padding=only(1, -1, 2, 0.5),
    ),
    "batch_norm.init": door(batch_norm.init, channels=2, sides=also(2, 3), dtype=DTYPE),
    "batch_norm.apply": door(
        batch_norm.apply, params=only(SCALED, {}, 3), state=only(RUNNING, SCALED, None),
        x=Free(torch.zeros(N, 2, 8, 8)), training=True, momentum=also(0.1, 1.5), eps=1e-5,
    ),
    "batch_norm.apply of a single value": door(
        batch_norm.apply, params=only(SCALED), state=only(RUNNING),
        x=only(torch.zeros(N, 2, 1, 1), torch.zeros(1, 2, 1, 1), torch.zeros(N, 3, 1, 1), torch.zeros(N, 2).double()),
        training=True,
    ),
    "layer_norm.init": door(layer_norm.init, features=8, dtype=DTYPE),
    "layer_norm.apply": door(layer_norm.apply, params=only(NORM, {}, 3), x=Free(X[:, :8]), eps=1e-5),
    "rms_norm.init": door(rms_norm.init, features=8, dtype=DTYPE),
    "rms_norm.apply": door(rms_norm.apply, params=only(RMS, {}, 3, NORM), x=Free(X[:, :8]), eps=1e-5),
    "group_norm.init": door(group_norm.init, channels=2, sides=also(2, 3), dtype=DTYPE),
    "group_norm.apply": door(
        group_norm.apply, params=only(GROUPED, {}, 3), x=Free(torch.zeros(N, 2, 8, 8)), groups=also(2, 3), eps=1e-5,
    ),
    "dropout.apply": door(
        dropout.apply, key=only(KEY, 7, torch.zeros(3), keys.split(KEY)), x=Free(X), rate=also(0.5, 1.0, -0.1),
    ),
    "residual.init": door(residual.init, key=KEY, features=8, hidden=4, weight=initial.he, dtype=DTYPE),
    "residual.apply": door(residual.apply, params=only(BLOCK, {}, 3), x=Free(X[:, :8]), activation=F.relu),
    "residual.init_conv": door(
        residual.init_conv, key=KEY, inputs=2, outputs=3, kernel=only((3, 5), 2, (3, 3, 3), "3", 0),
        weight=initial.he, dtype=DTYPE,
    ),
    "residual.apply_conv": door(
        residual.apply_conv, params=only(CONV_BLOCK, {}, 3), x=Free(torch.zeros(N, 2, 8, 8)), groups=also(1, 2),
        activation=F.relu,
    ),
    "convnet.init_encoder": door(
        convnet.init_encoder, key=KEY, image=only(IMAGE, (8, 8), (1, 8, 7), 64), channels=only((2,), (), 2, (0,)),
        outputs=6,
        weight=initial.he, dtype=DTYPE,
    ),
    "convnet.encode": door(
        convnet.encode, params=only(ENCODER, {}, 3), x=Free(X), image=only(IMAGE, (8, 8), 64), activation=F.relu
    ),
    "convnet.init_decoder": door(
        convnet.init_decoder, key=KEY, inputs=3, channels=only((2,), (), 2, (0,)),
        image=only(IMAGE, (8, 8), (1, 8, 7), 64),
        weight=initial.he, dtype=DTYPE,
    ),
    "convnet.decode": door(
        convnet.decode, params=only(DECODER, {}, 3), z=Free(Z), image=only(IMAGE, (8, 8), 64), activation=F.relu
    ),
    "convnet.smallest": door(convnet.smallest, image=only(IMAGE, (8, 8), (1, 8, 7), 64), channels=only((2,), (), 2)),
    "classifier.mlp": door(
        classifier.mlp, data=64, hidden=only((6,), 6, (0,), ("6",)), classes=also(3, 1), activation=F.relu,
    ),
    "classifier.conv": door(
        classifier.conv, image=only(IMAGE, (8, 8), 64), channels=only((2,), 2, (0,), (2, 2, 2, 2)),
        hidden=only((6,), 6, (0,)), classes=also(3, 1), activation=F.relu,
    ),
    "classifier.Classifier.init": door(CLASSIFIER.init, key=KEY, dtype=DTYPE),
    "classifier.Classifier.logits": door(
        CLASSIFIER.logits, params=only(CLASSIFIER_PARAMS, {}, 3), x=also(X, X[:, :60]),
    ),
    "classifier.Classifier.features": door(
        CLASSIFIER.features, params=only(CLASSIFIER_PARAMS, {}, 3), x=also(X, X[:, :60]),
    ),
    "classifier.Classifier.log_prob": door(
        CLASSIFIER.log_prob, params=only(CLASSIFIER_PARAMS, {}, 3), x=also(X, X[:, :60]),
        labels=also(CLASSES, CLASSES + 3, CLASSES - 1, CLASSES[1:]),
    ),
    "classifier.Classifier.loss": door(
        CLASSIFIER.loss, params=only(CLASSIFIER_PARAMS, {}, 3), x=also(X, X[:, :60]),
        labels=also(CLASSES, CLASSES + 3, CLASSES - 1, CLASSES[1:]),
    ),
    "classifier.Classifier.correct": door(
        CLASSIFIER.correct, params=only(CLASSIFIER_PARAMS, {}, 3), x=also(X, X[:, :60]),
        labels=also(CLASSES, CLASSES + 3, CLASSES - 1, CLASSES[1:]),
    ),
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
    "codebook.init": door(
        codebook.init, key=KEY, z=Free(VECTORS), size=also(6, 11), start=also("k-means", "random"),
    ),
    "codebook.starting_vectors": door(
        codebook.starting_vectors, key=KEY, z=Free(VECTORS), size=also(6, 11), start=also("k-means", "random"),
    ),
    "codebook.update": door(
        codebook.update, codebook=only(BOOK, 3, BOOK.vectors), z=Free(VECTORS), codes=Free(CODES),
        decay=also(0.9, 1.0, -0.1),
    ),
    "codebook.reset": door(
        codebook.reset, codebook=only(BOOK, 3, BOOK.vectors), z=Free(VECTORS), key=KEY, least=also(0.03, -1.0)
    ),
    "kmeans.start": door(kmeans.start, key=KEY, x=also(VECTORS[:, 0], VECTORS[:1, 0].expand(5, 3)), size=also(3, 6)),
    "kmeans.fit": door(kmeans.fit, x=VECTORS[:, 0], centres=also(VECTORS[:2, 1], VECTORS[:2, 1, :2]), iterations=3),
    "kmeans.inertia": door(kmeans.inertia, x=VECTORS[:, 0], centres=also(VECTORS[:2, 1], VECTORS[:2, 1, :2])),
    "paths.straight_through": door(paths.straight_through, z=Free(VECTORS), vectors=also(VECTORS, VECTORS[:1])),
    "paths.rotation": door(paths.rotation, z=Free(VECTORS), vectors=also(VECTORS, VECTORS[:1])),
    "paths.along": door(paths.along, path="rotation", z=Free(VECTORS), vectors=also(VECTORS, VECTORS[:1])),
    "usage.perplexity": door(usage.perplexity, codes=Free(CODES), size=also(6, 1)),
    "usage.used": door(usage.used, codes=Free(CODES), size=also(6, 1)),
    "quantised.parse": door(quantised.parse, text=only("vq(6)", "vqq(6)", "vq", "fsq(a)", 3, None)),
    "quantised.Vq": door(
        Vq, size=6, commitment=also(0.25, -1.0), decay=also(0.9, 1.0), least=also(0.03, -1.0), path="rotation",
        start="draw",
    ),
    "quantised.GradientVq": door(GradientVq, size=6, commitment=also(0.25, -1.0), path="rotation", start="draw"),
    "quantised.ResidualVq": door(ResidualVq, vq=only(VQ, 6, Vq, FSQ), depth=2),
    "quantised.Fsq": door(Fsq, levels=only((3, 4), (3, 1), (2,) * 63, (), 3, (2.5, 3))),
    "quantised.Lfq": door(
        Lfq, bits=also(6, 64), commitment=also(0.25, -1.0), entropy=also(0.1, -1.0), diversity=also(0.1, -1.0),
        temperature=also(1.0, 0.0), groups=also(2, 4),
    ),
    "quantised.SoftVq": door(SoftVq, size=6, temperature=also(1.0, 0.0, torch.zeros(2)), start="draw"),
    "quantised.GumbelVq": door(GumbelVq, size=6, temperature=also(1.0, 0.0, torch.zeros(2)), start="draw"),
    "quantised.Projected": door(Projected, quantiser=only(FSQ, Fsq, 3), width=3),
    "quantised.Quantised.objective": door(QUANTISED.objective, reconstruction=also(torch.zeros(N), torch.zeros(N + 1))),
    **{
        f"quantised.{name}.init": door(quantiser.init, key=KEY, z=Free(VECTORS))
        for name, (quantiser, *_) in QUANTISERS.items()
    },
    **{
        f"quantised.{name}.quantise": door(
            quantiser.quantise, params=only(params, {"mistyped": 3}, 3), state=state, z=z, key=KEY
        )
        for name, (quantiser, params, state, _, z) in QUANTISERS.items()
    },
    "quantised.Vq.follow": door(VQ.follow, state=only(BOOK, 3), seen=only(QUANTISED.seen, CODES, 3, None), key=KEY),
    "quantised.ResidualVq.follow": door(
        RESIDUAL.follow, state=only(RESIDUAL_BOOKS, 3, BOOK),
        seen=only(RESIDUAL.quantise({}, RESIDUAL_BOOKS, VECTORS, KEY).seen, (), QUANTISED.seen, 3, None), key=KEY,
    ),
    **{
        f"quantised.{name}.encode": door(quantiser.encode, params=only(params, {"mistyped": 3}, 3), state=state, z=z)
        for name, (quantiser, params, state, _, z) in QUANTISERS.items()
    },
    **{
        f"quantised.{name}.decode": door(
            quantiser.decode, params=only(params, {"mistyped": 3}, 3), state=state,
            codes=only(codes, codes + 100, codes - 100, codes.double(), codes.numpy(), None),
        )
        for name, (quantiser, params, state, codes, _) in QUANTISERS.items()
    },
}  # fmt: skip

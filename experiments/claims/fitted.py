"""Small models of images that a claim fits itself: on data that no command has, such as all digits but one."""

from collections.abc import Callable

import torch
from torch import Tensor

from jensen.core import keys, objectives, trees
from jensen.core.contracts import Key
from jensen.core.models import classifier
from jensen.core.models.classifier import Classifier
from jensen.core.models.latent import vae
from jensen.core.models.latent.vae import VAE
from jensen.core.trees import Params, Tree
from jensen.experiments.data.batches import Epochs, length
from jensen.experiments.data.pixels import binarise

BATCH, LR = 100, 2e-3


def fit(
    loss: Callable[[Params, Tree, Key], Tensor], params: Params, data: Tree, steps: int, key: Key, lr: float = LR
) -> Params:
    """The parameters, changed in place, after steps of Adam on batches of the data, at a rate that falls to 0."""
    order, draws = keys.split(key)
    batches = Epochs(length(data), min(BATCH, length(data)))
    adam = torch.optim.Adam(trees.leaves(params), lr)
    schedule = torch.optim.lr_scheduler.LinearLR(adam, 1.0, 1 / steps, steps)
    for step in range(steps):
        batch = batches.take(data, order, step)["data"]
        trees.set_grads(params, torch.func.grad(loss)(params, batch, keys.fold_in(draws, step)))
        adam.step()
        schedule.step()
    return params


def fitted_vae(x: Tensor, hidden: int, latent: int, steps: int, key: Key) -> tuple[VAE, Params]:
    """A Bernoulli VAE of grey images x (n, D) in [0, 1], whose pixels are drawn anew at each step."""
    model = vae.mlp(x.shape[1], (hidden, hidden), latent)
    init_key, fit_key = keys.split(key)

    def loss(params: Params, x: Tensor, key: Key) -> Tensor:
        pixels, noise = keys.split(key)
        x = binarise(pixels, x)
        q = model.posterior(params, x)
        z = q.sample(q.noise(noise, 1))
        reconstruction = model.likelihood(params, z).log_prob(x).mean(0)
        return (objectives.kl(q, model.prior(params, len(x)), z) - reconstruction).mean()

    return model, fit(loss, model.init(init_key, x), x, steps, fit_key)


def fitted_classifier(data: Tree, hidden: int, steps: int, key: Key) -> tuple[Classifier, Params]:
    """A perceptron of {"x": (n, D), "labels": (n,)} with ten classes."""
    model = classifier.mlp(data["x"].shape[1], (hidden,), classes=10)
    init_key, fit_key = keys.split(key)

    def loss(params: Params, batch: Tree, key: Key) -> Tensor:
        return model.loss(params, batch["x"], batch["labels"])

    return model, fit(loss, model.init(init_key), data, steps, fit_key)

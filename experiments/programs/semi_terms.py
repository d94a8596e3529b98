"""What semi-supervised models maximise, in nats per datum: of data without labels, and of a few with theirs.

    M1       the VAE's bound on log p(x), and log p(label | h)
    M2       the bound on log p(x), that on log p(x, label), and log q(label | x)
    M1+M2    M1's first term, and M2's of h

h is one sample of q(h | x), detached: what is above a VAE does not train it.

In the bound without labels the classifier's gradient has a weight of its own. At 0 it is a posterior that labels alone
have trained, and p(x | y, z) comes to mean by y what they do; with the whole gradient from the start the two agree on
classes that are not the labels'.
"""

from collections.abc import Callable, Mapping
from functools import partial

from torch import Tensor

from jensen.core import keys, objectives, trees
from jensen.core.contracts import Key
from jensen.core.models.latent.semi import M1, M2, Stacked
from jensen.core.models.latent.vae import VAE
from jensen.core.trees import Params
from jensen.estimators import gradients

Semi = M1 | M2 | Stacked
How = Mapping[str, Callable[..., Tensor]]


def terms(
    model: Semi, params: Params, x: Tensor, few: Tensor, labels: Tensor, key: Key, how: How, rows: int, weight: Tensor
) -> dict[str, Tensor]:
    """Named terms (n,), of x and of few (n, D) with labels (n,).

    `how` and the rows of noise are `mixed`'s, of M2's latents; weight () is that of the classifier's gradient.
    """
    key, first_key, few_key = keys.split(key, 3)
    if isinstance(model, M2):
        return of_classes(model, params, x, few, labels, key, how, rows, weight)
    below, h = of_features(model.first, params["first"], x, first_key)
    _, h_few = of_features(model.first, trees.stop(params["first"]), few, few_key)
    if isinstance(model, M1):
        return {"features": below, "class": model.second.log_prob(params["second"], h_few, labels)}
    return {"features": below, **of_classes(model.second, params["second"], h, h_few, labels, key, how, rows, weight)}


def of_features(model: VAE, params: Params, x: Tensor, key: Key) -> tuple[Tensor, Tensor]:
    """The VAE's ELBO (n,), and a detached sample of its posterior (n, m)."""
    q = model.posterior(params, x)
    z = q.sample(q.noise(key, 1))
    bound = model.likelihood(params, z).log_prob(x)[0] - objectives.kl(q, model.prior(params, len(x)), z)
    return bound, z[0].detach()


def of_classes(
    model: M2, params: Params, x: Tensor, few: Tensor, labels: Tensor, key: Key, how: How, rows: int, weight: Tensor
) -> dict[str, Tensor]:
    """M2's two bounds, and the log probability of the labels."""
    unlabelled_key, labelled_key = keys.split(key)
    classifier = trees.map(lambda t: t.detach() + weight.to(t.dtype) * (t - t.detach()), params["classifier"])
    q = model.posterior({**params, "classifier": classifier}, x)
    unlabelled = gradients.mixed(partial(model.log_joint, params, x), q, q.noise(unlabelled_key, rows), how=how)
    q_few = model.encoded(params, few, labels)
    labelled = gradients.pathwise(partial(model.labelled, params, few, labels), q_few, q_few.noise(labelled_key, 1))
    return {"unlabelled": unlabelled, "labelled": labelled, "class": model.log_prob(params, few, labels)}

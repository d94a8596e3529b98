"""M2 (Kingma et al., 2014): the class y of a datum is a latent beside z, and observed where there is a label.

    p(y) = 1 / classes,  p(z) = N(0, I),  p(x | y, z);      q(y | x) a classifier,  q(z | x, y) a diagonal normal

Latents are {"y": (s, n, 1, classes), one-hot, "z": (s, n, d)}. As a latent-variable model of x alone it bounds
log p(x), by any estimator of its `posterior`'s two latents; of x with its label, `labelled` and `encoded` give

    log p(x, y) >= E_q(z | x, y) [labelled(x, y, z) - log q(z | x, y)].

Parameters are {"classifier": q(y | x)'s, "encoder": q(z | x, y)'s, "decoder", "likelihood": the likelihood's own}.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from jensen.core import keys
from jensen.core.checks import check_count, check_dtype, check_floating, check_key, check_sizes, described
from jensen.core.contracts import Distribution, Key
from jensen.core.distributions import Categorical, DiagNormal, Given, Joint
from jensen.core.distributions.joint import Latents
from jensen.core.models.classifier import Classifier
from jensen.core.models.labels import check_labels
from jensen.core.models.latent.data import check_data, check_rows, check_training_data
from jensen.core.models.latent.likelihoods import BERNOULLI, Likelihood, Linear
from jensen.core.models.latent.likelihoods.likelihood import check_likelihood
from jensen.core.models.latent.priors.standard import standard_normal
from jensen.core.nn import conditional
from jensen.core.nn.initial import Activation, initialiser
from jensen.core.trees import Params, check_keys

PARTS = ("classifier", "encoder", "decoder", "likelihood")
LATENT_AXES = "samples lead, then data, then latent dimensions"


@dataclass(frozen=True)
class M2:
    """A classifier, an encoder and a decoder given a class; every method is a pure function of its parameters."""

    classifier: Classifier
    latent: int
    hidden: tuple[int, ...]  # of the encoder, in the decoder reversed
    activation: Activation
    observation: Likelihood

    @property
    def data(self) -> int:
        """The width D of data."""
        return self.classifier.data

    @property
    def classes(self) -> int:
        """How many values y has."""
        return self.classifier.classes

    def init(self, key: Key, x: Float[Tensor, "N D"], /) -> Params:
        """Parameters in x's dtype, with a decoder bias at the mean of training data x. ValueError as for a VAE."""
        check_key(key)
        check_training_data(x, self.data)
        likelihood, bias = self.observation.init(x)
        classifier_key, encoder_key, decoder_key = keys.split(key, 3)
        weight = initialiser(self.activation)
        up, down = (self.data, *self.hidden, 2 * self.latent), (self.latent, *self.hidden[::-1], self.data)
        decoder = conditional.init(decoder_key, down, self.classes, weight, x.dtype)
        conditional.last(decoder)["bias"] = bias.clone()
        encoder = conditional.init(encoder_key, up, self.classes, weight, x.dtype)
        conditional.last(encoder)["weight"] *= 0.1  # near N(0, I): x may be of any scale, as features are
        return {
            "classifier": self.classifier.init(classifier_key, x.dtype),
            "encoder": encoder,
            "decoder": decoder,
            "likelihood": likelihood,
        }

    def posterior(self, params: Params, x: Float[Tensor, "n D"], /) -> Joint:
        """q(y | x) q(z | x, y), of n data. ValueError for grey x where it must be binary, while torch runs eagerly."""
        check_data(x, self.data, self.observation.binary)
        return Joint(y=self.classify(params, x), z=Given({"encoder": params["encoder"], "x": x}, self._given))

    def classify(self, params: Params, x: Float[Tensor, "*s n D"], /) -> Categorical:
        """q(y | x), logits (*s, n, 1, classes)."""
        check_keys(params, PARTS)
        logits = self.classifier.logits(params["classifier"], x.reshape(-1, self.data))
        return Categorical(logits.reshape(*x.shape[:-1], 1, self.classes))

    def encoded(self, params: Params, x: Float[Tensor, "n D"], labels: Int[Tensor, " n"], /) -> DiagNormal:
        """q(z | x, y) of data with their labels. ValueError for labels out of range, while torch runs eagerly."""
        check_data(x, self.data, self.observation.binary)
        check_keys(params, PARTS)
        return self.encode(params, x, self._one_hot(x, labels)[0])

    def encode(self, params: Params, x: Float[Tensor, "*s n D"], y: Float[Tensor, "*s n 1 k"], /) -> DiagNormal:
        """q(z | x, y) of one-hot classes, whose leading axes and x's broadcast."""
        outputs = conditional.apply(params["encoder"], x, y.squeeze(-2), self.activation)
        return DiagNormal(*outputs.chunk(2, -1))

    def prior(self, params: Params, n: int, /) -> Joint:
        """p(y) p(z), with rows for n data, in the parameters' dtype."""
        z = standard_normal(self._bias(params), n, self.latent)
        return Joint(y=Categorical(z.loc[:, :1, None].expand(-1, 1, self.classes)), z=z)

    def likelihood(self, params: Params, z: Latents, /) -> Distribution:
        """p(x | y, z): fields (s, n, D)."""
        self._check(params, z)
        features = conditional.features(params["decoder"], z["z"], z["y"].squeeze(-2), self.activation)
        return self.observation(params["likelihood"], Linear(features, **conditional.last(params["decoder"])))

    def log_prior(self, params: Params, z: Latents, /) -> Float[Tensor, "s n"]:
        """log p(y) + log p(z) in nats per datum."""
        self._check(params, z)
        return self.prior(params, z["z"].shape[-2]).log_prob(z)

    def log_joint(self, params: Params, x: Float[Tensor, "n D"], z: Latents, /) -> Float[Tensor, "s n"]:
        """log p(x, y, z) = log_prior + log p(x | y, z), in nats per datum. ValueError as for `posterior`."""
        check_data(x, self.data, self.observation.binary)
        log_prior = self.log_prior(params, z)
        check_rows(x, z["z"])
        return log_prior + self.likelihood(params, z).log_prob(x)

    def labelled(
        self, params: Params, x: Float[Tensor, "n D"], labels: Int[Tensor, " n"], z: Float[Tensor, "s n d"], /
    ) -> Float[Tensor, "s n"]:
        """log p(x, y, z) at the labels, in nats per datum. ValueError as for `encoded`."""
        check_data(x, self.data, self.observation.binary)
        check_floating("z", z, f"s n {self.latent}", LATENT_AXES)
        y = self._one_hot(x, labels)
        return self.log_joint(params, x, {"y": y.expand(len(z), *y.shape[1:]), "z": z})

    def log_prob(self, params: Params, x: Float[Tensor, "n D"], labels: Int[Tensor, " n"], /) -> Float[Tensor, " n"]:
        """log q(label | x) in nats per datum. ValueError as for a classifier."""
        check_keys(params, PARTS)
        return self.classifier.log_prob(params["classifier"], x, labels)

    def correct(self, params: Params, x: Float[Tensor, "n D"], labels: Int[Tensor, " n"], /) -> Float[Tensor, " n"]:
        """1 where q(y | x) is largest at the label, else 0: its mean is the accuracy."""
        check_keys(params, PARTS)
        return self.classifier.correct(params["classifier"], x, labels)

    def independent(self, x: Float[Tensor, "N D"]) -> Distribution:
        """The likelihood fitted to each pixel of x alone, fields (D,): a model of independent pixels."""
        check_data(x, self.data)
        return self.observation.independent(x)

    def _given(self, params: Params, earlier: Latents) -> DiagNormal:
        return self.encode(params, params["x"], earlier["y"])

    def _one_hot(self, x: Tensor, labels: Tensor) -> Float[Tensor, "1 n 1 k"]:
        check_labels(labels, len(x), self.classes)
        return F.one_hot(labels.long(), self.classes).to(x.dtype)[None, :, None]

    def _bias(self, params: Params) -> Tensor:
        check_keys(params, PARTS)
        return conditional.last(params["decoder"])["bias"]

    def _check(self, params: Params, z: Latents) -> None:
        check_latents(z, ("y", "z"))
        check_floating('z["y"]', z["y"], f"... n 1 {self.classes}", "one-hot classes")
        check_floating('z["z"]', z["z"], f"... n {self.latent}", LATENT_AXES)
        check_dtype('z["z"]', z["z"], self._bias(params), "the parameters")


def build(
    classifier: Classifier,
    hidden: Sequence[int],
    latent: int,
    activation: Activation = torch.tanh,
    likelihood: Likelihood = BERNOULLI,
) -> M2:
    """M2 over data of the classifier's width: perceptrons data + class -> *hidden -> z's fields, and back."""
    latent, hidden = check_count("latent", latent), check_sizes("hidden", hidden)
    if not hidden:
        raise ValueError("expected hidden, the width of one layer or more, got none: where x and y meet")
    initialiser(activation)
    check_likelihood(likelihood)
    if not isinstance(classifier, Classifier):
        raise TypeError(
            f"expected classifier, a models.classifier.Classifier, got {described(classifier)}: build one with "
            "classifier.mlp"
        )
    return M2(classifier, latent, hidden, activation, likelihood)


def check_latents(z: object, names: tuple[str, ...]) -> None:
    """A dict of latents of these names: TypeError for what is no dict, KeyError for other names."""
    if not isinstance(z, Mapping):
        raise TypeError(f"expected z, a dict of {', '.join(names)}, got {described(z)}: see q.sample(q.noise(key, s))")
    check_keys(z, names)

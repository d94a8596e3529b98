"""The multimodal variational autoencoder: one z of several modalities, and q(z) given any of them.

    p(x, z) = N(z; 0, I) prod_i p(x_i | z)

Data are rows of all modalities side by side, (n, D), D the sum of their sizes. Given the modalities of a set S, q is

    product   p(z) prod_S q_i(z | x_i), normalised: precisions add up, the prior's 1 too (Wu and Goodman, 2018)
    mixture   the mean of q_i(z | x_i) over S (Shi et al., 2019)
    joint     one network of all modalities, 0 where one is missing, and of indicators of those in S

Whole rows ask the first for the product alone, not for each factor, and show the last no missing modality: to train q
given less, add the ELBO of each modality alone, as Wu and Goodman do. The bound of a mixture asks each q_i for all
modalities.

Parameters are {"encoder": {"0", "1", ...}, of each modality, or {"joint"}, "decoder": {"0", "1", ...}, "likelihood":
{"0", "1", ...}, each likelihood's own}.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import keys
from jensen.core.checks import check_choice, check_count, check_dtype, check_floating, check_key, check_sizes, described
from jensen.core.concrete import is_concrete
from jensen.core.contracts import Distribution, Key
from jensen.core.distributions import DiagNormal, Mixture, check_binary
from jensen.core.models.latent.data import check_data, check_training_data
from jensen.core.models.latent.directed import Directed
from jensen.core.models.latent.likelihoods import BERNOULLI, Likelihood, Linear
from jensen.core.models.latent.likelihoods.likelihood import check_likelihood
from jensen.core.models.latent.priors.standard import standard_normal
from jensen.core.models.latent.side_by_side import LikelihoodsSideBySide, SideBySide
from jensen.core.nn import mlp
from jensen.core.nn.initial import Activation, initialiser
from jensen.core.numerics import bounded
from jensen.core.trees import Params, check_keys

Experts: TypeAlias = Literal["product", "mixture", "joint"]
EXPERTS = ("product", "mixture", "joint")


@dataclass(frozen=True)
class Multimodal(Directed):
    """An encoder and a decoder of each modality; every method is a pure function of its parameters."""

    data: int  # D
    sizes: tuple[int, ...]  # of each modality
    hidden: tuple[int, ...]  # of the encoders, in the decoders reversed
    latent: int
    experts: Experts
    activation: Activation
    likelihoods: tuple[Likelihood, ...]  # of each modality
    observation: Likelihood  # of rows

    def init(self, key: Key, x: Float[Tensor, "N D"], /) -> Params:
        """Parameters in x's dtype, with decoder biases at the means of training data x.

        ValueError for rows of another width, and for a single datum.
        """
        check_key(key)
        check_training_data(x, self.data)
        likelihood, bias = self.observation.init(x)
        weight, names = initialiser(self.activation), self._names
        ups, downs = (keys.split(each, len(names)) for each in keys.split(key))
        inputs = (
            {"joint": self.data + len(names)} if self.experts == "joint" else dict(zip(names, self.sizes, strict=True))
        )
        encoder: Params = {
            name: mlp.init(ups[i], (size, *self.hidden, 2 * self.latent), weight, x.dtype)
            for i, (name, size) in enumerate(inputs.items())
        }
        decoder: Params = {}
        for i, own in enumerate(bias.split(list(self.sizes))):
            decoder[str(i)] = mlp.init(downs[i], (self.latent, *self.hidden[::-1], self.sizes[i]), weight, x.dtype)
            mlp.last(decoder[str(i)])["bias"] = own.clone()
        return {"encoder": encoder, "decoder": decoder, "likelihood": likelihood}

    def posterior(self, params: Params, x: Float[Tensor, "n D"], /) -> DiagNormal | Mixture:
        """q(z | x) given all modalities. ValueError for grey x where it must be binary, while torch runs eagerly."""
        return self.given(params, self.parts(x))

    def given(self, params: Params, parts: Sequence[Tensor | None], /) -> DiagNormal | Mixture:
        """q(z) given some modalities: parts (n, D_i) in their order, None where one is missing.

        ValueError for all missing, of which q is the prior, for parts of unequal length, and as for `posterior`.
        """
        self._check(params)
        present = self._present(parts)
        if self.experts == "joint":
            return self._normal(params["encoder"]["joint"], self._filled(present))
        each = [self._normal(params["encoder"][str(i)], x) for i, x in present.items()]
        if self.experts == "product":
            return product([self.prior(params, len(each[0].loc)), *each])
        stacked = DiagNormal(*(torch.stack(fields, 1) for fields in zip(*each, strict=True)))
        return Mixture(torch.zeros_like(stacked.loc[..., 0]), stacked)

    def prior(self, params: Params, n: int, /) -> DiagNormal:
        """N(0, I) with fields (n, d), in the parameters' dtype."""
        return standard_normal(self._bias(params), n, self.latent)

    def likelihood(self, params: Params, z: Float[Tensor, "s n d"], /) -> SideBySide:
        """p(x | z) of all modalities, rows (s, n, D)."""
        return SideBySide.of([self.decode(params, z, i) for i in range(len(self.sizes))], self.sizes)

    def decode(self, params: Params, z: Float[Tensor, "s n d"], modality: int, /) -> Distribution:
        """p(x_i | z) of one modality, by its number: fields (s, n, D_i). ValueError for one that there is not."""
        self._check_latents(params, z)
        if check_count("modality", modality, 0) >= len(self.sizes):
            raise ValueError(f"expected modality below {len(self.sizes)}, got {modality}: they are numbered from 0")
        network = params["decoder"][str(modality)]
        check_keys(params["likelihood"], self._names)
        out = Linear(mlp.features(network, z, self.activation), **mlp.last(network))
        return self.likelihoods[modality](params["likelihood"][str(modality)], out)

    def log_prior(self, params: Params, z: Float[Tensor, "s n d"], /) -> Float[Tensor, "s n"]:
        """log N(z; 0, I) in nats per datum."""
        self._check_latents(params, z)
        return self.prior(params, z.shape[-2]).log_prob(z)

    def log_joint(self, params: Params, x: Float[Tensor, "n D"], z: Float[Tensor, "s n d"], /) -> Float[Tensor, "s n"]:
        """log p(x, z) = log_prior + log p(x | z), in nats per datum. ValueError as for `posterior`."""
        self._present(self.parts(x))
        return super().log_joint(params, x, z)

    def parts(self, x: Float[Tensor, "n D"], /) -> tuple[Tensor, ...]:
        """The modalities of rows, (n, D_i) each. ValueError for rows of another width."""
        check_data(x, self.data)
        return x.split(list(self.sizes), -1)

    def _normal(self, network: Params, x: Tensor) -> DiagNormal:
        return DiagNormal(*mlp.apply(network, x, self.activation).chunk(2, -1))

    def _present(self, parts: Sequence[Tensor | None]) -> dict[int, Tensor]:
        """The modalities that are there, by number."""
        if not isinstance(parts, list | tuple):
            raise TypeError(
                f"expected parts, a tensor or None for each modality, got {described(parts)}: pass them in a list"
            )
        if len(parts) != len(self.sizes):
            raise ValueError(f"expected parts, {len(self.sizes)} of them, got {len(parts)}: None for a missing one")
        present = {i: x for i, x in enumerate(parts) if x is not None}
        if not present:
            raise ValueError("expected parts, one modality or more, got none: then q is the prior")
        for i, x in present.items():
            check_floating(f"parts[{i}]", x, f"n {self.sizes[i]}", "one row per datum")
            if self.likelihoods[i].binary and is_concrete(x):
                check_binary(x)
        if len({len(x) for x in present.values()}) > 1:
            lengths = ", ".join(str(len(x)) for x in present.values())
            raise ValueError(f"expected parts of the same data, got {lengths} rows: one row per datum in each")
        return present

    def _filled(self, present: dict[int, Tensor]) -> Tensor:
        """All modalities, 0 where one is missing, and an indicator of each."""
        some = next(iter(present.values()))
        each = [present.get(i, some.new_zeros(len(some), size)) for i, size in enumerate(self.sizes)]
        seen = [some.new_full((len(some), 1), float(i in present)) for i in range(len(self.sizes))]
        return torch.cat([*each, *seen], -1)

    @property
    def _names(self) -> tuple[str, ...]:
        return tuple(str(i) for i in range(len(self.sizes)))

    def _bias(self, params: Params) -> Tensor:
        self._check(params)
        return mlp.last(params["decoder"]["0"])["bias"]

    def _check(self, params: Params) -> None:
        check_keys(params, ("encoder", "decoder", "likelihood"))
        check_keys(params["encoder"], ("joint",) if self.experts == "joint" else self._names)
        check_keys(params["decoder"], self._names)

    def _check_latents(self, params: Params, z: Tensor) -> None:
        check_floating("z", z, f"... n {self.latent}", "samples lead, then data, then latent dimensions")
        check_dtype("z", z, self._bias(params), "the parameters")


def product(experts: Sequence[DiagNormal]) -> DiagNormal:
    """prod_i N(z; loc_i, scale_i^2), normalised: precisions add up, and means are weighted by them; fields (n, d)."""
    if not isinstance(experts, list | tuple) or not experts or not all(isinstance(q, DiagNormal) for q in experts):
        raise TypeError(f"expected experts, one DiagNormal or more, got {described(experts)}: pass a list of them")
    loc, log_scale = (torch.stack(fields) for fields in zip(*experts, strict=True))
    log_precision = -2 * bounded(log_scale)
    weighted = (torch.softmax(log_precision, 0) * loc).sum(0)
    return DiagNormal(weighted, -0.5 * torch.logsumexp(log_precision, 0))


def build(
    data: Sequence[int],
    hidden: Sequence[int],
    latent: int,
    experts: Experts = "product",
    activation: Activation = torch.tanh,
    likelihoods: Likelihood | tuple[Likelihood, ...] | list[Likelihood] = BERNOULLI,
) -> Multimodal:
    """Modalities of sizes `data`, each by perceptrons size -> *hidden -> q's fields and back.

    The likelihood is one for all modalities, or there is one for each.
    """
    data, hidden, latent = check_sizes("data", data), check_sizes("hidden", hidden), check_count("latent", latent)
    if len(data) < 2:
        raise ValueError(f"expected data, the sizes of two modalities or more, got {len(data)}: build a vae for one")
    check_choice("experts", experts, EXPERTS)
    initialiser(activation)
    each = tuple(likelihoods) if isinstance(likelihoods, list | tuple) else (likelihoods,) * len(data)
    for likelihood in each:
        check_likelihood(likelihood)
    if len(each) != len(data):
        raise ValueError(f"expected likelihoods, one for all or {len(data)}, got {len(each)}: one per modality")
    rows = LikelihoodsSideBySide(each, data)
    return Multimodal(sum(data), data, hidden, latent, experts, activation, each, rows)

"""The posterior of a model given data, as a log density of real numbers z (s, n, d) with names for their meaning."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from jensen.core import keys
from jensen.core.checks import check_count, check_floating, check_key, check_tensor, described
from jensen.core.concrete import is_concrete
from jensen.core.contracts import Key
from jensen.core.models.bayes import coordinates
from jensen.core.models.bayes.answers import asked, checked
from jensen.core.models.bayes.columns import check_data, number, per_datum
from jensen.core.models.bayes.model import Data, Model, Theta
from jensen.core.models.bayes.supports import Support
from jensen.core.numerics import at_least_float32
from jensen.core.trees import Static

START = 2.0  # how far from 0 the coordinates of `starts` are, as in Stan


class Posterior(NamedTuple):
    """log p(theta, data) + log |det d theta / dz| in nats, up to the evidence: posterior(z), (s, n, d) -> (s, n).

    z are the parameters' real numbers one after another. The data set is one datum of `evidence` and `gradients`:
    n = 1, or n rows that do not know of each other, such as several starts. Of a minibatch it is the unbiased estimate

        log p(global) + num_data / b sum_i [log p(local_i | global) + log p(x_i | local_i, global)],  i over b data,

    with the Jacobian of global parameters in the first term and that of local_i in the i-th; z is the whole vector.
    """

    model: Static[Model]
    data: Data
    rows: Int[Tensor, " b"]  # which data these are, of all num_data
    num_data: Static[int]

    def __call__(self, z: Float[Tensor, "s n d"], /) -> Float[Tensor, "s n"]:
        prior, each = self.terms(z)
        return prior if each is None else prior + self._scaled_sum(each)

    def terms(self, z: Float[Tensor, "s n d"], /) -> tuple[Float[Tensor, "s n"], Float[Tensor, "s n b"] | None]:
        """The log density of global parameters, and what each datum adds, with their Jacobians; None without data."""
        model = self.model.value
        theta, once, each = self._mapped(z)
        prior = self._log_prior(theta, z) + once
        if model.log_local is not None:
            each = each + self._per_datum("log_local(theta)", z, model.log_local, theta)
        if model.log_likelihood is not None:
            each = each + self._per_datum("log_likelihood(theta, data)", z, model.log_likelihood, theta, self.data)
        elif model.log_local is None:
            return prior, None
        return prior, each

    def log_prior(self, z: Float[Tensor, "s n d"], /) -> Float[Tensor, "s n"]:
        """The prior's density of z, local parameters included: that of `prior`."""
        log_local = self.model.value.log_local
        theta, once, each = self._mapped(z)
        prior = self._log_prior(theta, z) + once
        if log_local is None:
            return prior
        return prior + self._scaled_sum(each + self._per_datum("log_local(theta)", z, log_local, theta))

    def log_likelihood(self, z: Float[Tensor, "s n d"], /) -> Float[Tensor, "s n b"]:
        """log p(x_i | theta) of each datum. ValueError for a model without a likelihood."""
        log_likelihood = self.model.value.log_likelihood
        if log_likelihood is None:
            raise ValueError("expected a model with a log_likelihood, got one log density: it has no data")
        theta, *_ = self._mapped(z)
        return self._per_datum("log_likelihood(theta, data)", z, log_likelihood, theta, self.data)

    def minibatch(self, index: Int[Tensor, " b"]) -> "Posterior":
        """The unbiased estimate from the data at an index, each subset of a size being as likely as the others."""
        check_tensor("index", index, "b", "the places of the minibatch's data")
        model = self.model.value
        if model.joint:
            raise ValueError(f"expected independent data, got those of {model.name}: each depends on others, take all")
        if index.dtype not in (torch.int64, torch.int32):
            raise TypeError(f"expected index of whole numbers, got {index.dtype}: convert it with index.long()")
        if not len(index):
            raise ValueError("expected index of one datum or more, got none: an empty batch has no mean")
        if is_concrete(index) and not ((index >= 0) & (index < len(self.rows))).all():
            raise ValueError(
                f"expected index from 0 to {len(self.rows) - 1}, got {index.tolist()}: there are no others"
            )
        taken = {name: value[index] for name, value in per_datum(self.data, model.columns).items()}
        return self._replace(data={**self.data, **taken}, rows=self.rows[index])

    def prior(self) -> "Prior":
        """The prior as a distribution of z with one row, such as `smc` starts from. ValueError without draws of it."""
        if self.model.value.draw is None:
            raise ValueError(
                "expected a model with draws of a proper prior, got draw = None: give the Model a draw, or start from "
                "another q, such as a DiagNormal of z"
            )
        return Prior(self)

    def simulated(self, key: Key, theta: Theta) -> dict[str, Tensor]:
        """Data drawn given one theta (*shape), with the covariates of these. ValueError for a model without draws."""
        check_key(key)
        simulate = self.model.value.simulate
        if simulate is None:
            raise ValueError("expected a model that simulates data, got simulate = None: give the Model one")
        coordinates.unconstrained(self.support, theta)  # for its checks
        return simulate(key, theta, self.data)

    @property
    def support(self) -> Mapping[str, Support]:
        return self.model.value.support

    @property
    def d(self) -> int:
        """How many real numbers z are."""
        return coordinates.size(self.support)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the parameters."""
        return tuple(self.support)

    @property
    def dtype(self) -> torch.dtype:
        """That of the data, or the default."""
        found = (value.dtype for value in self.data.values() if value.is_floating_point())
        return next(found, torch.get_default_dtype())

    @property
    def start(self) -> Float[Tensor, "1 d"]:
        """z = 0."""
        return torch.zeros(1, self.d, dtype=self.dtype, device=self.rows.device)

    def starts(self, key: Key, n: int) -> Float[Tensor, "n d"]:
        """Points to start from, uniform between -2 and 2 in each coordinate."""
        check_key(key)
        return START * (2 * keys.uniform(key, (1, check_count("n", n), self.d), self.dtype)[0] - 1)

    def constrained(self, z: Float[Tensor, "... d"], /) -> dict[str, Tensor]:
        """The parameters (..., *shape) by name, of the whole data set."""
        return coordinates.constrained(self.support, z)

    def unconstrained(self, theta: Theta, /) -> Float[Tensor, "... d"]:
        """z of parameters (..., *shape). ValueError that names one outside its support."""
        return coordinates.unconstrained(self.support, theta)

    def reported(self, z: Float[Tensor, "... d"], /) -> dict[str, Tensor]:
        """The parameters, and what the model derives of them, by name."""
        theta, derived = self.constrained(z), self.model.value.derived
        return theta if derived is None else {**theta, **derived(theta)}

    def flat(self, z: Float[Tensor, "... d"], /) -> Float[Tensor, "... k"]:
        """The numbers of `reported` that vary, as one vector, each under its name in `flat_names`."""
        return coordinates.flat(self.support, self.reported(z), tuple(z.shape[:-1]))

    @property
    def flat_names(self) -> tuple[str, ...]:
        """The names of `flat`'s numbers, such as "theta[3]", from 0."""
        return coordinates.flat_names(self.support, self.reported(self.start[0]))

    def _mapped(self, z: Tensor) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Parameters, of local ones the minibatch's, and their Jacobians: once (s, n), and of each datum (s, n, b)."""
        check_floating("z", z, f"s n {self.d}", "samples lead, then n = 1, then coordinates")
        local = self.model.value.local
        real = z.isfinite().all(-1)  # elsewhere NaN, and not asked of the model: torch.distributions raise for NaN
        z = torch.where(real[..., None], z, 0.0)
        once = torch.where(real, torch.zeros_like(at_least_float32(z[..., 0])), torch.nan)
        each = once[..., None].expand(*once.shape, len(self.rows))
        theta = {}
        for name, support, part in coordinates.parts(self.support, z):
            value, log_det = support.forward(part, axes=int(name in local))
            if name in local:
                value, log_det = value[:, :, self.rows], log_det[..., self.rows]
                each = each + log_det
            else:
                once = once + log_det
            theta[name] = value
        return theta, once, each

    def _log_prior(self, theta: Theta, z: Tensor) -> Tensor:
        model = self.model.value
        value = asked("log_prior(theta)", model.log_prior, {k: t for k, t in theta.items() if k not in model.local})
        return checked("log_prior(theta)", value, z.shape[:2], "sum over parameters, and over no samples")

    def _per_datum(
        self, name: str, z: Tensor, log_density: Callable[..., Tensor], *given: Mapping[str, Tensor]
    ) -> Tensor:
        shape = torch.Size([*z.shape[:2], len(self.rows)])
        return checked(name, asked(name, log_density, *given), shape, "one column per datum, so sum over no data")

    def _scaled_sum(self, each: Float[Tensor, "s n b"]) -> Float[Tensor, "s n"]:
        return self.num_data.value / each.shape[-1] * each.sum(-1)


class Prior(NamedTuple):
    """A model's prior as a distribution of z, with one row.

    Support       R^d
    Noise         the draws themselves: it has no parameters that they would be differentiable in
    Closed forms  none
    """

    posterior: Posterior

    reparameterised = True

    def noise(self, key: Key, s: int, /) -> Float[Tensor, "s 1 d"]:
        draw = self.posterior.model.value.draw
        assert draw is not None
        check_key(key)
        return self.posterior.unconstrained(draw(key, check_count("s", s))).to(self.posterior.dtype)

    def sample(self, noise: Float[Tensor, "s 1 d"], /) -> Float[Tensor, "s 1 d"]:
        return noise

    def log_prob(self, z: Float[Tensor, "s n d"], /) -> Float[Tensor, "s n"]:
        return self.posterior.log_prior(z)


def condition(model: Model, data: Data | None = None, num_data: int | None = None) -> Posterior:
    """The posterior of a model given data, a dict of tensors; num_data is the size of the set they are a batch of.

    TypeError and ValueError that name the tensor for data outside the model's columns.
    """
    if not isinstance(model, Model):
        raise TypeError(f"expected model, a Model, got {described(model)}: write Model(support, log_prior)")
    data = {} if data is None else data
    check_data(data, model.columns)
    b = number(data, model.columns)
    size = b if num_data is None else check_count("num_data", num_data, b)
    if model.log_likelihood is not None and not b:
        raise ValueError("expected data of one row or more, got none: pass a dict of tensors such as {'y': y}")
    if size != b and (model.joint or model.local):
        why = "data depend on each other" if model.joint else "local parameters need to know which rows these are"
        raise ValueError(f"expected num_data = {b}, got {size}, but {why}: condition on all, then take a minibatch")
    for name in model.local:
        if model.support[name].cells[0] != b:
            raise ValueError(
                f"expected the support of {name} with one row for each of {b} data, got {model.support[name]}: "
                "build the model for these data"
            )
    device = next((t.device for t in data.values()), torch.device("cpu"))
    return Posterior(Static(model), dict(data), torch.arange(b, device=device), Static(size))

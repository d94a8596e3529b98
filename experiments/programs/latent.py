"""Latent-variable models as programs: whatever meets `LatentModel`, under any bound, objective and estimator."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch
from matplotlib.figure import Figure
from torch import Tensor

from jensen.core import bounds, keys, objectives, trees
from jensen.core.contracts import ClosedForm, Distribution, Key, LatentModel, LogDensity, Noise, Relaxable, can
from jensen.core.objectives import Terms
from jensen.core.trees import Params, Tree
from jensen.estimators import gradients
from jensen.estimators.gradients import catalogue
from jensen.experiments import report
from jensen.experiments.data.batches import Epochs
from jensen.experiments.data.images import Images
from jensen.experiments.data.pixels import binarise
from jensen.experiments.programs import learned
from jensen.experiments.programs.adapted import Adapted, ImageModel
from jensen.experiments.programs.estimation import Estimation
from jensen.experiments.run.optimisers import Optimiser
from jensen.experiments.run.program import Batch, Finding, Out, Schedule, Turn, Weights


@dataclass(frozen=True)
class LatentProgram:
    """One turn over the model, and over what its estimator learns beside it."""

    model: ImageModel
    estimation: Estimation
    name: str  # of the estimator, in the catalogue
    dynamic: bool  # whether pixels are drawn anew at each step
    batches: Epochs
    optimiser: Optimiser
    total: int  # steps
    evidence_k: int
    compile: bool  # the evaluation
    title: str  # of the report

    @property
    def learned(self) -> str | None:
        """The group of parameters that the estimator learns."""
        if self.name == "relax":
            return "control"
        return "baseline" if self.name == "score" and self.estimation.the_baseline == "nvil" else None

    @property
    def turns(self) -> tuple[Turn, ...]:
        groups = ("model",) if self.learned is None else ("model", self.learned)
        return (Turn(self.loss, groups),)

    @property
    def optimisers(self) -> Mapping[str, Optimiser]:
        rate = self.estimation.learned_lr or self.optimiser.lr
        own = {"model": self.optimiser}
        return own if self.learned is None else own | {self.learned: self.optimiser.at(rate)}

    @property
    def schedules(self) -> Mapping[str, Schedule]:
        return self.estimation.schedules(self.total)

    @property
    def epoch(self) -> int:
        return self.batches.steps

    def init(self, key: Key, data: Tensor, /) -> tuple[Params, Tree]:
        model_key, learned_key = keys.split(key)
        params = {"model": self.model.init(model_key, data)}
        if self.learned == "baseline":
            params["baseline"] = learned.init_baseline(learned_key, data)
        if self.learned == "control":
            q = self.model.posterior(params["model"], data[:1].round())
            width = q.sample(q.noise(learned_key, 1)).shape[-1]
            params["control"] = learned.init_control(learned_key, data, width, self.estimation.temperature)
        return params, self.estimation.the_objective.start(data)

    def batch(self, data: Tensor, key: Key, step: int, /) -> Batch:
        return self.batches.take(data, key, step)

    def loss(self, params: Params, state: Tree, batch: Batch, key: Key, weights: Weights) -> Out:
        """Minus the mean of what is maximised."""
        pixel_key, noise_key = keys.split(key)
        x = binarise(pixel_key, batch["data"]) if self.dynamic else batch["data"]
        q = self.posterior(params["model"], x)
        noise = q.noise(noise_key, self.estimation.k)
        if self.name == "analytic_kl" or self.estimation.weighs_terms:
            terms, state = self.weighted(params, x, q, noise, weights, state)
            loss = -terms.objective.mean()
        else:
            terms, extra = self.estimated(params, x, q, noise, pixel_key, weights)
            loss = extra.mean() - terms.objective.mean()
        named = {"objective": terms.objective, "reconstruction": terms.reconstruction, "kl": terms.kl}
        return Out(loss, {**named, "penalty": terms.penalty, **terms.parts}, state)

    def posterior(self, params: Params, x: Tensor) -> Distribution:
        return self.estimation.the_objective.posterior(self.model.posterior(params, x))

    def weighted(
        self, params: Params, x: Tensor, q: Distribution, noise: Noise, weights: Weights, state: Tree
    ) -> tuple[Terms, Tree]:
        """The objective's terms: the reconstruction by the estimator, the KL in closed form where there is one."""
        model, prior = params["model"], self.model.prior(params["model"], len(x))
        if not (q.reparameterised or (can(q, ClosedForm) and type(q) is type(prior))):
            raise TypeError(
                f"an objective needs a KL in closed form, or samples that carry its gradient, and "
                f"{type(q).__name__} has neither: use a bound in its place"
            )
        z = q.sample(noise)
        if self.name == "analytic_kl":
            reconstruction = self.model.likelihood(model, z).log_prob(x).mean(0)
        else:
            frozen = trees.stop(q)  # log p + log q - log q: the estimator sees a likelihood alone

            def log_p(z: Tensor) -> Tensor:
                return self.model.likelihood(model, z).log_prob(x) + frozen.log_prob(z)

            reconstruction, _ = self.value(log_p, params, x, q, noise, noise_key=None, weights=weights)
        objective = self.estimation.the_objective
        return objective(reconstruction, q, prior, z, data=self.batches.size, weights=weights, state=state)

    def estimated(
        self, params: Params, x: Tensor, q: Distribution, noise: Noise, key: Key, weights: Weights
    ) -> tuple[Terms, Tensor]:
        """The bound by its estimator, and the loss of what that learns."""
        density = Density(self.model, params["model"], x, q, weights)
        value, extra = self.value(density, params, x, q, noise, key, weights)
        reconstruction, kl = density.recorded() if self.records else density.evaluated(noise)
        return Terms(value, reconstruction, kl, reconstruction - kl - value.detach(), {}), extra

    @property
    def records(self) -> bool:
        """Whether the estimator's one evaluation of log p is at q's samples, so that the terms need no second one."""
        return catalogue.ROWS[self.name].evaluations == "1"

    def value(
        self, log_p: LogDensity, params: Params, x: Tensor, q: Distribution, noise: Noise, noise_key: Key | None,
        weights: Weights,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """The estimator's value (n,), and the loss (n,) of what it learns beside the model, 0 for nothing."""
        estimation, zero = self.estimation, x.new_zeros(len(x))
        bound = bounds.elbo if noise_key is None else estimation.bound_at(noise_key, len(x))
        if self.learned == "baseline":
            return learned.nvil(log_p, q, noise, bound, params["baseline"], x)
        if self.learned == "control" and can(q, Relaxable):
            frozen = partial(self.model.log_joint, trees.stop(params["model"]), x)
            return learned.relax(log_p, frozen, q, noise, params["control"])
        estimate = partial(getattr(gradients, self.name), **estimation.options(self.name, weights))
        if not bounds.upper(bound):
            return estimate(log_p, q, noise, bound=bound), zero
        frozen = partial(self.model.log_joint, trees.stop(params["model"]), x)
        gap = estimate(frozen, q, noise, bound=bound)  # the posterior lowers it, and the model has no part in it
        return gradients.wake_theta(log_p, trees.stop(q), noise) - gap, zero

    @torch.no_grad()
    def score(self, params: Params, state: Tree, batch: Tensor, key: Key, /) -> Tensor:
        """The ELBO, or IWAE's bound of k samples where a bound of several is trained."""
        q = self.posterior(params["model"], batch)
        noise = q.noise(key, self.estimation.k)
        z = q.sample(noise)
        if self.estimation.the_bound == bounds.elbo:
            prior = self.model.prior(params["model"], len(batch))
            return self.model.likelihood(params["model"], z).log_prob(batch).mean(0) - objectives.kl(q, prior, z)
        return bounds.iwae(self.model.log_joint(params["model"], batch, z) - q.log_prob(z))

    def figures(self, params: Params, state: Tree, data: Images, key: Key, /) -> dict[str, Figure]:
        return report.latent_figures(self.adapted, params["model"], data)

    def report(self, params: Params, state: Tree, data: Images, key: Key, /) -> list[Finding]:
        found = report.evaluate(
            self.adapted, params["model"], data.train, data.test, self.evidence_k, key, self.compile
        )
        return [Finding("what", [], self.title), found.finding()]

    @property
    def adapted(self) -> ImageModel:
        """The model with the posterior that the objective gives it."""
        return Adapted(self.model, self.estimation.the_objective)


class Density:
    """log p(x, z) under the weights of a step, which keeps the two terms of its first evaluation.

    With a KL weight w the target is log p(x | z) + w log p(z) + (1 - w) log q(z), so that log_w is
    log p(x | z) - w (log q(z) - log p(z)) for every estimator: q's part of the target is a density like any other.
    """

    def __init__(self, model: LatentModel, params: Params, x: Tensor, q: Distribution, weights: Weights):
        self.model, self.params, self.x, self.q, self.weights = model, params, x, q, weights
        self.terms: tuple[Tensor, Tensor] | None = None

    def __call__(self, z: Tensor) -> Tensor:
        density, prior = self.model.likelihood(self.params, z).log_prob(self.x), self.model.log_prior(self.params, z)
        if self.terms is None:
            kl = objectives.kl(self.q, self.model.prior(self.params, len(self.x)), z)
            self.terms = density.detach().mean(0), kl.detach()
        weight = self.weights.get("kl", prior.new_ones(())).to(prior.dtype)
        density = (density + weight * prior) / self.weights.get("posterior_temperature", 1.0)
        return density + (1 - weight) * self.q.log_prob(z) if "kl" in self.weights else density

    def recorded(self) -> tuple[Tensor, Tensor]:
        """The reconstruction and the KL of the first evaluation, (n,) each."""
        assert self.terms is not None
        return self.terms

    def evaluated(self, noise: Noise) -> tuple[Tensor, Tensor]:
        """The same at q's samples, evaluated for themselves."""
        with torch.no_grad():
            self.terms = None
            self(self.q.sample(noise))
        return self.recorded()

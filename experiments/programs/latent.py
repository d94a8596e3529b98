"""Latent-variable models as programs: whatever meets `LatentModel`, under any bound, objective and estimator."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from matplotlib.figure import Figure
from torch import Tensor

from jensen.core import bounds, keys, objectives, trees
from jensen.core.contracts import Bound, ClosedForm, Distribution, Key, Noise, Relaxable, can
from jensen.core.distributions import tempered
from jensen.core.objectives import Terms
from jensen.core.trees import Params, Tree
from jensen.estimators import gradients
from jensen.estimators.gradients import catalogue
from jensen.experiments import report
from jensen.experiments.data.batches import Epochs
from jensen.experiments.data.images import Images
from jensen.experiments.data.pixels import binarise
from jensen.experiments.programs import learned
from jensen.experiments.programs.adapted import ImageModel, adapted
from jensen.experiments.programs.density import Joint, Reconstruction
from jensen.experiments.programs.estimation import Estimation
from jensen.experiments.report.drawn import drawn
from jensen.experiments.report.images import prior_means
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

    def __post_init__(self) -> None:
        self.estimation.check()  # its bound and objective are read here, for a compiler cannot

    @property
    def learned(self) -> str | None:
        """The group of parameters that the estimator learns."""
        if self.name == "relax":
            return "control"
        return "baseline" if self.name == "score" and self.estimation.the_baseline == "nvil" else None

    @property
    def coupling(self) -> str | None:
        of = self.estimation
        return f"data of a batch meet in --objective {of.objective}" if of.the_objective.coupled else None

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
        """Minus the mean of what is maximised, and the loss of what the estimator learns."""
        pixel_key, noise_key, bound_key = keys.split(key, 3)
        x = binarise(pixel_key, batch["data"]) if self.dynamic else batch["data"]
        q = self.posterior(params["model"], x)
        if "encoder_temperature" in weights:
            q = tempered(q, weights["encoder_temperature"])
        noise = self.noise(q, noise_key)
        if self.of_terms(q, weights):
            terms, extra, state = self.weighted(params, x, q, noise, weights, state)
        else:
            terms, extra = self.estimated(params, x, q, noise, self.estimation.bound_at(bound_key, len(x)), weights)
        named = {"objective": terms.objective, "reconstruction": terms.reconstruction, "kl": terms.kl}
        loss = extra.mean() - terms.objective.mean()
        return Out(loss, {**named, "penalty": terms.penalty, **terms.parts}, state)

    def noise(self, q: Distribution, key: Key) -> Noise:
        """Of the samples that a step takes."""
        return q.noise(key, self.estimation.k)

    def of_terms(self, q: Distribution, weights: Weights) -> bool:
        """Whether the loss sums weighted terms; log_w would have a flow's density at z by its inverse."""
        of_paths = self.name == "pathwise" and self.estimation.the_bound == bounds.elbo and not can(q, ClosedForm)
        warming = "kl" in weights and "posterior_temperature" not in weights
        return self.name == "analytic_kl" or self.estimation.weighs_terms or (of_paths and warming)

    def posterior(self, params: Params, x: Tensor) -> Distribution:
        return self.estimation.the_objective.posterior(self.model.posterior(params, x))

    def weighted(
        self, params: Params, x: Tensor, q: Distribution, noise: Noise, weights: Weights, state: Tree
    ) -> tuple[Terms, Tensor, Tree]:
        """The objective's terms: the reconstruction by the estimator, the KL in closed form where there is one."""
        model, prior = params["model"], self.model.prior(params["model"], len(x))
        at, z = drawn(q, noise)
        if not (q.reparameterised or (can(q, ClosedForm) and type(q) is type(prior))):
            raise TypeError(
                f"an objective needs a KL in closed form, or samples that carry its gradient, and "
                f"{type(q).__name__} has neither: use a bound in its place"
            )
        if self.name in ("analytic_kl", "pathwise"):
            reconstruction, extra = self.model.likelihood(model, z).log_prob(x).mean(0), x.new_zeros(len(x))
        else:
            log_p = Reconstruction(self.model, model, x, q)
            reconstruction, extra = self.value(log_p, params, x, q, noise, bounds.elbo, weights)
        objective = self.estimation.the_objective
        terms, state = objective(reconstruction, at, prior, z, data=self.batches.size, weights=weights, state=state)
        return terms, extra, state

    def estimated(
        self, params: Params, x: Tensor, q: Distribution, noise: Noise, bound: Bound, weights: Weights
    ) -> tuple[Terms, Tensor]:
        """The bound by its estimator, and the ELBO's terms beside it."""
        log_p = Joint(self.model, params["model"], x, q, weights, drawn(trees.stop(q), noise)[0])
        value, extra = self.value(log_p, params, x, q, noise, bound, weights)
        at_samples = catalogue.ROWS[self.name].evaluations == "1"  # the first evaluation is at q's samples
        reconstruction, kl = log_p.recorded() if at_samples else log_p.evaluated(noise)
        return Terms(value, reconstruction, kl, reconstruction - kl - value.detach(), {}), extra

    def value(
        self, log_p: Joint | Reconstruction, params: Params, x: Tensor, q: Distribution, noise: Noise, bound: Bound,
        weights: Weights,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """The estimator's value, and the loss of what it learns beside the model, 0 for nothing: (n,) each."""
        if self.learned == "baseline":
            return learned.nvil(log_p, q, noise, bound, params["baseline"], x)
        if self.learned == "control" and can(q, Relaxable):
            return learned.relax(log_p, log_p.stopped(trees.stop(q)), q, noise, params["control"])
        estimate, zero = getattr(gradients, self.name), x.new_zeros(len(x))
        options = self.estimation.options(self.name, weights)
        if not bounds.upper(bound):
            return estimate(log_p, q, noise, bound=bound, **options), zero
        # The posterior lowers an upper bound, in which the model has no part; the value is IWAE's, which that raises.
        above = estimate(log_p.stopped(q), q, noise, bound=bound, **options)
        return gradients.wake_theta(log_p, trees.stop(q), noise) - (above - above.detach()), zero

    @torch.no_grad()
    def score(self, params: Params, state: Tree, batch: Tensor, key: Key, /) -> Tensor:
        """The ELBO, or IWAE's bound of k samples where a bound of several is trained."""
        q = self.posterior(params["model"], batch)
        at, z = drawn(q, q.noise(key, self.estimation.k))
        if self.estimation.the_bound == bounds.elbo:
            prior = self.model.prior(params["model"], len(batch))
            return self.model.likelihood(params["model"], z).log_prob(batch).mean(0) - objectives.kl(at, prior, z)
        return bounds.iwae(self.model.log_joint(params["model"], batch, z) - at.log_prob(z))

    @torch.no_grad()
    def sample(self, params: Params, state: Tree, key: Key, n: int) -> Tensor:
        """(n, D), in the data's own units: the means of p(x | z) at draws z of the prior."""
        return prior_means(self.adapted, params["model"], key, n)

    def figures(self, params: Params, state: Tree, data: Images, key: Key, /) -> dict[str, Figure]:
        return report.latent_figures(self.adapted, params["model"], data)

    def report(self, params: Params, state: Tree, data: Images, key: Key, /) -> list[Finding]:
        found = report.evaluate(
            self.adapted, params["model"], data.train, data.test, self.evidence_k, key, self.compile
        )
        known = [report.disentanglement(self.adapted, params["model"], data.test, data.factors)] if data.factors else []
        return [Finding("what", [], self.title), found.finding(), *known]

    @property
    def adapted(self) -> ImageModel:
        """The model with the posterior that the objective gives it."""
        return adapted(self.model, self.estimation.the_objective)

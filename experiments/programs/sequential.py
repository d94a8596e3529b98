"""Models of series as programs: the ELBO of series seen in part, and what is asked of the rest."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch
from matplotlib.figure import Figure
from torch import Tensor

from jensen.core import keys, trees
from jensen.core.contracts import Key, can
from jensen.core.models.latent.series import Inferred, LatentSeriesModel, Series, SeriesModel, observed_log_prob
from jensen.core.trees import Params, Tree
from jensen.estimators.evidence import importance
from jensen.experiments.data.batches import Epochs
from jensen.experiments.data.irregular import Asked, irregular
from jensen.experiments.programs.one_turn import OneTurn
from jensen.experiments.report import series as report
from jensen.experiments.run.optimisers import Optimiser
from jensen.experiments.run.program import Batch, Finding, Out, Schedule, Weights
from jensen.experiments.run.schedules import warmup

SAMPLES = 100  # of the posterior, for predictions and bounds on test data
EVIDENCE = 200  # of importance sampling, for each test series


@dataclass(frozen=True)
class SeriesProgram(OneTurn):
    """One turn over the model, without a state."""

    model: SeriesModel
    batches: Epochs
    optimiser: Optimiser = Optimiser()
    k: int = 1  # samples of the posterior for each series and step
    warmup: int = 0  # steps over which the KL's weight rises from 0 to 1
    title: str = "series"  # of the report
    time: str = "time"  # the name of the figure's axis

    @property
    def schedules(self) -> Mapping[str, Schedule]:
        return {"kl": lambda step: warmup(step, 1.0, self.warmup)} if self.warmup else {}

    def init(self, key: Key, data: Series, /) -> tuple[Params, Tree]:
        return {"model": self.model.init(key, data)}, {}

    def loss(self, params: Params, state: Tree, batch: Batch, key: Key, weights: Weights) -> Out:
        """Minus the mean ELBO of a random share of each series' observations, so that q is learned for any of them."""
        mask_key, infer_key = keys.split(key)
        x = irregular(mask_key, batch["data"])
        reconstruction, kl = terms(self.model.infer(params["model"], x, infer_key, self.k), x)
        loss = (weights["kl"] * kl if weights else kl) - reconstruction
        named = {"objective": reconstruction - kl, "reconstruction": reconstruction, "kl": kl}
        return Out(loss.mean(), named, state)

    def score(self, params: Params, state: Tree, batch: Series, key: Key, /) -> Tensor:
        """The ELBO of all that is observed."""
        reconstruction, kl = terms(self.model.infer(params["model"], batch, key, self.k), batch)
        return reconstruction - kl

    @torch.no_grad()
    def figures(self, params: Params, state: Tree, data: Asked, key: Key, /) -> dict[str, Figure]:
        few = trees.map(lambda t: t[: report.DRAWN], data)
        inferred = self.model.infer(params["model"], few.given(), key, SAMPLES)
        return {"series": report.figure(inferred.p, few, self.time)}

    @torch.no_grad()
    def report(self, params: Params, state: Tree, data: Asked, key: Key, /) -> list[Finding]:
        """The bound of what is seen, its evidence where latents have densities, the KL by part, and answers."""
        seen = data.given()
        inferred = self.model.infer(params["model"], seen, key, SAMPLES)
        reconstruction, kl = terms(inferred, seen)
        bound = {"ELBO of the seen": reconstruction - kl, "reconstruction": reconstruction, "KL": kl}
        return [
            Finding("what", [], f"{self.title}: {len(kl)} test series, errors of means over them\n"),
            report.means("bound", bound, "nats"),
            *self.evidence(params["model"], seen, keys.fold_in(key, 1)),
            report.by_part(inferred.kl),
            report.answers(inferred.p, data),
        ]

    def evidence(self, params: Params, x: Series, key: Key) -> list[Finding]:
        """By importance sampling; nothing where no latents have densities."""
        if not can(self.model, LatentSeriesModel):
            return []
        log_p, q = partial(self.model.log_joint, params, x), self.model.posterior(params, x)
        return [report.of_evidence(importance(log_p, q, key, EVIDENCE))]


def terms(inferred: Inferred, x: Series) -> tuple[Tensor, Tensor]:
    """The reconstruction and the KL of an ELBO, in nats per series: (n,) each."""
    return observed_log_prob(inferred.p, x).mean(0), inferred.kl.sum(-1)

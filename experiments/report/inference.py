"""Where a posterior loses its nats: to its encoder (amortisation), or to its family (approximation)."""

from dataclasses import asdict, dataclass
from functools import partial
from typing import NamedTuple

from torch import Tensor

from jensen.core import flows, keys
from jensen.core.contracts import Distribution, Estimate, Key, LatentModel
from jensen.core.distributions import Pushforward
from jensen.core.trees import Params
from jensen.estimators.diagnostics import Gaps, inference_gaps
from jensen.experiments.report.chunks import average
from jensen.experiments.run.program import Row


@dataclass(frozen=True)
class Fit:
    """How q's best relative is looked for, by Adam for each datum."""

    steps: int
    lr: float


OWN = Fit(steps=500, lr=0.02)  # either is within 0.03 nats of twice its steps on the digits' VAE
FLOW = Fit(steps=1000, lr=0.01)


class Inference(NamedTuple):
    """Of n images: what log p(x) was taken to be, by which estimate, and the gaps below it, in nats per datum."""

    log_p: Tensor  # (n,)
    source: str
    own: Gaps  # to the best of q's own family
    flow: Gaps

    def losses(self) -> dict[str, Tensor]:
        """log p(x) - ELBO (n,) of the best flow, the best of q's family and the encoder's q."""
        return {
            "flow": self.flow.approximation,
            "family": self.own.approximation,
            "encoder": self.own.approximation + self.own.amortisation,
        }

    def means(self) -> Row:
        """Over images."""
        losses = {name: loss.mean().item() for name, loss in self.losses().items()}
        return {"images": len(self.log_p), "log_p": self.log_p.mean().item(), "source": self.source, **losses}

    def verdict(self) -> str:
        flow, family, encoder = (loss.mean().item() for loss in self.losses().values())
        amortised = with_error(self.own.amortisation, self.own.amortisation_error)
        approximated = with_error(self.own.approximation, self.own.approximation_error)
        return (
            f"on {len(self.log_p)} images: log p(x) {self.log_p.mean().item():.2f} (an estimate, by {self.source}), "
            f"best flow {-flow:+.2f}, best of q's family {-family:+.2f}, encoder {-encoder:+.2f} nats: {amortised} are "
            f"the encoder's (amortisation) and {approximated} the family's (approximation), of which the flow wins "
            f"{family - flow:.3f} back"
        )


def with_error(gap: Tensor, error: Tensor) -> str:
    """The mean over images ± its Monte Carlo error."""
    mean, error_of_mean = average(gap, error)
    return f"{mean:.3f} ± {error_of_mean:.3f}"


def inference(
    model: LatentModel, params: Params, x: Tensor, importance: Estimate, annealed: Estimate, key: Key
) -> Inference:
    """The gaps of images x (n, D), the first ones of the two estimates; the larger one on average is nearer log p(x).

    Both estimates are below log p(x) on average, so that the approximation gaps are too small by what they lack, and
    too large by what the fits lack.
    """
    own_key, flow_key, fit_key = keys.split(key, 3)
    q, log_p = model.posterior(params, x), partial(model.log_joint, params, x)
    sides = {"importance sampling": importance.log_p[: len(x)], "annealing": annealed.log_p[: len(x)]}
    source = max(sides, key=lambda name: sides[name].mean().item())
    start = pushed_forward(q, flow_key, x)
    return Inference(
        sides[source],
        source,
        inference_gaps(log_p, q, sides[source], own_key, **asdict(OWN)),
        inference_gaps(log_p, q, sides[source], fit_key, start, **asdict(FLOW)),
    )


def pushed_forward(q: Distribution, key: Key, x: Tensor) -> Pushforward:
    """q through couplings of each datum's own, which start as the identity."""
    d = q.sample(q.noise(keys.fold_in(key, 0), 1)).shape[-1]
    return Pushforward(q, flows.real_nvp(key, d, n=len(x), dtype=x.dtype))

"""Where a VAE's posterior loses its nats: to its encoder (amortisation), or to its family (approximation)."""

from functools import partial
from typing import Any, NamedTuple

from torch import Tensor

from jensen.core import flows, keys
from jensen.core.distributions import Pushforward
from jensen.core.models.vae import VAE
from jensen.core.trees import Params
from jensen.estimators.diagnostics import Gaps, inference_gaps
from jensen.estimators.evidence import Annealed, Evidence
from jensen.experiments.evaluation import average

MEAN_FIELD = {"steps": 500, "lr": 0.02}  # either is within 0.03 nats of twice its steps on the digits' VAE
FLOW = {"steps": 1000, "lr": 0.01}


class Inference(NamedTuple):
    """Of n images: what log p(x) was taken to be, by which estimate, and the gaps below it, in nats per datum."""

    log_p: Tensor  # (n,)
    source: str
    mean_field: Gaps
    flow: Gaps

    def losses(self) -> dict[str, Tensor]:
        """log p(x) - ELBO (n,) of the best flow, the best mean-field q and the encoder's."""
        return {
            "flow": self.flow.approximation,
            "mean_field": self.mean_field.approximation,
            "encoder": self.mean_field.approximation + self.mean_field.amortisation,
        }

    def means(self) -> dict[str, Any]:
        """As JSON values, over images."""
        return {"images": len(self.log_p), "log_p": self.log_p.mean().item(), "source": self.source} | {
            name: loss.mean().item() for name, loss in self.losses().items()
        }

    def verdict(self) -> str:
        mean, gaps = self.means(), self.mean_field
        own = told(gaps.amortisation, gaps.amortisation_error)
        family = told(gaps.approximation, gaps.approximation_error)
        return (
            f"on {mean['images']} images: log p(x) {mean['log_p']:.2f} (an estimate, by {self.source}), best flow "
            f"{-mean['flow']:+.2f}, best mean-field {-mean['mean_field']:+.2f}, encoder {-mean['encoder']:+.2f} nats: "
            f"{own} are the encoder's (amortisation) and {family} the family's (approximation), of which the flow wins "
            f"{mean['mean_field'] - mean['flow']:.3f} back"
        )


def told(gap: Tensor, error: Tensor) -> str:
    """The mean over images ± its Monte Carlo error."""
    mean, error_of_mean = average(gap, error)
    return f"{mean:.3f} ± {error_of_mean:.3f}"


def inference(
    model: VAE, params: Params, x: Tensor, importance: Evidence, annealed: Annealed, key: Tensor
) -> Inference:
    """The gaps of images x (n, D), the first ones of the two estimates; the larger one on average is nearer log p(x).

    Both estimates are below log p(x) on average, so that the approximation gaps are too small by what they lack, and
    too large by what the fits lack.
    """
    means, flow, judged = keys.split(key, 3)
    q, log_p = model.posterior(params["encoder"], x), partial(model.log_joint, params["decoder"], x)
    sides = {"importance sampling": importance.log_p[: len(x)], "annealing": annealed.log_p[: len(x)]}
    source = max(sides, key=lambda name: sides[name].mean().item())
    start = Pushforward(q, flows.real_nvp(flow, model.latent, n=len(x), dtype=q.loc.dtype))
    return Inference(
        sides[source],
        source,
        inference_gaps(log_p, q, sides[source], means, **MEAN_FIELD),
        inference_gaps(log_p, q, sides[source], judged, start, **FLOW),
    )

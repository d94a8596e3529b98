"""The inference gap in nats per datum, as that of the encoder (amortisation) and of the family (approximation)."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from functools import partial
from typing import NamedTuple

from torch import Tensor

from jensen.core import flows, keys, trees
from jensen.core.contracts import Amortised, Distribution, Estimate, Flow, Key, LatentModel, can
from jensen.core.distributions import Pushforward
from jensen.core.trees import Params
from jensen.estimators.diagnostics import Amortisation, Gaps, inference_gaps
from jensen.estimators.evidence import draw
from jensen.experiments.report.chunks import average
from jensen.experiments.report.encoder import SAMPLES, Fit, TrainingData, parts, refined
from jensen.experiments.report.outputs import own
from jensen.experiments.report.shared import over_data
from jensen.experiments.run.program import Row
from jensen.experiments.run.ranks import Ranks

OWN = Fit(steps=500, lr=0.02)  # either is within 0.03 nats of twice its steps on the digits' VAE
FLOW = Fit(steps=1000, lr=0.01)


class Inference(NamedTuple):
    """Of n images: what log p(x) was taken to be, by which estimate, and the gaps below it, in nats per datum."""

    log_p: Tensor  # (n,)
    source: str
    own: Gaps  # to the best of q's own family
    flow: Gaps
    refined: dict[int, Tensor]  # by the number of steps from the encoder's q, what these leave of own.amortisation
    parts: Amortisation | None  # of own.amortisation, where the training data are known

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
        left = {f"amortisation_after_{steps}_steps": gap.mean().item() for steps, gap in self.refined.items()}
        parts = {} if self.parts is None else {name: part.item() for name, part in self.parts._asdict().items()}
        log_p = self.log_p.mean().item()
        return {"images": len(self.log_p), "log_p": log_p, "source": self.source, **losses, **left, **parts}

    def verdict(self) -> str:
        flow, family, encoder = (loss.mean().item() for loss in self.losses().values())
        amortised = with_error(self.own.amortisation, self.own.amortisation_error)
        approximated = with_error(self.own.approximation, self.own.approximation_error)
        return (
            f"on {len(self.log_p)} images: log p(x) {self.log_p.mean().item():.2f} (an estimate, by {self.source}), "
            f"best flow {-flow:+.2f}, best of q's family {-family:+.2f}, encoder {-encoder:+.2f} nats: {amortised} are "
            f"the encoder's (amortisation) and {approximated} the family's (approximation), of which the flow wins "
            f"{family - flow:.3f} back{self.of_steps()}{self.of_parts()}"
        )

    def of_steps(self) -> str:
        if not self.refined:
            return ""
        left = joined([f"{gap.mean().item():.3f}" for gap in self.refined.values()])
        return f". {joined(map(str, self.refined))} steps of each image's own from the encoder's q leave {left} of that"

    def of_parts(self) -> str:
        return "" if self.parts is None else f". With as many training images, {self.parts.verdict()}"


def joined(words: Iterable[str]) -> str:
    """a, b and c."""
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def with_error(gap: Tensor, error: Tensor) -> str:
    """The mean over images ± its Monte Carlo error."""
    mean, error_of_mean = average(gap, error)
    return f"{mean:.3f} ± {error_of_mean:.3f}"


def inference(
    model: LatentModel,
    params: Params,
    x: Tensor,
    importance: Estimate,
    annealed: Estimate,
    key: Key,
    refine: Sequence[int] = (),
    data: TrainingData | None = None,
    encoder_steps: int = 0,
    ranks: Ranks | None = None,
) -> Inference:
    """The gaps of images x (n, D), the first ones of the two estimates; the larger one on average is nearer log p(x).

    Of a model whose q has an encoder's outputs, the amortisation gap after `refine` steps too, and its parts, from
    training data and `encoder_steps` more steps of training.

    Both estimates are below log p(x) on average, so that the approximation gaps are too small by what they lack, and
    too large by what the fits lack. Of several ranks each calls it with the same arguments, and all get the same: a q
    without an encoder's outputs has networks too, which are all images' and fitted by each rank.
    """
    ranks = ranks or Ranks()
    of_fits = ranks if can(model, Amortised) else Ranks()
    own_key, flow_key, fit_key = keys.split(key, 3)
    sides = {"importance sampling": importance.log_p[: len(x)], "annealing": annealed.log_p[: len(x)]}
    source = max(sides, key=lambda name: sides[name].mean().item())
    identity = couplings(own(model, params, x), flow_key, x)

    def of(places: slice, key: Key, flow: tuple[Flow, ...] | None, fit: Fit) -> Gaps:
        log_p, q = partial(model.log_joint, params, x[places]), own(model, params, x[places])
        start = None if flow is None else Pushforward(q, trees.map(lambda t: t[places], flow))
        return inference_gaps(log_p, q, sides[source][places], key, start, **asdict(fit))

    gaps = over_data(partial(of, flow=None, fit=OWN), len(x), own_key, of_fits)
    flow = over_data(partial(of, flow=identity, fit=FLOW), len(x), fit_key, of_fits)
    left, of_encoder = {}, None
    if can(model, Amortised):
        steps_key, judging, parts_key = keys.split(keys.fold_in(key, 3), 3)

        def after(places: slice, key: Key, steps: int) -> Tensor:
            q = refined(model, params, x[places], steps, steps_key)  # whose noise is the same for all data
            return draw(partial(model.log_joint, params, x[places]), q, SAMPLES, key).mean(0)

        for steps in refine:
            left[steps] = gaps.best - over_data(partial(after, steps=steps), len(x), judging, ranks)
        if data is not None and encoder_steps:
            of_encoder = parts(model, params, data, gaps.amortisation, OWN, encoder_steps, parts_key, ranks)
    return Inference(sides[source], source, gaps, flow, left, of_encoder)


def couplings(q: Distribution, key: Key, x: Tensor) -> tuple[Flow, ...]:
    """Of each datum's own draws of q, (n, ...) fields; they start as the identity."""
    d = q.sample(q.noise(keys.fold_in(key, 0), 1)).shape[-1]
    return flows.real_nvp(key, d, n=len(x), dtype=x.dtype)

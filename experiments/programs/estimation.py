"""What a latent-variable model is trained by: a bound and an estimator of its gradient, or an objective."""

import difflib
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from torch import Tensor

from jensen.core import bounds, objectives
from jensen.core.contracts import Bound, ClosedForm, Dimensional, Distribution, Key, Temperable, can
from jensen.core.objectives import Objective
from jensen.estimators.gradients import baselines, catalogue
from jensen.experiments.run.errors import InputError, option
from jensen.experiments.run.program import Schedule, Weights
from jensen.experiments.run.schedules import cyclical, geometric, warmup

BASELINES = {"none": baselines.none, "leave-one-out": baselines.leave_one_out, "vimco": baselines.vimco}

ONE_SIDED = ("wake_theta", "wake_phi")  # leave the posterior, or the model, as it is
OFFERED = [name for name in catalogue.ROWS if name not in ("sum_and_sample", *ONE_SIDED)]


@dataclass(frozen=True)
class Estimation:
    """Bound, objective, estimator, and the schedules of their weights."""

    bound: str = "elbo"
    """What is maximised: elbo, iwae, renyi(alpha), vr-max, tvo(intervals), miwae(m, k), ciwae(beta), jackknife(m),
    sumo(first), csiszar(generator), tail-adaptive(beta); or cubo(n), which the posterior minimises while the model
    maximises iwae."""
    objective: str = "elbo"
    """In place of a bound, the ELBO's two terms under other weights: beta(weight), capacity(weight, target),
    free-bits(floor), free-bits-per-datum(floor), geco(target), committed(rate), beta-tc(beta)."""
    k: int = 1
    """Samples per datum and step."""
    estimator: str = "auto"
    """Of the gradient: a name of the catalogue, with dashes. auto: for posteriors with a path, analytic-kl (elbo and
    objectives, where the KL has a closed form), dreg (tail-adaptive) or pathwise; for others score."""
    baseline: Literal["auto", "none", "leave-one-out", "vimco", "nvil"] = "auto"
    """What score subtracts; nvil learns a network. auto: leave-one-out, or none for --k 1."""
    learned_lr: float | None = None
    """The learning rate of what the estimator learns beside the model (nvil, relax); the model's unless given."""
    temperature: float = 0.5
    """Of concrete, gumbel-straight-through and rebar, and where that of relax starts."""
    temperature_final: float | None = None
    """What that falls to, geometrically, by the last step; it stays unless given."""
    kl_warmup: int = 0
    """Steps over which the KL's weight rises linearly from 0 to 1."""
    kl_delay: int = 0
    """Steps before that, at 0."""
    kl_cycles: int = 0
    """Cycles of that weight over the run, each of which rises over its first half, instead of one warm-up."""
    capacity_warmup: int = 0
    """Steps over which the target of capacity rises from 0."""
    posterior_temperature: float = 1.0
    """T, where training starts: the model's density counts as its T-th root, and T goes to 1 by the last step."""
    encoder_temperature: float = 1.0
    """The same of q: samples are those of q^(1 / T), whose bound is one too, and which sees more of z at the start."""

    def check(self) -> None:
        """Raises an InputError for what cannot work."""
        least = {"k": 1, "kl_warmup": 0, "kl_delay": 0, "kl_cycles": 0, "capacity_warmup": 0}
        for name, low in least.items():
            if not low <= getattr(self, name) < 2**31:
                raise InputError(f"expected {option(name)} of at least {low}, got {getattr(self, name)}")
        for name in ("temperature", "temperature_final", "posterior_temperature", "encoder_temperature", "learned_lr"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise InputError(f"expected a positive {option(name)}, got {value}")
        if self.kl_cycles and (self.kl_warmup or self.kl_delay):
            raise InputError("--kl-cycles is a schedule of its own: leave out --kl-warmup and --kl-delay")
        if self.weighs_terms and self.the_bound != bounds.elbo:
            raise InputError(f"--objective {self.objective} replaces the bound: leave out --bound {self.bound}")
        if self.capacity_warmup and not self.objective.startswith("capacity"):
            raise InputError("--capacity-warmup is for --objective capacity(weight, target): leave it out")
        if self.weighs_terms and self.posterior_temperature != 1:
            raise InputError("--posterior-temperature is for bounds: leave out --objective")
        if self.name not in ("auto", *OFFERED):
            near = difflib.get_close_matches(self.name, OFFERED, n=1)
            hint = f": the nearest is {near[0].replace('_', '-')}" if near else ""
            offered = ", ".join(name.replace("_", "-") for name in OFFERED)
            raise InputError(f"expected --estimator of auto, {offered}, got {self.estimator}{hint}")
        if isinstance(self.the_bound, bounds.Sumo) and self.k <= self.the_bound.first:
            raise InputError(f"--bound {self.bound} needs --k above {self.the_bound.first}, got {self.k}")

    @cached_property
    def the_bound(self) -> Bound:
        return spelled(bounds.parse, "bound", self.bound)

    @cached_property
    def the_objective(self) -> Objective:
        return spelled(objectives.parse, "objective", self.objective)

    @property
    def weighs_terms(self) -> bool:
        """Whether an objective, and no bound, is asked for."""
        return self.the_objective != objectives.parse("elbo")

    @property
    def name(self) -> str:
        """The estimator as the catalogue has it, or "auto"."""
        return self.estimator.replace("-", "_")

    def chosen(self, q: Distribution) -> str:
        """The catalogue's name of the estimator for a posterior. InputError where they do not go together."""
        name, bound = self.name, self.the_bound
        if name == "auto":
            of_terms = self.weighs_terms or (bound == bounds.elbo and self.posterior_temperature == 1)
            closed = of_terms and can(q, ClosedForm)
            paths = "analytic_kl" if closed else "dreg" if isinstance(bound, bounds.TailAdaptive) else "pathwise"
            name = paths if q.reparameterised else "score"
        row = catalogue.ROWS[name]
        if self.weighs_terms and q.reparameterised and name != ("analytic_kl" if can(q, ClosedForm) else "pathwise"):
            raise InputError(
                f"--objective {self.objective} has its KL in closed form where there is one, and one that follows the "
                f"samples' paths where there is none, and --estimator {self.estimator} does not: leave --estimator out"
            )
        whole = isinstance(self.the_objective, objectives.Beta | objectives.Capacity | objectives.Geco)
        if self.weighs_terms and q.reparameterised and not (whole or can(q, Dimensional)):
            raise InputError(
                f"--objective {self.objective} needs a KL by dimension, and a {type(q).__name__} has none: "
                "choose beta, capacity or geco, or --posterior diag"
            )
        if self.baseline != "auto" and not row.baseline:
            raise InputError(
                f"--baseline {self.baseline} is for --estimator score, and {name} takes none: leave one of them out"
            )
        if self.temperature != Estimation.temperature and not (row.temperature or name == "relax"):
            raise InputError(f"--estimator {name.replace('_', '-')} has no --temperature: leave it out")
        if self.temperature_final is not None and not row.temperature:
            raise InputError(f"--estimator {name.replace('_', '-')} has no --temperature-final: leave it out")
        if self.learned_lr is not None and not (name == "relax" or self.the_baseline == "nvil"):
            raise InputError("--learned-lr is for --baseline nvil and --estimator relax: leave it out, or pass --lr")
        if self.encoder_temperature != 1 and not can(q, Temperable):
            raise InputError(
                f"--encoder-temperature {self.encoder_temperature:g} needs a q with a closed form of q^(1 / T), and a "
                f"{type(q).__name__} has none: leave it out, or choose --posterior diag, full or low-rank"
            )
        try:
            catalogue.check(name, q, bound, self.k)
        except (TypeError, ValueError) as error:
            raise InputError(f"--estimator {name.replace('_', '-')}: {error}") from error
        return name

    @property
    def the_baseline(self) -> str:
        automatic = "leave-one-out" if self.k > 1 else "none"
        return automatic if self.baseline == "auto" else self.baseline

    def schedules(self, total: int) -> dict[str, Schedule]:
        """Of the numbers that the losses take, but for those that never move. InputError for cycles that are none."""
        found: dict[str, Schedule] = {}
        if self.kl_cycles > total / 2:
            raise InputError(f"--kl-cycles {self.kl_cycles} exceeds half of the {total} steps: a cycle needs two")
        if self.kl_cycles:
            found["kl"] = lambda step: cyclical(step, 1.0, total, self.kl_cycles)
        elif self.kl_warmup or self.kl_delay:
            found["kl"] = lambda step: warmup(step, 1.0, self.kl_warmup, self.kl_delay)
        if self.capacity_warmup:
            found["capacity"] = lambda step: warmup(step, 1.0, self.capacity_warmup)
        if self.temperature_final is not None:
            final = self.temperature_final
            found["temperature"] = lambda step: geometric(step, self.temperature, final, total)
        if self.posterior_temperature != 1:
            found["posterior_temperature"] = lambda step: geometric(step, self.posterior_temperature, 1.0, total)
        if self.encoder_temperature != 1:
            found["encoder_temperature"] = lambda step: geometric(step, self.encoder_temperature, 1.0, total)
        return found

    def options(self, name: str, weights: Weights) -> dict[str, object]:
        """What the estimator of a name takes beside the bound."""
        row, found = catalogue.ROWS[name], {}
        if row.temperature:
            found["temperature"] = weights.get("temperature", self.temperature)
        if row.baseline and self.the_baseline != "nvil":
            found["baseline"] = BASELINES[self.the_baseline]
        return found

    def bound_at(self, key: Key, n: int) -> Bound:
        """The bound of one step: SUMO's roulette is drawn anew."""
        bound = self.the_bound
        return Drawn(bound, bound.draw(key, n)) if isinstance(bound, bounds.Sumo) else bound

    @property
    def words(self) -> str:
        """How what is maximised differs from the ELBO or IWAE, in words; "" where it does not."""
        parts = {
            f"objective {self.objective}": self.weighs_terms,
            f"bound {self.bound}": self.the_bound not in (bounds.elbo, bounds.iwae),
            f"KL warm-up over {self.kl_warmup} steps": self.kl_warmup,
            f"{self.kl_cycles} KL cycles": self.kl_cycles,
            f"posterior temperature from {self.posterior_temperature:g}": self.posterior_temperature != 1,
            f"encoder temperature from {self.encoder_temperature:g}": self.encoder_temperature != 1,
        }
        return ", ".join(part for part, differs in parts.items() if differs)


@dataclass(frozen=True)
class Drawn:
    """SUMO with its roulettes, which end where the samples do, so that their mean is IWAE's at as many."""

    bound: bounds.Sumo
    terms: Tensor  # (n,)

    def __call__(self, log_w: Tensor, /) -> Tensor:
        """log_w (s, n), or (s, m n) of m parts of the same data, as baselines have it."""
        terms = self.terms.clamp_max(len(log_w) - self.bound.first)
        return self.bound(log_w, terms.repeat(log_w.shape[1] // len(terms)))


def spelled(parse, kind: str, text: str):
    """The value that an option spells. InputError with the ways to spell it."""
    try:
        return parse(text)
    except ValueError as error:
        raise InputError(f"--{kind} {text}: {error}") from error

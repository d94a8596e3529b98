"""The catalogue of gradient estimators: one row each, what it needs, accepts, costs and promises; and its checks.

Estimators, command lines, tables and tests read these facts here alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import bounds, trees
from jensen.core.bounds.derivatives import check_bound
from jensen.core.checks import check_choice, check_count, check_distribution
from jensen.core.contracts import Bound, ClosedForm, Distribution, Enumerable, MeasureValued, Relaxable, can
from jensen.core.distributions import Bernoulli, Categorical, Joint
from jensen.estimators.gradients.contract import additive, check_independent


@dataclass(frozen=True)
class Need:
    """A requirement on q, in words and as a predicate."""

    words: str
    met: Callable[[Distribution], bool]


@dataclass(frozen=True)
class Row:
    """An estimator, or a baseline of `score`.

    q            the requirement on q
    bounds       any; additive: the ELBO, however it is written; smooth: any that is twice differentiable; several: any
                 but the ELBO, of two samples or more
    samples      the least number, 0 where none are drawn
    evaluations  of log_p, per sample, for an event of d components of k values
    unbiased     when, for theta (the parameters of log_p) and phi (those of q)
    relaxes      whether log_p is evaluated between q's values, or differentiated at them
    temperature  whether `temperature` is an option
    baseline     whether `baseline` is an option
    learns       what has parameters beside theta and phi
    instead      the alternative where the bound or the number of samples does not fit
    """

    q: Need
    paper: str
    bounds: Literal["any", "additive", "smooth", "several"] = "any"
    samples: int = 1
    evaluations: str = "1"
    unbiased: str = "always"
    relaxes: bool = False
    temperature: bool = False
    baseline: bool = False
    learns: str = ""
    instead: str = "score with a baseline"


def _a_row_per_datum(q: Distribution) -> bool:
    fields = trees.leaves(q)
    return bool(fields) and all(t.ndim > 1 and len(t) == len(fields[0]) for t in fields)


ANY = Need("a q with a log density", lambda q: True)
PATH = Need("a reparameterised q", lambda q: q.reparameterised)
KL = Need("a reparameterised q with a KL in closed form", lambda q: q.reparameterised and can(q, ClosedForm))
RELAXABLE = Need("a discrete q that can be relaxed", lambda q: can(q, Relaxable))
ENUMERABLE = Need("a discrete q whose values can be enumerated", lambda q: can(q, Enumerable))
BERNOULLI = Need("a Bernoulli q", lambda q: isinstance(q, Bernoulli))
CATEGORICAL = Need("a categorical q", lambda q: isinstance(q, Categorical))
MEASURES = Need("a q with weak derivatives", lambda q: can(q, MeasureValued))
ROWS_OF_DATA = Need("a q whose every field has a row per datum", _a_row_per_datum)

ROWS: dict[str, Row] = {
    "pathwise": Row(PATH, "Kingma and Welling, 2014; Burda et al., 2016"),
    "analytic_kl": Row(KL, "Kingma and Welling, 2014", "additive", instead="pathwise"),
    "stl": Row(PATH, "Roeder et al., 2017", "additive", instead="dreg"),
    "dreg": Row(PATH, "Tucker et al., 2019; Bauer and Mnih, 2021", "smooth", instead="pathwise"),
    "score": Row(ANY, "Williams, 1992; Mnih and Rezende, 2016", baseline=True),
    "vargrad": Row(ANY, "Richter et al., 2020", "additive", 2, instead="score"),
    "muprop": Row(RELAXABLE, "Gu et al., 2016", "additive", evaluations="1, and 1 at the mean", relaxes=True),
    "rebar": Row(RELAXABLE, "Tucker et al., 2017", "additive", evaluations="2", relaxes=True, temperature=True),
    "relax": Row(RELAXABLE, "Grathwohl et al., 2018", "additive", learns="its control variate"),
    "arm": Row(BERNOULLI, "Yin and Zhou, 2019", "additive", evaluations="2"),
    "disarm": Row(BERNOULLI, "Dong et al., 2020; Yin et al., 2020", "additive", evaluations="2"),
    "arsm": Row(CATEGORICAL, "Yin et al., 2019", "additive", evaluations="k (k − 1) / 2 + 1"),
    "measure_valued": Row(
        MEASURES, "Pflug, 1996; Rosca et al., 2019", "additive", evaluations="2 d + 1, of a normal 3 d + 1"
    ),
    "exact": Row(ENUMERABLE, "", "additive", 0, evaluations="one per value", unbiased="always, without noise"),
    "sum_and_sample": Row(ENUMERABLE, "Liu et al., 2019", "additive", evaluations="1, and one per value summed"),
    "straight_through": Row(
        RELAXABLE, "Bengio et al., 2013", unbiased="for theta; for phi where log_w is linear in z", relaxes=True
    ),
    "concrete": Row(
        RELAXABLE, "Maddison et al., 2017; Jang et al., 2017", evaluations="2",
        unbiased="for theta; for phi as the temperature tends to 0", relaxes=True, temperature=True,
    ),
    "gumbel_straight_through": Row(
        RELAXABLE, "Jang et al., 2017", unbiased="for theta; for phi never", relaxes=True, temperature=True
    ),
    "wake": Row(
        ANY, "Bornschein and Bengio, 2015; Le et al., 2019", "several", 2, unbiased="for theta; for phi as s → ∞",
        instead="score, or sleep_phi",
    ),
    "wake_theta": Row(ANY, "Bornschein and Bengio, 2015", unbiased="for theta; phi has no gradient"),
    "wake_phi": Row(
        ANY, "Bornschein and Bengio, 2015; Le et al., 2019", "several", 2,
        unbiased="as s → ∞, for the inclusive KL; theta has no gradient", instead="score, or sleep_phi",
    ),
}  # fmt: skip

BASELINES: dict[str, Row] = {
    "none": Row(ANY, "Williams, 1992"),
    "leave_one_out": Row(
        ANY, "Salimans and Knowles, 2014; Kool et al., 2019", samples=2, instead="RunningMean, Learned or none"
    ),
    "vimco": Row(ANY, "Mnih and Rezende, 2016", samples=2, instead="RunningMean, Learned or none"),
    "optimal": Row(ROWS_OF_DATA, "Ranganath et al., 2014", "additive", 2, instead="leave_one_out or vimco"),
    "RunningMean": Row(ANY, "Williams, 1992"),
    "Learned": Row(ANY, "Mnih and Gregor, 2014", learns="its prediction of the bound"),
}

TAKES = {
    "any": "any bound",
    "additive": "the ELBO",
    "smooth": "any twice differentiable bound",
    "several": "any bound but the ELBO",
}


def check(name: str, q: Distribution, bound: Bound | None = None, s: int | None = None, n: int = 1) -> None:
    """Raises before sampling where the estimator of this name does not apply, and names one that does.

    TypeError for q, and for a bound that is no function; ValueError for a bound that it does not accept at n data, and
    for too few samples; without bound and s q alone is checked. Whether a function that is no `Derivatives` is the ELBO
    cannot be decided under torch.compile: the value is NaN if it is not.
    """
    check_choice("name", name, tuple(ROWS))
    check_distribution("q", q)
    row = ROWS[name]
    if not row.q.met(q):
        raise TypeError(f"{name} needs {row.q.words}, got {type(q).__name__}: use {suited(q)}")
    if bound is not None or s is not None:
        _check_bound(name, row, q, bound, s if row.samples else None, n)


def check_baseline(name: str, q: Distribution | None, bound: Bound, s: int, n: int = 1) -> None:
    """`check` for a baseline of `score`."""
    check_choice("name", name, tuple(BASELINES))
    row = BASELINES[name]
    if q is not None:
        check_distribution("q", q)
    if q is not None and not row.q.met(q):
        raise TypeError(f"{name} needs {row.q.words}, got {type(q).__name__}: use leave_one_out")
    _check_bound(name, row, q, bound, s, n)


def suited(q: Distribution) -> str:
    """The estimators to suggest for q."""
    check_distribution("q", q)
    if q.reparameterised:
        return "pathwise, stl or dreg"
    if isinstance(q, Joint):
        return "mixed, or score with a baseline"
    if isinstance(q, Bernoulli):
        return "disarm, or score with a baseline"
    if isinstance(q, Categorical):
        return "arsm, or score with a baseline"
    return "exact, or score with a baseline" if can(q, Enumerable) else "score with a baseline"


def table() -> str:
    """The estimators as a table in Markdown."""
    lines = ["| | q | bound | unbiased | evaluations of log p per sample | paper |", "|---|---|---|---|---|---|"]
    for name, row in ROWS.items():
        bound = TAKES[row.bounds] + (f", {row.samples} samples or more" if row.samples > 1 else "")
        cells = (f"`{name}`", row.q.words, bound, row.unbiased, row.evaluations, row.paper)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _check_bound(name: str, row: Row, q: Distribution | None, bound: Bound | None, s: int | None, n: int) -> None:
    if s is not None:
        s = check_count("s", s, 0)
    if s is not None and s < row.samples:
        raise ValueError(f"{name} needs at least {row.samples} samples, got {s}: draw more, or use {row.instead}")
    bound = check_bound(bound)
    if row.bounds == "smooth" and bounds.vr_max == (bound.bound if isinstance(bound, bounds.Spread) else bound):
        raise ValueError(f"{name} needs {TAKES['smooth']}, and vr_max is not differentiable at ties: use {row.instead}")
    if row.bounds in ("additive", "several"):
        like = _like(q, s or 2, n)
        fits = additive(bound, like)
        if isinstance(fits, bool) and fits != (row.bounds == "additive"):
            check_independent(bound, like)
            raise ValueError(f"{name} needs {TAKES[row.bounds]}, got bound = {bound}: use {row.instead}")


def _like(q: Distribution | None, s: int, n: int) -> Float[Tensor, "s n"]:
    """Log weights of 0 in q's type."""
    field = next(iter(trees.leaves(q)), torch.zeros(())) if q is not None else torch.zeros(())
    return torch.zeros(s, n, dtype=field.dtype, device=field.device)

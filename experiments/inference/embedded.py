"""Data that need no file: public ones, those embedded in scikit-learn, and simulated ones of known parameters."""

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from jensen.core import keys
from jensen.core.models import bayes
from jensen.experiments.inference.tables import Table

SEED = 0  # of the simulated ones, which are the same for every seed of inference


def eight_schools() -> Table:
    """Effects of coaching in eight schools, and their standard errors (Rubin, 1981)."""
    y, sigma = [28, 8, -3, 7, -1, 1, 18, 12], [15, 10, 16, 11, 9, 11, 10, 18]
    return Table("eight schools", {"y": torch.tensor(y), "sigma": torch.tensor(sigma)})


def breast_cancer() -> Table:
    """569 tumours, 30 standardised features x, and y whether benign."""
    from sklearn.datasets import load_breast_cancer

    x, y = map(_wide, load_breast_cancer(return_X_y=True))
    return Table("breast cancer", {"x": _standard(x), "y": y})


def diabetes() -> Table:
    """442 patients, 10 features x and a score y of the disease a year later, all standardised."""
    from sklearn.datasets import load_diabetes

    x, y = map(_wide, load_diabetes(return_X_y=True))
    return Table("diabetes", {"x": _standard(x), "y": _standard(y)})


def iris() -> Table:
    """150 flowers of three kinds, standardised: y is the length of their petals, and x their four sizes."""
    from sklearn.datasets import load_iris

    x, _ = map(_wide, load_iris(return_X_y=True))
    return Table("iris", {"y": _standard(x[:, 2]), "x": _standard(x)})


def series() -> Table:
    """200 values of an AR(2) process, phi = (0.6, -0.3), about 1 with noise of 0.5."""
    theta = {"mu": 0.7, "phi": [0.6, -0.3], "sigma": 0.5}
    return _simulated("a simulated AR(2) series", bayes.autoregression(2), theta, {"y": torch.zeros(200)})


def returns() -> Table:
    """200 values of a GARCH(1, 1) process, alpha = (0.2, 0.3), beta = 0.5."""
    theta = {"mu": 0.0, "alpha0": 0.2, "shares": [0.3, 0.5, 0.2]}
    data = {"y": torch.zeros(200), "sigma0": torch.tensor(1.0)}
    return _simulated("a simulated GARCH series", bayes.garch(), theta, data)


def curve() -> Table:
    """40 noisy values of sin at points x between -3 and 3."""
    x = torch.linspace(-3, 3, 40, dtype=torch.float64)
    y = torch.sin(2 * x) + 0.2 * keys.normal(keys.key(SEED), (1, 40), torch.float64)[0]
    return Table("a noisy sine", {"x": x, "y": y})


def answers() -> Table:
    """60 persons' answers to 8 items."""
    model = bayes.item_response(60, 8)
    theta = {
        "mu_b": 0.0, "sigma_a": 0.4, "sigma_b": 1.0, "a": [0.7, 0.9, 1.0, 1.2, 1.5, 0.8, 1.1, 1.3],
        "b": torch.linspace(-1.5, 1.5, 8), "theta": keys.normal(keys.key(SEED), (1, 60), torch.float64)[0],
    }  # fmt: skip
    return _simulated("simulated answers", model, theta, {"y": torch.zeros(60, 8)})


def groups() -> Table:
    """Observations in eight groups of four to eleven, whose intercepts differ by 0.5."""
    group = torch.repeat_interleave(torch.arange(8), torch.arange(4, 12))
    alpha_key, x_key = keys.split(keys.key(SEED))
    x = keys.normal(x_key, (1, len(group)), torch.float64)[0]
    raw = keys.normal(alpha_key, (1, 8), torch.float64)[0]
    theta = {"mu": 1.0, "slope": -0.7, "tau": 0.5, "sigma": 0.6, "alpha_raw": raw}
    return _simulated("simulated groups", bayes.hierarchical_regression(8), theta, {"x": x, "group": group, "y": 0 * x})


EMBEDDED: dict[str, Callable[[], Table]] = {
    "eight-schools": eight_schools,
    "breast-cancer": breast_cancer,
    "diabetes": diabetes,
    "iris": iris,
    "series": series,
    "returns": returns,
    "curve": curve,
    "answers": answers,
    "groups": groups,
}


def _simulated(source: str, model: bayes.Model, theta: Mapping[str, object], data: Mapping[str, Tensor]) -> Table:
    assert model.simulate is not None
    wide = {name: torch.as_tensor(value, dtype=torch.float64) for name, value in theta.items()}
    typed = {name: t.double() if t.is_floating_point() else t for name, t in data.items()}
    return Table(source, model.simulate(keys.key(SEED + 1), wide, typed))


def _wide(array: object) -> Tensor:
    return torch.from_numpy(np.asarray(array)).double()


def _standard(t: Tensor) -> Tensor:
    scale = t.std(0, correction=0)
    return (t - t.mean(0)) / torch.where(scale > math.ulp(1.0), scale, 1.0)

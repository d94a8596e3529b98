"""The amortisation gap in three parts: what more training of the encoder wins, what a larger one would, and the rest.

Approximates  E gap(test) = E gap'(train) + E [gap - gap'](train) + [E gap(test) - E gap(train)]
                          = capacity      + optimisation          + generalisation
With          gap = ELBO(q*) - ELBO(q) of the encoder's q, q* the best of its family for each datum (`fit_each`), and
              gap' of the encoder after more training on the training data, with the decoder as it is
Requires      the three gaps, (n,) each, of data that were drawn and not chosen
Unbiased when always, as means over data; but training on that has not converged leaves a part of optimisation to
              capacity, and training on that overfits takes a part of capacity for optimisation
Cost          none of its own
Reference     Cremer et al., 2018; Wu et al., 2017
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.checks import check_floating
from jensen.estimators.wording import no_verdict

ADVICE = {
    "capacity": "a larger encoder gains most",
    "optimisation": "training the encoder for longer gains most, such as several of its steps to one of the decoder's",
    "generalisation": "more data, or an encoder that fits the training data less closely, gains most",
}


class Amortisation(NamedTuple):
    """Means over data in nats per datum, () each, with standard errors over data; the parts sum to `gap`."""

    gap: Float[Tensor, ""]  # on test data
    capacity: Float[Tensor, ""]
    optimisation: Float[Tensor, ""]
    generalisation: Float[Tensor, ""]
    gap_error: Float[Tensor, ""]
    capacity_error: Float[Tensor, ""]
    optimisation_error: Float[Tensor, ""]
    generalisation_error: Float[Tensor, ""]

    def verdict(self) -> str:
        """The parts in words, and what the largest of them asks for where it is one for sure."""
        values = torch.stack(list(self))
        if not values.isfinite().all():
            return no_verdict(~values.isfinite(), "numbers", "the three gaps")
        parts = {name: (getattr(self, name).item(), getattr(self, f"{name}_error").item()) for name in ADVICE}
        words = ", ".join(f"{name} {value:.3f} ± {error:.3f}" for name, (value, error) in parts.items())
        text = f"of the encoder's {self.gap:.3f} ± {self.gap_error:.3f} nats: {words}"
        (largest, (value, error)), (_, (second, second_error)), _ = sorted(parts.items(), key=lambda part: -part[1][0])
        if value <= 2 * error:
            return f"{text}; no part is 2 standard errors above 0"
        if value - second <= 2 * math.hypot(error, second_error):
            return f"{text}; more than one may be the largest, which more data may tell apart"
        return f"{text}; {ADVICE[largest]}"


def amortisation(
    test: Float[Tensor, " m"], train: Float[Tensor, " n"], trained_on: Float[Tensor, " n"]
) -> Amortisation:
    """The parts of the gaps of test data, of training data, and of the same training data after more training.

    ValueError for fewer than two data, whose spread is not known, and for gaps of other training data.
    """
    for name, gap in {"test": test, "train": train, "trained_on": trained_on}.items():
        check_floating(name, gap, "n", "one gap for each datum")
        if len(gap) < 2:
            raise ValueError(f"expected {name} of two data or more, got {len(gap)}: one says nothing of their spread")
    if len(train) != len(trained_on):
        raise ValueError(
            f"expected train and trained_on of the same data, got {len(train)} and {len(trained_on)}: "
            "one gap for each, before and after"
        )
    error = {name: _error(gap) for name, gap in {"test": test, "train": train, "on": trained_on}.items()}
    return Amortisation(
        test.mean(),
        trained_on.mean(),
        (train - trained_on).mean(),
        test.mean() - train.mean(),
        error["test"],
        error["on"],
        _error(train - trained_on),
        torch.hypot(error["test"], error["train"]),
    )


def _error(values: Tensor) -> Tensor:
    return values.std() / len(values) ** 0.5

"""Where a step went wrong: the term, the datum, the parameter and the step of the first value that is not finite."""

import torch
from torch import Tensor
from torch.func import grad

from jensen.core import trees
from jensen.core.models import Model
from jensen.core.trees import Params
from jensen.experiments.objectives import inputs, terms
from jensen.experiments.settings import InputError, Settings


class NonFiniteError(InputError):
    """A step's bound or gradient is not finite; parameters are as they were before it."""


def explain(
    model: Model,
    settings: Settings,
    params: Params,
    batch: Tensor,
    indices: Tensor,
    key: Tensor,
    step: int,
    kl_weight: Tensor,
) -> str:
    """One line on the step, computed again term by term; `indices` are the batch's places in the training data."""
    x, noise_key = inputs(settings, batch, key, torch.tensor(step, device=key.device))
    objective = terms(model, settings)
    values = objective(params, x, noise_key, kl_weight)
    gradient = grad(lambda p: objective(p, x, noise_key, kl_weight).objective.mean())(params)
    found = []
    for name in ("reconstruction", "kl", "objective"):
        bad = ~torch.isfinite(getattr(values, name))
        if bad.any():
            row = int(bad.nonzero()[0, 0])
            found.append(
                f"the term {name} is {getattr(values, name)[row].item()} at datum {int(indices[row])} "
                f"(row {row} of the batch, {int(bad.sum())} of {len(bad)} data)"
            )
            break
    for what, tree in (("parameter", params), ("gradient of", gradient)):
        for path, leaf in trees.paths(tree).items():
            if not torch.isfinite(leaf).all():
                found.append(f"the {what} {path} is not finite")
                return f"step {step}: " + "; ".join(found)
    return f"step {step}: " + "; ".join(found or ["the bound or the gradient's norm overflows"])

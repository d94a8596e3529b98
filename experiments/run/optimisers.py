"""Optimisers as settings: which of torch.optim's follows a group of parameters, and with what."""

import math
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import torch
import tyro

from jensen.core import trees
from jensen.core.trees import Params
from jensen.experiments.run import shards
from jensen.experiments.run.errors import InputError

Kind = Literal["adam", "adamw", "sgd", "rmsprop"]


@dataclass(frozen=True)
class Optimiser:
    """What follows the gradient of a group of parameters."""

    kind: Annotated[Kind, tyro.conf.arg(name="optimiser")] = "adam"
    """torch.optim's Adam, AdamW, SGD or RMSprop."""
    lr: float = 1e-3
    """The peak learning rate."""
    beta1: float = 0.9
    """Of Adam's and AdamW's mean of gradients."""
    beta2: float = 0.999
    """Of Adam's and AdamW's mean of squares, and of RMSprop's; sgd has none."""
    eps: float = 1e-8
    """Added to the root of that (adam, adamw, rmsprop)."""
    momentum: float = 0.0
    """Of sgd and rmsprop."""
    weight_decay: float = 0.0
    """Pulls weights, which have two axes or more, towards 0; biases and scales are left alone."""

    def check(self) -> None:
        """Raises an InputError for what cannot work."""
        if not 0 < self.lr < math.inf:
            raise InputError(f"expected a positive --lr, got {self.lr}")
        for name in ("lr", "eps"):
            if 0 < getattr(self, name) < 2.0**-126:
                raise InputError(f"--{name} {getattr(self, name)} is 0 in float32: pass at least 1e-37")
        for name in ("beta1", "beta2", "momentum"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"expected --{name} in [0, 1), got {getattr(self, name)}")
        if not 0 < self.eps < math.inf or not 0 <= self.weight_decay < math.inf:
            raise InputError(
                f"expected a positive --eps and a non-negative --weight-decay, got {self.eps} and {self.weight_decay}"
            )
        if self.momentum and self.kind in ("adam", "adamw"):
            raise InputError(f"--momentum is for sgd and rmsprop, and {self.kind} has --beta1: leave it out")
        if self.kind in ("sgd", "rmsprop") and self.beta1 != Optimiser.beta1:
            raise InputError(f"--beta1 is for adam and adamw, and {self.kind} has --momentum: leave it out")
        if self.kind == "sgd" and (self.beta2, self.eps) != (Optimiser.beta2, Optimiser.eps):
            raise InputError("--beta2 and --eps are for adam, adamw and rmsprop, and sgd has neither: leave them out")

    def at(self, lr: float) -> "Optimiser":
        """The same at another peak learning rate."""
        return replace(self, lr=lr)

    def make(self, params: Params) -> torch.optim.Optimizer:
        """The optimiser of these leaves; where weights decay, they are a group of its own beside the rest."""
        leaves = trees.leaves(params)
        decaying = [t for t in leaves if self.weight_decay and t.ndim >= 2]
        rest = [t for t in leaves if not (self.weight_decay and t.ndim >= 2)]
        parts = ((decaying, self.weight_decay), (rest, 0.0))
        groups = [{"params": part, "weight_decay": decay} for part, decay in parts if part]
        if self.kind == "sgd":
            fused = not shards.is_cut(leaves)  # DTensor has no such SGD
            return torch.optim.SGD(groups, lr=self.lr, momentum=self.momentum, fused=fused)
        if self.kind == "rmsprop":
            return torch.optim.RMSprop(groups, lr=self.lr, alpha=self.beta2, eps=self.eps, momentum=self.momentum)
        make = torch.optim.Adam if self.kind == "adam" else torch.optim.AdamW
        return make(groups, lr=self.lr, betas=(self.beta1, self.beta2), eps=self.eps, fused=True)


def kept(optimiser: torch.optim.Optimizer, params: Params) -> dict[str, torch.Tensor]:
    """Every tensor that the optimiser keeps, as "<path of its parameter>/<name>"; none before the first step."""
    return {
        f"{path}/{name}": value
        for path, leaf in trees.paths(params).items()
        for name, value in optimiser.state.get(leaf, {}).items()
        if isinstance(value, torch.Tensor)
    }


def would_keep(setting: Optimiser, params: Params) -> dict[str, torch.Tensor]:
    """What `kept` gives after a step: names, shapes and types that a checkpoint must have."""
    trial = trees.map(torch.zeros_like, params)
    optimiser = setting.make(trial)
    for leaf in trees.leaves(trial):
        leaf.grad = torch.zeros_like(leaf)
    optimiser.step()
    return kept(optimiser, trial)

"""A Bayesian model as a value: supports of named parameters, and two functions."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from torch import Tensor

from jensen.core.checks import check_function, described
from jensen.core.contracts import Key
from jensen.core.models.bayes.columns import Column
from jensen.core.models.bayes.supports import Support

Theta: TypeAlias = Mapping[str, Tensor]  # name -> (s, n, *shape), n = 1 but for several rows at once
Data: TypeAlias = Mapping[str, Tensor]


@dataclass(frozen=True)
class Model:
    """p(theta) prod_i p(x_i | theta), in nats, of parameters by name.

        model = Model({"rate": positive()}, log_prior, log_likelihood)
        posterior = condition(model, {"y": y})

    support         name -> where the parameter lies
    log_prior       theta -> (s, n); without a log_likelihood it may be any log density
    log_likelihood  theta, data -> (s, n, b), one column per datum, independent given theta
    local           names of parameters with a row per datum, (s, n, b, *shape) with support of b = num_data rows
    log_local       theta -> (s, n, b), log p(local_i | global) of each datum; log_prior is given the global ones alone
    draw            key, s -> theta (s, 1, *shape), draws of a proper prior, local parameters included
    simulate        key, theta of one draw (*shape), data -> data drawn given theta, and given covariates in data
    derived         theta -> further quantities by name, reported beside the parameters
    columns         what the data are, by name: checked by `condition`
    joint           whether the likelihood's terms depend on the other data, as for a series: then no minibatches
    """

    support: Mapping[str, Support]
    log_prior: Callable[[Theta], Tensor]
    log_likelihood: Callable[[Theta, Data], Tensor] | None = None
    local: tuple[str, ...] = ()
    log_local: Callable[[Theta], Tensor] | None = None
    draw: Callable[[Key, int], Theta] | None = None
    simulate: Callable[[Key, Theta, Data], dict[str, Tensor]] | None = None
    derived: Callable[[Theta], Theta] | None = None
    columns: Mapping[str, Column] = field(default_factory=dict)
    joint: bool = False
    name: str = "model"

    def __post_init__(self) -> None:
        if not isinstance(self.support, Mapping) or not self.support:
            raise TypeError(
                f"expected support, a dict of parameters' supports, got {described(self.support)}: "
                'write {"scale": positive()}'
            )
        for name, support in self.support.items():
            if not isinstance(name, str):
                raise TypeError(f"expected support, with names for keys, got {described(name)}: name the parameters")
            if not isinstance(support, Support):
                raise TypeError(f"expected the support of {name}, got {described(support)}: write positive()")
            support.check(name)
        check_function("log_prior", self.log_prior, "lambda theta: -theta['scale']")
        for name in ("log_likelihood", "log_local", "draw", "simulate", "derived"):
            if getattr(self, name) is not None:
                check_function(name, getattr(self, name), "lambda theta, data: ...")
        for name, column in self.columns.items():
            if not isinstance(column, Column):
                raise TypeError(f"expected columns, of Column, got {described(column)} for {name}: see columns.real()")
        if not isinstance(self.local, tuple):
            raise TypeError(f"expected local, a tuple of names, got {described(self.local)}: write ('effect',)")
        if bool(self.local) != (self.log_local is not None):
            raise ValueError(
                f"expected local and log_local together, got local = {self.local}: the prior of local parameters is "
                "theirs, one term per datum"
            )
        sizes = {}
        for name in self.local:
            if name not in self.support or not self.support[name].cells:
                raise ValueError(
                    f"expected local, names of parameters with a row per datum, got {name!r}: give it a support "
                    "such as real(num_data)"
                )
            sizes[name] = self.support[name].cells[0]
        if len(set(sizes.values())) > 1:
            raise ValueError(f"expected local parameters of one number of rows, got {sizes}: one row per datum")

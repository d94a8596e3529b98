"""What the stability claim fits: deep flows, what is said to keep them stable, and two targets of many dimensions."""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.func import grad
from torch.nn import functional as F

from jensen.core import keys, trees
from jensen.core.contracts import Flow, Key
from jensen.core.distributions import DiagNormal, Pushforward
from jensen.core.flows import Coupling, real_nvp, spectral
from jensen.core.numerics import softplus

RHO = 0.9
STARTS = ("zero", "random")  # of the couplings' last layers
REMEDIES = ("none", "normalised", "clip", "warm-up")
BOUNDED: dict[str, Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]] = {
    "normalised": spectral.normalised,
    "clip": spectral.clipped,
}
K = 8  # samples of q in a step
WARM = 4  # a warm-up takes a quarter of the steps
Directions = tuple[Tensor, ...]  # what the power iteration of each weight carries


def chain(z: Tensor) -> Tensor:
    """log N(z; 0, S) with S_ij = RHO^|i - j|: z (s, n, d) -> (s, n)."""
    scale = math.sqrt(1 - RHO**2)
    steps = torch.cat([z[..., :1], (z[..., 1:] - RHO * z[..., :-1]) / scale], -1)
    return -0.5 * (steps.square() + math.log(2 * math.pi)).sum(-1) - (z.shape[-1] - 1) * math.log(scale)


def independent_gap(d: int) -> float:
    """KL of the best independent normals to `chain`, in nats: sum_i log S^-1_ii / 2 - log det S^-1 / 2."""
    inner, ends, step = (1 + RHO**2) / (1 - RHO**2), 1 / (1 - RHO**2), 1 - RHO**2
    return 0.5 * ((d - 2) * math.log(inner) + 2 * math.log(ends) + (d - 1) * math.log(step))


class Horseshoe(NamedTuple):
    """Logistic regression with the horseshoe of Carvalho et al. (2010): beta_j = tau lambda_j eta_j, Cauchy scales.

    z = (eta, log lambda, log (tau / scale), intercept), (s, 1, 2 p + 2), with eta and the intercept standard normal.
    """

    x: Tensor  # (n, p)
    sign: Tensor  # (n,), 1 and -1
    scale: float

    @classmethod
    def simulated(cls, key: Key, d: int, n: int, true: int = 20, size: float = 3.0) -> "Horseshoe":
        """Standard normal x, and so many coefficients of this size and either sign; the rest are 0.

        The scale is that of Piironen and Vehtari (2017), for the true number.
        """
        p, (x_key, y_key) = d // 2 - 1, keys.split(key)
        x = keys.normal(x_key, (n, p))
        beta = torch.zeros(p)
        beta[:true] = size * (1 - 2 * (torch.arange(true) % 2))
        sign = 2.0 * (keys.uniform(y_key, (n,)) < torch.sigmoid(x @ beta)) - 1
        return cls(x, sign, 2 * true / (p - true) / n**0.5)

    @property
    def d(self) -> int:
        return 2 * self.x.shape[1] + 2

    def log_joint(self, z: Tensor) -> Tensor:
        """log p(sign, z), in nats: z (s, 1, d) -> (s, 1)."""
        p = self.x.shape[1]
        eta, log_lambda, log_tau, intercept = z.split([p, p, 1, 1], -1)
        beta = self.scale * torch.exp((log_tau + log_lambda).clamp_max(30)) * eta
        log_p = F.logsigmoid(self.sign * (beta @ self.x.T + intercept)).sum(-1)
        normal = -0.5 * (torch.cat([eta, intercept], -1).square() + math.log(2 * math.pi)).sum(-1)
        scales = torch.cat([log_lambda, log_tau], -1)  # density 2 / pi e^t / (1 + e^2t)
        return log_p + normal + (math.log(2 / math.pi) + scales - softplus(2 * scales)).sum(-1)


def deep(key: Key, d: int, layers: int, hidden: int, start: str) -> Pushforward:
    """A standard normal through so many affine couplings, their last layers 0, or drawn as the others ("random")."""
    base = DiagNormal(torch.zeros(1, d), torch.zeros(1, d))
    if layers == 0:
        return Pushforward(base, ())
    flows = real_nvp(key, d, layers, (hidden,))
    if start == "random":
        each = keys.split(keys.fold_in(key, 1), len(flows))
        flows = tuple(
            _drawn(k, flow) if isinstance(flow, Coupling) else flow for k, flow in zip(each, flows, strict=True)
        )
    return Pushforward(base, flows)


def directions(key: Key, flows: tuple[Flow, ...]) -> Directions:
    """Where the power iteration of each weight starts."""
    return tuple(spectral.start(key, weight) for weight in _weights(flows))


def constrained(flows: tuple[Flow, ...], carried: Directions, remedy: str) -> tuple[tuple[Flow, ...], Directions]:
    """The flows with their weights' spectral norms bounded, and what the power iterations carry on."""
    if remedy not in BOUNDED:
        return flows, carried
    pairs = [BOUNDED[remedy](weight, u) for weight, u in zip(_weights(flows), carried, strict=True)]
    weights = iter([weight for weight, _ in pairs])
    return tuple(_with(flow, weights) if isinstance(flow, Coupling) else flow for flow in flows), tuple(
        u for _, u in pairs
    )


def fit(
    q: Pushforward, log_p: Callable[[Tensor], Tensor], remedy: str, steps: int, lr: float, key: Key,
    watch: Callable[[int, Tensor, Tensor, Tensor], None] = lambda *_: None,
) -> Pushforward:  # fmt: skip
    """q after so many of Adam's steps on the ELBO of K samples, its step size falling to 0 in the second half."""
    q = trees.map(torch.clone, q)
    carried = directions(key, q.flows)
    adam = torch.optim.Adam(trees.leaves(q), fused=True)

    def loss(q: Pushforward, eps: Tensor) -> tuple[Tensor, tuple]:
        flows, carry = constrained(q.flows, carried, remedy)
        z, log_q = q._replace(flows=flows).sample_and_log_prob(eps)
        value = (log_q - log_p(z)).mean()
        return value, (q.base.log_prob(q.base.sample(eps)).mean() - log_q.mean(), value, carry)

    for step in range(steps):
        warm = min(1.0, WARM * (step + 1) / steps) if remedy == "warm-up" else 1.0
        adam.param_groups[0]["lr"] = lr * warm * min(1.0, 2 * (1 - step / steps))
        slopes, (log_det, value, carried) = grad(loss, has_aux=True)(trees.stop(q), q.noise(keys.fold_in(key, step), K))
        watch(step, log_det, trees.norm(slopes), value)
        trees.set_grads(q, slopes)
        adam.step()
    flows, _ = constrained(q.flows, carried, remedy)
    return trees.stop(q._replace(flows=flows))


def _weights(flows: tuple[Flow, ...]) -> list[Tensor]:
    return [weight for flow in flows if isinstance(flow, Coupling) for weight in flow.network.weights]


def _with(flow: Coupling, weights: Iterator[Tensor]) -> Coupling:
    """The coupling with the next weights."""
    network = flow.network
    return flow._replace(network=network._replace(weights=tuple(next(weights) for _ in network.weights)))


def _drawn(key: Key, flow: Coupling) -> Coupling:
    *others, last = flow.network.weights
    drawn = keys.normal(key, (last.numel(),)).reshape(last.shape) / last.shape[1] ** 0.5
    return _with(flow, iter([*others, drawn]))

"""The multi-sample likelihood: its memory, and the K = 50 IWAE step beside plain torch, JAX and the matrix products."""

import subprocess
import sys
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.func import grad_and_value
from torch.nn import functional as F

from jensen.core import keys, ops, trees
from jensen.core.distributions import DiagNormal
from jensen.core.models import vae
from jensen.estimators.evidence import from_log_weights
from jensen.experiments.compilation import compiled
from tests.bench.timing import medians, table

KEY = keys.key(0)
K, BATCH, HIDDEN, LATENT, PIXELS = 50, 64, 200, 50, 784


def step(device: str) -> None:
    """The gradient of the IWAE bound at K = 50, batch 64, 784-200-200-50, in float32; noise is an argument."""
    x = (keys.uniform(KEY, (BATCH, PIXELS)) < 0.3).float().to(device)
    eps = keys.normal(keys.key(1), (K, BATCH, LATENT)).to(device)
    model = vae.mlp(PIXELS, (HIDDEN, HIDDEN), LATENT)
    params = model.init(KEY.to(device), x.mean(0))

    def fused(params: trees.Params, x: Tensor, eps: Tensor) -> Tensor:
        q = model.posterior(params["encoder"], x)
        z = q.sample(eps)
        *hidden, last = params["decoder"]["network"].values()
        h = z
        for layer in hidden:
            h = torch.tanh(F.linear(h, layer["weight"], layer["bias"]))
        log_p = ops.linear_bernoulli_log_prob(x, h, last["weight"], last["bias"]) + model.prior(z).log_prob(z)
        bound, _, _ = ops.importance(log_p, q.log_prob(z))
        return -bound.mean()

    def plain(params: trees.Params, x: Tensor, eps: Tensor) -> Tensor:
        h = x
        *hidden, last = params["encoder"].values()
        for layer in hidden:
            h = torch.tanh(F.linear(h, layer["weight"], layer["bias"]))
        loc, log_scale = F.linear(h, last["weight"], last["bias"]).chunk(2, -1)
        z = h = loc + log_scale.exp() * eps
        *hidden, last = params["decoder"]["network"].values()
        for layer in hidden:
            h = torch.tanh(F.linear(h, layer["weight"], layer["bias"]))
        logits = F.linear(h, last["weight"], last["bias"])
        log_p = -F.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none").sum(-1)
        log_p = log_p - 0.5 * z.square().sum(-1)
        log_q = -(0.5 * eps.square() + log_scale).sum(-1)
        return -(torch.logsumexp(log_p - log_q, 0)).mean()

    ours = compiled(grad_and_value(fused))
    plain_torch = compiled(grad_and_value(plain))
    candidates: dict[str, Callable[[], object]] = {
        "these operations, compiled": lambda: ours(params, x, eps),
        "plain torch, compiled": lambda: plain_torch(params, x, eps),
        "these operations, eager": lambda: grad_and_value(fused)(params, x, eps),
        "the matrix products alone": partial(products, params, x, eps),
    }
    in_jax = jax_step(params, x, eps) if device == "cpu" else None
    if in_jax:
        candidates["JAX, jit"] = in_jax
    table("gradient of IWAE, K = 50, batch 64, 784-200-200-50", medians(candidates, 15, 5), "plain torch, compiled")


def products(params: trees.Params, x: Tensor, eps: Tensor) -> None:
    """Forward, and both backward products of every layer: nothing else."""
    for h, layers in ((x, params["encoder"]), (eps.flatten(0, 1), params["decoder"]["network"])):
        for layer in layers.values():
            out = h @ layer["weight"].T
            out @ layer["weight"]
            out.T @ h
            h = out


def jax_step(params: trees.Params, x: Tensor, eps: Tensor) -> Callable[[], object] | None:
    """The same step in JAX, where it is installed (the extra `peers`)."""
    try:
        import jax
        from jax import numpy as jnp
    except ImportError:
        print("JAX is not installed: its row is left out (extra `peers`)")
        return None
    tree = trees.map(lambda t: jnp.asarray(t.numpy()), params)
    x, eps = jnp.asarray(x.numpy()), jnp.asarray(eps.numpy())

    def forward(layers, h):
        *hidden, last = [layers[name] for name in sorted(layers)]
        for layer in hidden:
            h = jnp.tanh(h @ layer["weight"].T + layer["bias"])
        return h @ last["weight"].T + last["bias"]

    def loss(params, x, eps):
        loc, log_scale = jnp.split(forward(params["encoder"], x), 2, -1)
        z = loc + jnp.exp(log_scale) * eps
        logits = forward(params["decoder"]["network"], z)
        log_p = (x * logits - jax.nn.softplus(logits)).sum(-1) - 0.5 * (z**2).sum(-1)
        log_q = -(0.5 * eps**2 + log_scale).sum(-1)
        return -jax.nn.logsumexp(log_p - log_q, 0).mean()

    jitted = jax.jit(jax.value_and_grad(loss))
    return lambda: jax.block_until_ready(jitted(tree, x, eps))


def evaluation() -> None:
    """Evidence at K = 1,000 for 100 images in chunks of 40 particles, beside the matrix products of its decoder."""
    x = (keys.uniform(KEY, (100, PIXELS)) < 0.3).float()
    model = vae.mlp(PIXELS, (HIDDEN, HIDDEN), LATENT)
    params = model.init(KEY, x.mean(0))
    layers = list(params["decoder"]["network"].values())

    @compiled
    def log_weights(params: trees.Params, q: DiagNormal, x: Tensor, key: Tensor) -> Tensor:
        z = q.sample(q.noise(key, 40))
        return model.log_joint(params["decoder"], x, z) - q.log_prob(z)

    z = keys.normal(KEY, (40 * 100, LATENT))

    def whole() -> None:
        q = model.posterior(params["encoder"], x)
        from_log_weights(lambda at: log_weights(params, q, x, at), KEY, 1000)

    def bare() -> None:
        for _ in range(1000 // 40):
            h = z
            for layer in layers:
                h = h @ layer["weight"].T

    with torch.no_grad():
        rows = medians({"evidence": whole, "the matrix products alone": bare}, 15, 1)
    table("evidence of 100 images, K = 1,000 in chunks of 40", rows, "evidence")


PEAK = """
import ctypes, sys, torch
from pathlib import Path
from functools import partial
from jensen.core import keys, ops
from jensen.core.models import vae
from jensen.core.ops import linear_log_prob
from jensen.estimators.evidence import importance

def peak(work):  # MiB that work adds to what is resident, by the kernel's high-water mark
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    status = lambda name: int(Path("/proc/self/status").read_text().split(name)[1].split()[0])
    before = status("VmRSS:")
    work()
    return (status("VmHWM:") - before) / 1024

pixels, hidden = 784, 200
x = (keys.uniform(keys.key(2), (64, pixels)) < 0.3).float()
if sys.argv[1] in ("fused", "unfused"):
    h = keys.normal(keys.key(0), (1000, 64, hidden)).requires_grad_()
    weight = (0.1 * keys.normal(keys.key(1), (pixels, hidden))).requires_grad_()
    bias = torch.zeros(pixels, requires_grad=True)
    f = ops.linear_bernoulli_log_prob if sys.argv[1] == "fused" else linear_log_prob._bernoulli.reference
    f(x, h[:1], weight, bias).sum().backward()
    h.grad = None
    print(peak(lambda: f(x, h, weight, bias).sum().backward()))
else:
    model = vae.mlp(pixels, (hidden, hidden), 50)
    params = model.init(keys.key(0), x.mean(0))
    q, log_p = model.posterior(params["encoder"], x), partial(model.log_joint, params["decoder"], x)
    importance(log_p, q, keys.key(1), 2, chunk=2)
    print(peak(lambda: importance(log_p, q, keys.key(1), int(sys.argv[1]), chunk=50)))
"""


def peaks(title: str, cases: dict[str, str]) -> None:
    """Prints each case's peak, measured in a process of its own, and its ratio to the last."""
    found = {}
    for name, argument in cases.items():
        done = subprocess.run([sys.executable, "-c", PEAK, argument], capture_output=True, text=True, check=True)
        found[name] = float(done.stdout.split()[-1])
    print(f"\n{title}")
    for name, peak in found.items():
        print(f"  {name:<44}{peak:9.0f} MiB{peak / list(found.values())[-1]:8.2f} x")


def memory() -> None:
    peaks(
        "peak of linear_bernoulli_log_prob, forward and backward, 64,000 x 784 (the gradient of h alone is 49 MiB)",
        {"linear_bernoulli_log_prob": "fused", "logits stored": "unfused"},
    )
    peaks("peak of evidence, 64 images, 50 particles at once", {"K = 5,000": "5000", "K = 50, one chunk": "50"})

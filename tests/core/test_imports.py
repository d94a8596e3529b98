"""What an import needs and costs: no extra, no Triton, and not the compiler, which takes as long as torch itself."""

import subprocess
import sys

LIGHT = """
import sys
for name in ("sklearn", "matplotlib", "rich", "tyro", "safetensors", "scipy", "hypothesis"):
    sys.modules[name] = None
import jensen.core.bounds, jensen.core.distributions, jensen.core.divergences, jensen.core.flows, jensen.core.ops
import jensen.core.exponential, jensen.core.models.latent, jensen.core.objectives
import jensen.estimators.diagnostics, jensen.estimators.evidence, jensen.estimators.gradients

heavy = [name for name in ("torch._dynamo", "torch._inductor", "sympy", "triton") if name in sys.modules]
assert not heavy, f"imported: {heavy}"
"""

FIRST_MEETING = """
import torch
from torch.func import grad, vmap
from jensen.core.operation import differentiable

def square(x):
    return x * x

seven_times = differentiable("probe", square, square, torch.empty_like, (0,), vjp=lambda needs, g, x: (7 * g[0] * x,))
slope = grad(lambda x: seven_times(x).sum())
for transform in (slope, vmap(slope)):
    assert torch.compile(transform, backend="eager", fullgraph=True)(torch.ones(2, 3)).eq(7).all()
"""


def run(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_library_imports_without_extras_and_without_the_compiler():
    """core and estimators need nothing but what setup.cfg requires."""
    run(LIGHT)


def test_an_operation_keeps_its_own_derivative_when_the_compiler_is_imported_after_it():
    """The derivative of the probe is planted: a compiler that traced into the operation would find 2 x."""
    run(FIRST_MEETING)

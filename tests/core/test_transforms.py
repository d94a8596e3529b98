"""Every operation under every transform, on the kernels' path and on the chunked one, against the plain reference."""

import importlib
import os
from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from torch import Tensor
from torch.func import grad, hessian, jacrev, jvp, vmap
from torch.utils._python_dispatch import TorchDispatchMode

from jensen.core import keys, ops
from jensen.core.operation import differentiable
from jensen.core.ops import linear_log_prob

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


class Case(NamedTuple):
    op: Callable
    reference: Callable
    args: tuple[Tensor, ...]
    path: str = "triton"


def noise(seed, *shape):
    return 0.6 * keys.normal(keys.key(seed, DEVICE), shape, torch.float64)


def module(name):
    return importlib.import_module(f"jensen.core.ops._{name}")


def one_hot(d):
    return torch.eye(d, dtype=torch.float64, device=DEVICE)[[1, 0, d - 1]]


def indices(d):
    return torch.tensor([1, 0, d - 1], device=DEVICE)


def cases() -> dict[str, Case]:
    s, n, d, hidden = 2, 3, 5, 4
    x = (noise(9, n, d) > 0).double()
    linear = (noise(1, s, n, hidden), noise(2, d, hidden), noise(3, d))
    key, h = keys.at(keys.key(5, DEVICE), particle=3, datum=7), torch.tensor(1.7, dtype=torch.float64, device=DEVICE)
    sample = module("normal_sample").reference
    stein = module("stein_direction")

    def stein_case(imq):
        return Case(
            lambda x, g, h: ops.stein_direction(x, g, h, "imq" if imq else "rbf"),
            lambda x, g, h: stein.reference(x, g, h, imq),
            (noise(1, 4, 2), noise(2, 4, 2), h),
        )

    def nearest(z, codes, find=ops.nearest_code):
        return find(z, codes)[1]

    def nearest_plain(z, codes):
        index = module("nearest_code").reference(z.detach(), codes.detach())
        return (z - codes[index]).square().sum(-1)

    kernels = {
        "normal_log_prob": (noise(1, s, n, d), noise(2, n, d), noise(3, d)),
        "normal_kl": (noise(1, s, n, d), noise(2, n, d), noise(3, d), noise(4, n, d)),
        "bernoulli_log_prob": (x, noise(1, s, n, d)),
        "categorical_log_prob": (one_hot(d), noise(1, s, n, d)),
        "importance": (noise(1, 4, n), noise(2, 4, n)),
    }
    found = {name: Case(getattr(ops, name), module(name).reference, args) for name, args in kernels.items()}
    found["normal_sample"] = Case(
        lambda m, a: ops.normal_sample(key, m, a, s),
        lambda m, a: sample(key, m, a, s),
        (noise(1, n, d), noise(2, n, d)),
    )
    found["normal_log_prob of samples"] = Case(
        ops.normal_log_prob, module("normal_log_prob").reference, (noise(1, s, n, d), noise(2, n, d), noise(3, n, d))
    )
    found["nearest_code"] = Case(nearest, nearest_plain, (noise(1, 6, 2), noise(2, 4, 2)))
    found["stein_direction rbf"], found["stein_direction imq"] = stein_case(False), stein_case(True)
    for name, data in (("bernoulli", x), ("categorical", one_hot(d))):
        call = getattr(linear_log_prob, f"_{name}")
        found[f"linear_{name}_log_prob"] = Case(call.call, call.reference, (data, *linear))
        found[f"linear_{name}_log_prob chunked"] = Case(call.chunked, call.reference, (data, *linear), "reference")
    found |= indexed_cases(noise(1, s, n, d), linear)
    for name in ("nearest_code", "stein_direction rbf"):
        found[f"{name} chunked"] = found[name]._replace(path="reference")
    found["probe"] = probe_case()
    return found


def indexed_cases(logits, linear) -> dict[str, Case]:
    """Targets as class indices against the same targets as one-hot."""
    d = logits.shape[-1]
    index, choice = indices(d), one_hot(d)

    def of_index(a):
        return ops.categorical_log_prob(index, a)

    def of_choice(a):
        return module("categorical_log_prob").reference(choice, a)

    def linear_of_choice(*layer):
        return linear_log_prob._categorical.reference(choice, *layer)

    def chunked(*layer):
        return linear_log_prob._indexed.chunked(index, *layer)

    return {
        "indexed_log_prob": Case(of_index, of_choice, (logits,)),
        "indexed_log_prob plain": Case(of_index, of_choice, (logits,), "reference"),
        "linear_indexed_log_prob": Case(
            lambda *layer: ops.linear_categorical_log_prob(index, *layer), linear_of_choice, linear
        ),
        "linear_indexed_log_prob chunked": Case(chunked, linear_of_choice, linear, "reference"),
    }


def probe_case() -> Case:
    """An operation whose backward is 3 times its forward's derivative, so that no ignored backward can pass."""

    def forward(t):
        return t.square()

    if not hasattr(torch.ops.jensen, "probe"):
        Probe.op = differentiable(
            "probe",
            lambda t: t * t,
            forward,
            lambda t: torch.empty_like(t),
            (1,),
            vjp=lambda needs, g, t: (6 * t * g[0],),
        )

    class Plain(torch.autograd.Function):
        """The same rule for eager torch alone: the oracle."""

        @staticmethod
        def forward(t):
            return t * t

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)
            ctx.save_for_forward(*inputs)

        @staticmethod
        def backward(ctx, g):
            return 6 * ctx.saved_tensors[0] * g

        @staticmethod
        def jvp(ctx, dot):
            return 2 * ctx.saved_tensors[0] * dot

        @staticmethod
        def vmap(info, in_dims, t):
            return Plain.apply(t.movedim(in_dims[0], 0)), 0

    return Case(Probe.op, Plain.apply, (noise(1, 3, 4),))


class Probe:
    op: Callable


def flat(f: Callable) -> Callable[..., Tensor]:
    """All outputs as one vector."""

    def call(*args):
        out = f(*args)
        return torch.cat([o.reshape(-1) for o in (out if isinstance(out, tuple) else (out,))])

    return call


def weighted(f: Callable) -> Callable[..., Tensor]:
    """A scalar with a different upstream gradient for every output, none of them 1."""

    def call(*args):
        out = flat(f)(*args)
        return (out * torch.linspace(-1, 2, len(out), dtype=out.dtype, device=out.device)).sum()

    return call


def batch(args):
    """Three versions of each argument that can vary, and which those are: the last stays shared."""
    varied = [torch.stack([a, a.flip(-1), a * 0.5]) if a.ndim else torch.stack([a, 2 * a, 3 * a]) for a in args]
    shared = len(args) > 1
    return (*varied[:-1], args[-1]) if shared else varied, tuple([0] * (len(args) - shared) + [None] * shared)


def transforms(args) -> dict[str, Callable]:
    every = tuple(range(len(args)))
    varied, dims = batch(args)
    return {
        "value": lambda f: flat(f)(*args),
        "grad": lambda f: grad(weighted(f), every)(*args),
        "vmap": lambda f: vmap(flat(f), dims)(*varied),
        "vmap(grad)": lambda f: vmap(grad(weighted(f), every), dims)(*varied),
        "jacrev": lambda f: jacrev(flat(f), every)(*args),
        "grad(grad)": lambda f: grad(
            lambda *a: sum(g.square().sum() for g in grad(weighted(f), every)(*a)), every
        )(*args),
    }  # fmt: skip


def forward_transforms(args) -> dict[str, Callable]:
    every = tuple(range(len(args)))
    dots = tuple(torch.full_like(a, 0.3) for a in args)
    return {
        "jvp": lambda f: jvp(flat(f), args, dots)[1],
        "hessian": lambda f: hessian(weighted(f), every)(*args),
        "vmap(jvp)": lambda f: vmap(lambda a: jvp(lambda t: flat(f)(t, *args[1:]), (a,), (a * 0.5,))[1])(
            torch.stack([args[0], 2 * args[0]])
        ),
    }


CASES = cases()
SAME = (  # as their siblings
    "stein_direction imq", "stein_direction rbf chunked", "linear_categorical_log_prob", "linear_indexed_log_prob",
    "linear_categorical_log_prob chunked",
)  # fmt: skip
INDUCTOR = ("probe", "importance", "normal_sample")  # of one output, of several, of a key
BACKENDS = {name: "inductor" if name in INDUCTOR else "aot_eager" for name in CASES if name not in SAME}


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    """Chunks so small that the arguments here need several."""
    monkeypatch.setattr(linear_log_prob, "CHUNK", 10)
    monkeypatch.setattr(linear_log_prob, "GPU_CHUNK", 10)
    monkeypatch.setattr(module("nearest_code"), "CHUNK", 8)
    monkeypatch.setattr(module("normal_log_prob"), "SHARED", 0)
    monkeypatch.setattr(module("stein_direction"), "CHUNK", 8)


@pytest.mark.parametrize("name", CASES)
def test_eager(name):
    case = CASES[name]
    for label, transform in (transforms(case.args) | forward_transforms(case.args)).items():
        expected = transform(case.reference)
        with ops.use(case.path):
            got = transform(case.op)
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9, msg=lambda m, label=label: f"{label}: {m}")


class Slopes(TorchDispatchMode):
    """How many elements each output of the operations of gradients has."""

    def __init__(self):
        super().__init__()
        self.sizes = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if func.name().endswith("_slopes"):
            self.sizes.append([t.numel() for t in out])
        return out


@pytest.mark.parametrize("name", ["linear_categorical_log_prob chunked", "linear_bernoulli_log_prob"])
@pytest.mark.parametrize("wanted", [(0,), (1,), (2,), (3,), (1, 3), (0, 2)], ids=str)
def test_the_gradients_of_a_layer_are_computed_where_needed(name, wanted):
    case = CASES[name]
    with ops.use(case.path), Slopes() as slopes:
        got = grad(weighted(case.op), wanted)(*case.args)
    torch.testing.assert_close(got, grad(weighted(case.reference), wanted)(*case.args), rtol=1e-9, atol=1e-9)
    assert slopes.sizes == [[t.numel() if i in wanted else 0 for i, t in enumerate(case.args)]]


@pytest.mark.parametrize(("name", "backend"), BACKENDS.items())
def test_compiled(name, backend):
    """In one graph the operations stay opaque to the compiler, and keep their backward."""
    check_compiled(CASES[name], backend, ("vmap(grad)", "grad(grad)"))


@pytest.mark.parametrize(
    ("name", "backend"),
    [
        ("probe", "aot_eager"),
        *(pytest.param(name, how, marks=pytest.mark.slow) for name in CASES for how in ("aot_eager", "inductor")),
    ],
)
def test_every_transform_compiles(name, backend):
    check_compiled(CASES[name], backend, transforms(CASES[name].args))


RIGHT, RAISED, WRONG = 10, 11, 12


def forward_mode_compiled(case):
    """How a compiled jvp ends."""
    transform = forward_transforms(case.args)["jvp"]
    expected = transform(case.reference)
    with ops.use(case.path):
        try:
            got = torch.compile(lambda: transform(case.op), backend="aot_eager", fullgraph=True)()
        except Exception:
            return RAISED
    return RIGHT if torch.allclose(got, expected, rtol=1e-9, atol=1e-9) else WRONG


@pytest.mark.parametrize("name", ["probe", pytest.param("normal_log_prob", marks=pytest.mark.slow)])
def test_forward_mode_under_compile_raises_or_is_right(name):
    """torch does not compile forward mode through such an operation: it says so, and never gives zeros.

    In a process of its own, for torch does not leave its forward-mode level when that fails.
    """
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(forward_mode_compiled(CASES[name]))
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) in (RIGHT, RAISED)


def check_compiled(case, backend, labels):
    wanted = {label: transforms(case.args)[label] for label in labels}
    expected = {label: transform(case.reference) for label, transform in wanted.items()}
    torch._dynamo.reset()
    with ops.use(case.path):
        compiled = torch.compile(
            lambda: {label: transform(case.op) for label, transform in wanted.items()}, backend=backend, fullgraph=True
        )
        got = compiled()
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)

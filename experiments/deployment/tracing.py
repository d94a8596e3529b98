"""One function of rows as files: a torch.export program, an AOTInductor package and an ONNX model."""

import functools
import io
import shlex
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch._C import _functorch  # pyright: ignore[reportAttributeAccessIssue]
from torch.export import Dim, ExportedProgram
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from jensen.core import keys, ops, trees
from jensen.core.trees import Tree
from jensen.experiments.deployment import archives
from jensen.experiments.deployment.functions import KEY, Rows
from jensen.experiments.deployment.logs import errors_alone
from jensen.experiments.deployment.manifest import ROWS, Argument
from jensen.experiments.run import files
from jensen.experiments.run.compilation import options
from jensen.experiments.run.errors import reason

EXAMPLE = 3  # rows to trace by: of one, their number would be taken for a constant
SHORT = 1e-4  # of the largest output, what ONNX may differ by
ONE_ROW = {"aot_inductor.check_lowerbound": False}  # else checked inputs refuse it
# Among the flags of this option, for there is none for others. Unique symbols, and destructors of threads' variables,
# would keep every package that was ever loaded in memory, with its parameters.
SHIM = shlex.quote(str(Path(__file__).with_name("unloading.h")))
UNLOADED = {"cpp.enable_floating_point_contract_flag": f"off -fno-gnu-unique -include {SHIM}"}


class Pure(nn.Module):
    """A function of a tree and of inputs, with the tree's leaves as buffers of the same paths."""

    def __init__(self, call: Callable[..., Any], tree: Tree):
        super().__init__()
        self.call, self.like, self.paths = call, tree, list(trees.paths(tree))
        for path, leaf in trees.paths(tree).items():
            *above, name = path.split(".")
            place: nn.Module = self
            for each in above:
                if not hasattr(place, each):
                    place.add_module(each, nn.Module())
                place = place.get_submodule(each)
            place.register_buffer(name, leaf.detach().cpu().contiguous())

    def forward(self, *inputs: Tensor) -> Any:
        """The function's outputs."""
        leaves = dict(self.named_buffers())
        return self.call(trees.from_paths({path: leaves[path] for path in self.paths}, self.like), *inputs)


class Joined(TorchFunctionMode):
    """torch.cat of mapped tensors as a sum of padded ones: its own rule for vmap fixes the number of rows."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.cat and any(map(_functorch.is_batchedtensor, args[0])):
            return joined(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def joined(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """torch.cat, but that -0.0 becomes 0.0."""
    rank, before, total = tensors[0].ndim, 0, sum(t.shape[dim] for t in tensors)
    padded = []
    for t in tensors:
        around = [0, 0] * (rank - 1 - dim % rank) + [before, total - before - t.shape[dim]]  # the last axis first
        padded.append(functional.pad(t, around))
        before += t.shape[dim]
    return functools.reduce(torch.add, padded)


@contextmanager
def silent() -> Iterator[None]:
    """Without what torch says of its own code, which nobody who exports can do anything about."""
    with errors_alone("torch.onnx"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def example(inputs: tuple[Argument, ...], rows: int = EXAMPLE) -> tuple[Tensor, ...]:
    """Rows of zeros; of keys, those of a seed."""
    number = torch.arange(rows)
    plain = {"key": keys.at(keys.key(0), datum=number)}
    return tuple(
        plain["key"] if each == KEY else torch.zeros(rows, *each.shape, dtype=getattr(torch, each.dtype))
        for each in inputs
    )


@torch.no_grad()
def traced(rows: Rows, tree: Tree) -> ExportedProgram:
    """A program of reference operations, for 1 to 4,096 rows; what it does not read of the tree takes no room."""
    given, n = example(rows.inputs), Dim("n", min=1, max=ROWS)
    with ops.use("reference"), sdpa_kernel(SDPBackend.MATH), Joined():
        dynamic = (tuple({0: n} for _ in given),)
        program = torch.export.export(Pure(rows.call, tree).eval(), given, dynamic_shapes=dynamic, strict=False)
    read = archives.read_by(program)
    for name, leaf in program.state_dict.items():
        if name not in read:
            program.state_dict[name] = leaf.new_zeros(()).expand(leaf.shape)
    return program


def write_program(program: ExportedProgram, path: Path) -> None:
    written = io.BytesIO()
    with silent():
        torch.export.save(program, written)
    files.write_atomically(path, written.getvalue())


def write_package(program: ExportedProgram, path: Path) -> str:
    """The compiled package; why there is none, or ""."""
    from torch._inductor import aoti_compile_and_package
    from torch._inductor.cpp_builder import is_gcc

    try:
        configs = options() | ONE_ROW | (UNLOADED if is_gcc() else {})
        with silent():
            aoti_compile_and_package(program, package_path=str(path.absolute()), inductor_configs=configs)
    except Exception as error:  # of the compiler's, whatever is missing or not covered
        return reason(error)
    return ""


def write_onnx(program: ExportedProgram, path: Path) -> str:
    """The ONNX model, where onnxruntime computes the same with it; why there is none, or ""."""
    try:
        import onnxruntime
        import onnxscript  # noqa: F401, which torch needs
    except ImportError as error:
        return f"{error.name} is not installed: pip install 'jensen[export]'"
    assert program.example_inputs is not None
    given = tuple(torch.ones_like(each) for each in program.example_inputs[0])
    try:
        with silent():
            written = torch.onnx.export(program, given, dynamo=True, verbose=False)
        assert written is not None
        content = written.model_proto.SerializeToString()
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        names = [each.name for each in session.get_inputs()]
        found = session.run(None, {name: each.numpy() for name, each in zip(names, given, strict=True)})
    except Exception as error:  # of either library, for an operation that one of them lacks
        while isinstance(error.__cause__, Exception):  # torch's own says how to report a bug to it
            error = error.__cause__
        return reason(error)
    expected = program.module()(*given)
    for theirs, ours in zip(found, expected if isinstance(expected, tuple) else (expected,), strict=True):
        gap, scale = (torch.as_tensor(theirs) - ours).abs().max().item(), ours.abs().max().item()
        if not gap <= SHORT * max(scale, 1):
            return f"onnxruntime computes values that differ by {gap:.2g}"
    files.write_atomically(path, content)
    return ""

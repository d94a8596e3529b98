"""What each kind of finished run is exported as."""

from typing import Any

import torch
from torch import Tensor

from jensen.core import keys, trees
from jensen.core.contracts import Key
from jensen.core.trees import Tree
from jensen.experiments.deployment import latents, sequences
from jensen.experiments.deployment.functions import KEY, Functions, Rows, by_row, dtype_of
from jensen.experiments.deployment.manifest import Argument
from jensen.experiments.programs.classification import ClassifierProgram
from jensen.experiments.programs.code_prior import CodePriorProgram
from jensen.experiments.programs.draws import Drawing, trained_on
from jensen.experiments.programs.finished import FinishedRun, of_codes
from jensen.experiments.programs.images import ImageSettings
from jensen.experiments.programs.language import LanguageProgram
from jensen.experiments.programs.vq import Vq
from jensen.experiments.run.errors import InputError


def functions(run: FinishedRun, k: int) -> Functions:
    """A run's functions; a score by importance takes k samples. InputError for a kind that has none."""
    if isinstance(run.settings, ImageSettings):
        return latents.functions(run, k)
    if isinstance(run.settings, Vq):
        return codes(run)
    if isinstance(run.prepared.program, ClassifierProgram):
        return classes(run)
    if isinstance(run.prepared.program, LanguageProgram):
        program = run.prepared.program
        return sequences.functions(program.model, _tree(run), run.settings.context, program.files())
    if isinstance(run.prepared.program, CodePriorProgram):
        raise InputError(
            f"{run.folder} holds a {run.kind} of codes, each place with symbols of its own, which is not exported: "
            f"draw with experiments.sample {run.folder}, or export the run of vq that it is of"
        )
    if isinstance(run.prepared.program, Drawing):
        return draws(run)
    raise InputError(f"{run.folder} holds a {run.kind}, which has no functions to export: see its report.txt")


def codes(run: FinishedRun) -> Functions:
    """Of a model of codes: data to codes, each map an output, and back."""
    found = of_codes(run)
    model, x = found.model, found.images.train

    def encode(tree: Tree, x: Tensor) -> Any:
        found = trees.leaves(model.codes(tree["params"]["model"], tree["state"]["model"], x))
        return tuple(found) if len(model.maps) > 1 else found[0]

    def decode(tree: Tree, *codes: Tensor) -> Tensor:
        given = codes if len(model.maps) > 1 else next(iter(codes))
        return model.decode_codes(tree["params"]["model"], tree["state"]["model"], given)

    names = [f"codes_{i}" if len(model.maps) > 1 else "codes" for i in range(len(model.maps))]
    given = tuple(Argument(name, "int64", of.shape, f"whole numbers below {of.size}", 0, of.size - 1)
                  for name, of in zip(names, model.maps, strict=True))  # fmt: skip
    pixels = Argument("x", dtype_of(x), tuple(x.shape[1:]), "a row of pixels per datum")
    mean = (("mean", "of p(x | codes), in the data's units"),)
    rows = {
        "encode": Rows("the codes of data", encode, (pixels,), tuple((name, "a code per position") for name in names)),
        "decode": Rows("the mean of data given codes", decode, given, mean),
        "reconstruct": Rows("the mean of data given their codes", lambda tree, x: decode(tree, *_all(encode(tree, x))),
                            (pixels,), mean),
    }  # fmt: skip
    left_out = {"sample": "codes have no prior here: draw with experiments.sample of a run of experiments.train prior"}
    return Functions(_tree(run), rows, left_out)


def classes(run: FinishedRun) -> Functions:
    """Of a classifier."""
    model, x = run.prepared.program.model, run.prepared.train["x"]

    def classify(tree: Tree, x: Tensor) -> Tensor:
        return torch.log_softmax(model.logits(tree["params"]["model"], x), -1)

    pixels = Argument("x", dtype_of(x), tuple(x.shape[1:]), "a row of pixels per datum")
    output = (("log_p", "log p(class | x) of each class"),)
    return Functions(_tree(run), {"classify": Rows("log probabilities of classes", classify, (pixels,), output)}, {})


def draws(run: FinishedRun) -> Functions:
    """Of whatever draws data, each row by its own key."""
    program = run.prepared.program

    def sample(tree: Tree, key: Key) -> Tensor:
        return program.sample(tree["params"], tree["state"], key, 1)[0]

    x = program.sample(run.params, run.state, keys.key(0, trees.leaves(run.params)[0].device), 1)
    about = f"a draw like {trained_on(run).shape[1]} numbers of the data" if x.ndim == 2 else "a draw"
    return Functions(_tree(run), {"sample": Rows(about, by_row(sample), (KEY,), (("x", "in the data's units"),))}, {})


def _tree(run: FinishedRun) -> Tree:
    return {"params": run.params, "state": run.state}


def _all(outputs: Any) -> tuple[Tensor, ...]:
    return outputs if isinstance(outputs, tuple) else (outputs,)

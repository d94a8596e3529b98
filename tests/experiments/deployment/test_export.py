"""The command: what it says and leaves, other kinds of runs, ONNX, and what it refuses."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from jensen.core import keys
from jensen.experiments import export
from jensen.experiments.deployment import kinds, load, tracing
from jensen.experiments.deployment.manifest import MANIFEST
from jensen.experiments.programs.code_prior import CodePriorProgram
from jensen.experiments.programs.finished import read_run
from jensen.experiments.run import files
from jensen.experiments.run.errors import InputError
from tests.experiments.process import contents, run

SMALL = ["--no-compile", "--steps", "10", "--batch", "20", "--checkpoint-every", "10"]
TEXT = "one two three four five six seven eight nine ten, at last. " * 20
RUNS = {
    "hvae": ["hvae", "--hidden", "8", "--latents", "4", "2", "--evidence-k", "2", *SMALL],
    "cvae": ["cvae", "--hidden", "8", "--evidence-k", "2", *SMALL],
    "iaf": ["vae", "--posterior", "iaf(8)", "--hidden", "8", "--latent", "2", "--evidence-k", "2", *SMALL],
    "lagged": ["vae", "--inner-steps", "1", "--hidden", "8", "--latent", "2", "--evidence-k", "2", *SMALL],
    "vq": ["vq", "--hidden", "8", "--quantiser", "vq(16)", *SMALL],
    "gan": ["gan", "--hidden", "8", *SMALL],
    "normalising": ["normalising", "--hidden", "8", *SMALL],
    "classifier": ["classifier", "--hidden", "8", *SMALL],
    "lm": ["lm", "--text", "text.txt", "--width", "8", "--layers", "1", "--context", "16", "--lr-warmup", "1", *SMALL],
    "reptile": ["reptile", "--hidden", "8", *SMALL],
}


PRIOR = CodePriorProgram(model=None, coder=None, batches=None)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """runs(name): the folder of a finished run, trained where it is asked for first."""
    place = tmp_path_factory.mktemp("runs")
    (place / "text.txt").write_text(TEXT)

    def folder(name):
        if not (place / name).exists():
            args = [place / each if each == "text.txt" else each for each in RUNS[name]]
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("jensen.experiments.report.points.DRAWN", 40)
                run(*args, "--out", place / name)
        return place / name

    return folder


def given(argument, n):
    """Values that an input may have."""
    if argument.name == "key":
        return keys.at(keys.key(1), datum=torch.arange(n))
    if argument.dtype == "int64":
        return keys.bits(keys.key(2), (n, *argument.shape)) % int(argument.high + 1)
    x = keys.uniform(keys.key(2), (n, *argument.shape), getattr(torch, argument.dtype))
    return x.round() if argument.whole else x


EXPECTED = {
    "hvae": {"encode", "decode", "reconstruct", "sample", "score"},
    "cvae": {"encode", "decode", "reconstruct", "sample", "score"},
    "iaf": {"decode", "sample", "score"},
    "lagged": {"encode", "decode", "reconstruct", "sample", "score"},
    "vq": {"encode", "decode", "reconstruct"},
    "gan": {"sample"},
    "normalising": {"sample"},
    "classifier": {"classify"},
    "lm": {"score", "prefill", "step"},
}


SLOW = [name for name in EXPECTED if name not in ("vq", "gan", "classifier")]


@pytest.mark.parametrize(
    "name", ["vq", "gan", "classifier", *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]
)
def test_every_function_of_a_kind_is_that_of_the_run(name, runs):
    """Traced by 3 rows, on 5: as the function itself computes it, to the rounding."""
    found = kinds.functions(read_run(runs(name)), 4)
    assert {*found.rows} <= EXPECTED[name]
    assert EXPECTED[name] <= {*found.rows, *found.left_out}
    for rows in found.rows.values():
        inputs = [given(argument, 5) for argument in rows.inputs]
        program = tracing.traced(rows, found.tree)
        torch.testing.assert_close(program.module()(*inputs), rows.call(found.tree, *inputs), rtol=1e-4, atol=1e-4)


def test_it_says_what_it_wrote(done, written, tmp_path, capsys):
    before = contents(done.folder)
    export.main([str(done.folder), "--out", str(tmp_path / "x"), "--only", "decode", "--no-aot", "--no-onnx"])
    digest = files.digest(tmp_path / "x" / MANIFEST)
    assert capsys.readouterr().out.splitlines() == [
        f"vae in {tmp_path / 'x'}, of 1 to 4096 rows:",
        "  decode: z (n, 2) -> mean (n, 64)  [program]",
        f"sha256 of its manifest.json: {digest}",
    ]
    assert contents(done.folder) == before
    assert list(load(tmp_path / "x", digest=digest)) == ["decode"]
    first, again = ((folder / "params.safetensors").stat().st_size for folder in (written, tmp_path / "x"))
    assert again < first  # of the decoder alone


def test_an_onnx_model_computes_the_same(done, tmp_path, exported):
    onnxruntime = pytest.importorskip("onnxruntime")
    export.main([str(done.folder), "--out", str(tmp_path / "x"), "--only", "decode", "--no-aot"])
    session = onnxruntime.InferenceSession(tmp_path / "x" / "decode.onnx", providers=["CPUExecutionProvider"])
    for n in (1, 7, 64):
        z = keys.normal(keys.key(0), (n, 2))
        (found,) = session.run(None, {session.get_inputs()[0].name: z.numpy()})
        np.testing.assert_allclose(found, exported["decode"](z).numpy(), rtol=1e-5, atol=1e-6)


def test_what_cannot_be_compiled_is_left_out_with_the_reason(done, tmp_path, monkeypatch, capsys):
    def fails(*_, **__):
        raise RuntimeError("No working C++ compiler\nat all")

    monkeypatch.setattr("torch._inductor.aoti_compile_and_package", fails)
    export.main([str(done.folder), "--out", str(tmp_path / "x"), "--only", "decode", "--no-onnx"])
    assert "  no decode (aot): No working C++ compiler at all" in capsys.readouterr().out.splitlines()
    assert load(tmp_path / "x")["decode"].backend == "program"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--k", 0), "expected --k from 1 to"),
        (("--only", "dream"), "expected --only of functions that there are, got dream: there are score, decode"),
        (("--c-library", "--no-aot"), "--c-library calls compiled packages: leave --no-aot out"),
    ],
)
def test_what_cannot_be_exported_is_one_clear_line(args, message, done, refused, tmp_path):
    assert message in refused(export.main, done.folder, "--out", tmp_path / "x", *args)
    assert not (tmp_path / "x").exists()


def test_folders_are_refused(done, written, refused, tmp_path, runs):
    assert "holds no run: pass the folder" in refused(export.main, tmp_path / "nowhere")
    assert "holds an export, or another part of a run" in refused(export.main, written)
    (tmp_path / "file").write_text("mine")
    said = refused(export.main, done.folder, "--out", tmp_path / "file" / "x")
    assert said.endswith("file/x cannot be made (a file is where a folder above it should be): choose another --out")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine").write_text("mine")
    said = refused(export.main, done.folder, "--out", tmp_path / "taken")
    assert said.endswith("taken is there already: choose another --out, or move it away")
    assert "which has no functions to export: see its report.txt" in refused(export.main, runs("reptile"))
    prior = SimpleNamespace(settings=None, kind="prior", folder="runs/prior", prepared=SimpleNamespace(program=PRIOR))
    with pytest.raises(InputError, match=r"holds a prior of codes, .* draw with experiments\.sample runs/prior"):
        kinds.functions(prior, 4)


def test_an_unfinished_run_is_refused(finished, refused):
    (finished / "report.json").unlink()
    assert "has not finished: go on with experiments.train --resume" in refused(export.main, finished)
    assert not (finished / "export").exists()


def test_a_failed_export_leaves_nothing(done, tmp_path, monkeypatch, refused):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("jensen.experiments.deployment.writing.write_manifest", full)
    said = refused(export.main, done.folder, "--out", tmp_path / "x", "--only", "decode", "--no-aot", "--no-onnx")
    assert "x could not be written (No space left on device)" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("dim", [0, 1, 2, -1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.int64])
def test_joined_tensors_are_concatenated(dim, dtype):
    parts = [torch.arange(24).reshape(2, 3, 4).to(dtype), torch.arange(24, 48).reshape(2, 3, 4).to(dtype)]
    parts.append(parts[0].narrow(dim, 0, 1))
    assert torch.equal(tracing.joined(parts, dim), torch.cat(parts, dim))

"""What cannot work is told in one line with the fix, before anything is begun."""

import json

import pytest
import torch

from jensen.experiments import evaluate, runs, train
from tests.experiments.process import rewrite

SBN = ["--model", "sbn"]
WRONG = {
    "k 0": (["--k", "0"], "expected --k of at least 1, got 0"),
    "no steps": (["--steps", "0"], "expected --steps of at least 1"),
    "nan rate": (["--lr", "nan"], "expected a positive --lr, got nan"),
    "huge k": (["--k", str(2**31)], "expected --k of at least 1 and below 2^31"),
    "clip of 0": (["--clip", "1e-50"], "--clip 1e-50 is 0 in float32: pass at least 1e-38"),
    "negative clip": (["--clip", "-1"], "expected a positive --clip"),
    "negative weight": (["--kl-weight", "-1"], "expected a non-negative --kl-weight"),
    "grey bernoulli": (["--pixels", "grey"], "binarise with --pixels dynamic or static, or choose --likelihood"),
    "binary gaussian": (["--likelihood", "gaussian"], "add --pixels grey"),
    "iwae free bits": (["--bound", "iwae", "--free-bits", "0.1"], "use --bound elbo"),
    "long warm-up": (["--lr-warmup", "9", "--steps", "5"], "--lr-warmup 9 exceeds the 5 steps: shorten it"),
    "large batch": (["--batch", "5000"], "--batch 5000 exceeds the 1437 training data: pass at most that many"),
    "no folder": (["--data", "mnist", "--data-dir", "nowhere"], "--data-dir nowhere is no folder"),
    "digits folder": (["--data-dir", "."], "use --data mnist"),
    "no device": (["--device", "quantum"], "--device quantum cannot be used"),
    "levels": (["--network", "conv", "--channels", "4", "4", "4", "4"], "divisible by 2 per level"),
    "no run": (["--resume", "nowhere"], "nowhere holds no run"),
    "resume a file": (["--resume", __file__], "holds no run: pass the folder"),
    "huge seed": (["--seed", str(2**63)], "expected --seed in [0, 2^63)"),
    "static without a folder": (["--data", "mnist-static"], "pass --data-dir with the folder of binarized_mnist.npz"),
    "static without its file": (["--data", "mnist-static", "--data-dir", "."], "has no binarized_mnist.npz"),
    "static anew": (["--data", "mnist-static", "--pixels", "dynamic"], "mnist-static is binary already"),
    "no temperature": (["--temperature", "0"], "expected a positive --temperature"),
    "widths of a conv": (["--network", "conv", "--hidden", "8"], "the conv network has no --hidden: leave it out"),
    "channels of an mlp": (["--channels", "8"], "the mlp has no --channels: leave it out, or use --network conv"),
    "temperature of a vae": (["--temperature", "0.3"], "and analytic-kl has none: leave it out"),
    "temperature of score": ([*SBN, "--temperature", "0.3"], "--temperature is for --estimator concrete, gumbel"),
    "grey sbn": ([*SBN, "--pixels", "grey", "--likelihood", "gaussian"], "the sbn is a model of binary pixels"),
    "latents of an sbn": ([*SBN, "--latent", "3"], "the sbn has no --latent"),
    "layers of a vae": (["--layers", "2"], "the vae has no --layers"),
    "conv sbn": ([*SBN, "--network", "conv"], "the sbn has no --network conv"),
    "path of discrete units": ([*SBN, "--estimator", "dreg"], "the sbn's are discrete: use score or disarm"),
    "units of a vae": (["--estimator", "rebar"], "--estimator rebar is for the sbn's Bernoulli units: use pathwise"),
    "dependent units": ([*SBN, "--layers", "2", "--estimator", "disarm"], "use score or wake, or --layers 1"),
    "arm of iwae": ([*SBN, "--bound", "iwae", "--estimator", "arm"], "estimator for the ELBO: use score or wake"),
    "stl of iwae": (["--bound", "iwae", "--estimator", "stl"], "estimator for the ELBO: use dreg or pathwise"),
    "dreg of elbo": (["--k", "5", "--estimator", "dreg"], "for --bound iwae: add that, or use stl"),
    "dreg of one": (["--bound", "iwae", "--estimator", "dreg"], "needs --k of at least 2, got 1: draw more samples"),
    "wake of elbo": ([*SBN, "--k", "2", "--estimator", "wake"], "for --bound iwae: add that, or use score"),
    "baseline alone": (
        [*SBN, "--baseline", "leave-one-out"],
        "--k 1 has none: draw more samples, or use --baseline nvil",
    ),
    "baseline of arm": ([*SBN, "--estimator", "arm", "--baseline", "nvil"], "nvil is for --estimator score"),
    "baseline of a vae": (["--baseline", "nvil"], "nvil is for --estimator score, and analytic-kl takes none"),
    "weighted sbn": ([*SBN, "--kl-warmup", "9"], "need --estimator analytic-kl or pathwise, got score"),
    "sbn free bits": ([*SBN, "--free-bits", "0.1"], "--free-bits needs a KL in closed form, and score has none"),
}


@pytest.mark.parametrize("name", WRONG)
def test_bad_input_is_told_with_the_fix(name, tmp_path, monkeypatch, refused):
    args, message = WRONG[name]
    monkeypatch.chdir(tmp_path)
    assert message in refused(train.main, "--no-compile", *args)
    assert not list(tmp_path.iterdir())  # nothing is begun before it can work


UNPARSED = {
    "unknown option": (["--lattent", "3"], "Unrecognized options: --lattent"),
    "no number": (["--k", "many"], "Error parsing --k"),
    "unknown model": (["--model", "gan"], "invalid choice 'gan'"),
    "three layers": ([*SBN, "--layers", "3"], "invalid choice '3'"),
}


@pytest.mark.parametrize("name", UNPARSED)
def test_what_is_no_option_is_told_in_tyros_box(name, monkeypatch, capsys):
    args, message = UNPARSED[name]
    monkeypatch.setattr("sys.argv", ["train", *args])
    with pytest.raises(SystemExit) as stopped:
        train.main()
    errors = capsys.readouterr().err
    assert stopped.value.code == 2
    assert message in " ".join(errors.split())
    assert "Traceback" not in errors


def test_a_run_is_never_overwritten_nor_resumed_as_another(whole, refused):
    folder, _ = whole
    assert f"holds a run: go on with --resume {folder}" in refused(train.main, "--out", folder)
    assert "has --latent 2 where this run has 3" in refused(train.main, "--resume", folder, "--latent", "3")
    assert "--resume goes on in its own folder" in refused(train.main, "--resume", folder, "--out", "elsewhere")


DAMAGE = {
    "config.json": ('{"latent": ', "is damaged"),
    "metrics.jsonl": ("garbage\n", "is damaged"),
    "last.safetensors": ("garbage", "is damaged or no checkpoint"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_run_files_are_told_with_the_fix(name, finished, refused):
    content, message = DAMAGE[name]
    (finished / name).write_text(content)
    assert message in refused(train.main, "--resume", finished)


FALSE = {
    "model": ("foo", "expected model of 'vae' or 'sbn', got 'foo'"),
    "data": ("foo", "expected data of 'digits' or"),
    "latent": (1.5, "expected latent of int, got 1.5"),
    "activation": ("foo", "expected activation of"),
    "dtype": ("foo", "expected dtype of"),
    "seed": (0.5, "expected seed of int, got 0.5"),
    "on_nan": ("foo", "expected on_nan of 'raise' or 'skip'"),
    "log_every": (7.5, "expected log_every of int"),
    "compile": (1, "expected compile of bool, got 1"),
    "layers": (True, "expected layers of 1 or 2, got True"),
    "hidden": ([8, "8"], "expected hidden of tuple[int, ...] | None, got [8, '8']"),
    "clip": ("1", "expected clip of float | None"),
    "data_dir": (3, "expected data_dir of"),
    "k": (0, "config.json: expected --k of at least 1, got 0"),
    "other": (1, "config.json: it is of another version, which differs in other: start a new run"),
}


@pytest.mark.parametrize("name", FALSE)
def test_settings_of_false_content_are_told_once(name, finished, refused):
    value, message = FALSE[name]
    config = json.loads((finished / runs.CONFIG).read_text()) | {name: value}
    (finished / runs.CONFIG).write_text(json.dumps(config))
    for main, args in ((train.main, ["--resume", finished]), (evaluate.main, [finished])):
        error = refused(main, *args)
        assert message in error
        assert error.count("config.json") == 1


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"state": []}, "are no objects"),
        ({"config": []}, "are no objects"),
        ({"state": {"step": "many"}}, "expected step of int, got 'many'"),
        ({"state": {"stop": 1}}, "unexpected keyword argument"),
    ],
)
def test_checkpoints_of_false_content_are_told(metadata, message, finished, refused):
    rewrite(finished, **metadata)
    error = refused(train.main, "--resume", finished)
    assert message in error
    assert error.endswith("remove it to start over")


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_parameters_that_are_not_finite_are_told(value, finished, refused):
    rewrite(finished, **{"params.encoder.0.bias": torch.full((16,), value)})
    problem = f"{finished / runs.LAST}: encoder.0.bias is not finite"
    assert f"{problem}: restore it, or train again" in refused(evaluate.main, finished)
    assert not (finished / "evaluation").exists()
    rewrite(finished, {"step": 100}, **{"params.encoder.0.bias": torch.full((16,), value)})
    assert f"{problem}: remove it to start over" in refused(train.main, "--resume", finished)

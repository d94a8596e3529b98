"""What cannot work is told in one line with the fix, before anything is begun."""

import shutil
import sys

import pytest

from jensen.experiments import train

SBN = ["--model", "sbn"]
WRONG = {
    "k 0": (["--k", "0"], "expected --k of at least 1, got 0"),
    "no steps": (["--steps", "0"], "expected --steps of at least 1"),
    "nan rate": (["--lr", "nan"], "expected a positive --lr, got nan"),
    "negative clip": (["--clip", "-1"], "expected a positive --clip"),
    "negative weight": (["--kl-weight", "-1"], "expected a non-negative --kl-weight"),
    "grey bernoulli": (["--pixels", "grey"], "binarise with --pixels dynamic or static, or choose --likelihood"),
    "binary gaussian": (["--likelihood", "gaussian"], "add --pixels grey"),
    "iwae free bits": (["--bound", "iwae", "--free-bits", "0.1"], "use --bound elbo"),
    "large batch": (["--batch", "5000"], "--batch 5000 exceeds the 1437 training data: pass at most that many"),
    "no folder": (["--data", "mnist", "--data-dir", "nowhere"], "--data-dir nowhere is no folder"),
    "digits folder": (["--data-dir", "."], "use --data mnist"),
    "no device": (["--device", "quantum"], "--device quantum cannot be used"),
    "levels": (["--network", "conv", "--channels", "4", "4", "4", "4"], "divisible by 2 per level"),
    "no run": (["--resume", "nowhere"], "nowhere holds no run"),
    "resume a file": (["--resume", __file__], "holds no run: pass the folder"),
    "resume and out": (["--resume", "a", "--out", "b"], "holds no run"),
    "huge seed": (["--seed", str(2**63)], "expected --seed in [0, 2^63)"),
    "unknown option": (["--lattent", "3"], "Unrecognized options: --lattent"),
    "no number": (["--k", "many"], "Error parsing --k"),
    "unknown model": (["--model", "gan"], "invalid choice 'gan'"),
    "static without a folder": (["--data", "mnist-static"], "pass --data-dir with the folder of binarized_mnist.npz"),
    "static without its file": (["--data", "mnist-static", "--data-dir", "."], "has no binarized_mnist.npz"),
    "static anew": (["--data", "mnist-static", "--pixels", "dynamic"], "mnist-static is binary already"),
    "no temperature": (["--temperature", "0"], "expected a positive --temperature"),
    "three layers": ([*SBN, "--layers", "3"], "invalid choice '3'"),
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
def test_bad_input_is_told_with_the_fix(name, tmp_path, monkeypatch, capsys):
    args, message = WRONG[name]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train", "--no-compile", *args])
    with pytest.raises(SystemExit) as stopped:
        train.main()
    errors = " ".join(capsys.readouterr().err.split())
    assert stopped.value.code == 2
    assert message in errors
    assert "Traceback" not in errors
    assert not list(tmp_path.iterdir())  # nothing is begun before it can work


def test_a_run_is_never_overwritten_nor_resumed_as_another(whole, monkeypatch, capsys):
    folder, _ = whole
    for args, message in (
        (["--out", str(folder)], f"holds a run: go on with --resume {folder}"),
        (["--resume", str(folder), "--latent", "3"], "has --latent 2 where this run has 3"),
    ):
        monkeypatch.setattr(sys, "argv", ["train", *args])
        with pytest.raises(SystemExit) as stopped:
            train.main()
        assert stopped.value.code == 2
        assert message in capsys.readouterr().err


DAMAGE = {
    "config.json": ('{"latent": ', "is damaged"),
    "metrics.jsonl": ("garbage\n", "is damaged"),
    "last.safetensors": ("garbage", "is damaged or no checkpoint"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_run_files_are_told_with_the_fix(name, whole, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "copy"
    shutil.copytree(whole[0], folder)
    content, message = DAMAGE[name]
    (folder / name).write_text(content)
    monkeypatch.setattr(sys, "argv", ["train", "--resume", str(folder)])
    with pytest.raises(SystemExit) as stopped:
        train.main()
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err

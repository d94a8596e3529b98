"""What cannot work is one line with the fix, before anything is begun."""

import json

import pytest
import torch

from jensen.experiments import evaluate, train
from tests.experiments.process import contents, last, rewrite

SBN = ["sbn"]
WRONG = {
    "unknown kind": (["no-such-model", "--k", "5"], "expected what to train, one of vae, "),
    "misspelt kind": (["vea"], "got 'vea': the nearest is vae"),
    "k 0": (["--k", "0"], "expected --k of at least 1, got 0"),
    "no width": (["--hidden", "8", "0"], "expected --hidden of at least 1, got 0"),
    "no latents": (["--latent", "-3"], "expected --latent of at least 1, got -3"),
    "no channels": (["--network", "conv", "--channels", "0"], "expected --channels of at least 1, got 0"),
    "no units": ([*SBN, "--units", "0"], "expected --units of at least 1, got 0"),
    "no layers": ([*SBN, "--layers", "0"], "expected --layers of at least 1, got 0"),
    "no steps": (["--steps", "0"], "expected --steps of at least 1"),
    "nan rate": (["--lr", "nan"], "expected a positive --lr, got nan"),
    "eps of 0 in float32": (["--eps", "1e-60"], "--eps 1e-60 is 0 in float32"),
    "beta2 of sgd": (["--optimiser", "sgd", "--beta2", "0.5"], "sgd has neither: leave them out"),
    "cycles without steps": (["--kl-cycles", "5", "--steps", "8"], "exceeds half of the 8 steps"),
    "final temperature of a vae": (["--temperature-final", "0.1"], "has no --temperature-final: leave it out"),
    "learned rate of nothing": (["--learned-lr", "0.1"], "is for --baseline nvil and --estimator relax"),
    "no such module": (["--device", "privateuseone"], "--device privateuseone cannot be used"),
    "long name": (["--data", "mnist", "--data-dir", "x" * 300], "cannot be used (File name too long)"),
    "resume a long name": (["--resume", "x" * 300], "cannot be used (File name too long): choose a shorter name"),
    "huge k": (["--k", str(2**31)], "expected --k of at least 1"),
    "huge latent": (["--latent", str(2**31 - 1)], "this does not fit in memory: lower --k, --batch, --evidence-k or"),
    "negative clip": (["--clip", "-1"], "expected a positive --clip"),
    "negative weight": (["--objective", "beta(-1)"], "--objective beta(-1): expected weight in [0, inf), got -1"),
    "unknown objective": (["--objective", "betta(1)"], "the nearest is 'beta'"),
    "unknown bound": (["--bound", "iwea"], "the nearest is 'iwae'"),
    "bound of the wrong kind": (["--bound", "renyi(a)"], "renyi"),
    "unknown estimator": (["--estimator", "drag"], "got drag: the nearest is dreg"),
    "unknown likelihood": (["--likelihood", "gausian"], "expected --likelihood of bernoulli, "),
    "grey bernoulli": (["--pixels", "grey"], "binarise with --pixels dynamic or static, or choose --likelihood"),
    "binary gaussian": (["--likelihood", "gaussian"], "add --pixels grey"),
    "objective of a bound": (["--bound", "iwae", "--objective", "free-bits(0.1)"], "leave out --bound iwae"),
    "long warm-up": (["--lr-warmup", "9", "--steps", "5"], "--lr-warmup 9 exceeds the 5 steps: shorten it"),
    "large batch": (["--batch", "5000"], "--batch 5000 exceeds the 1437 training data: pass at most that many"),
    "no folder": (["--data", "mnist", "--data-dir", "nowhere"], "--data-dir nowhere is no folder"),
    "digits folder": (["--data-dir", "."], "use --data mnist"),
    "no device": (["--device", "quantum"], "--device quantum cannot be used"),
    "levels": (["--network", "conv", "--channels", "4", "4", "4", "4"], "divisible by 2 per level"),
    "no run": (["--resume", "nowhere"], "nowhere holds no run"),
    "resume a file": (["--resume", __file__], "holds no run: pass the folder"),
    "resume nothing": (["--resume"], "--resume needs the folder of a run"),
    "huge seed": (["--seed", str(2**63)], "expected --seed in [0, 2^63)"),
    "static without a folder": (["--data", "mnist-static"], "pass --data-dir with the folder of binarized_mnist.npz"),
    "static without its file": (["--data", "mnist-static", "--data-dir", "."], "has no binarized_mnist.npz"),
    "static anew": (["--data", "mnist-static", "--pixels", "dynamic"], "mnist-static is binary already"),
    "no temperature": (["--temperature", "0"], "expected a positive --temperature"),
    "no posterior temperature": (["--posterior-temperature", "-1"], "expected a positive --posterior-temperature"),
    "widths of a conv": (["--network", "conv", "--hidden", "8"], "the conv network has no --hidden: leave it out"),
    "channels of an mlp": (["--channels", "8"], "the mlp has no --channels: leave it out, or use --network conv"),
    "temperature of a vae": (["--temperature", "0.3"], "--estimator analytic-kl has no --temperature: leave it out"),
    "grey sbn": ([*SBN, "--pixels", "grey"], "the sbn is a model of binary pixels"),
    "path of discrete units": ([*SBN, "--estimator", "dreg"], "use disarm, or score with a baseline"),
    "units of a vae": (["--estimator", "rebar"], "use pathwise, stl or dreg"),
    "dependent units": ([*SBN, "--layers", "2", "--estimator", "disarm"], "use score with a baseline"),
    "arm of iwae": ([*SBN, "--bound", "iwae", "--k", "2", "--estimator", "arm"], "use score with a baseline"),
    "stl of iwae": (["--bound", "iwae", "--k", "2", "--estimator", "stl"], "use dreg"),
    "wake of elbo": ([*SBN, "--k", "2", "--estimator", "wake"], "wake needs any bound but the ELBO"),
    "baseline alone": ([*SBN, "--baseline", "leave-one-out"], "needs at least 2 samples, got 1"),
    "baseline of arm": ([*SBN, "--estimator", "arm", "--baseline", "nvil"], "nvil is for --estimator score"),
    "baseline of a vae": (["--baseline", "nvil"], "nvil is for --estimator score"),
    "objective and another estimator": (["--objective", "beta(2)", "--estimator", "stl"], "leave --estimator out"),
    "beta of two layers": ([*SBN, "--layers", "2", "--objective", "beta(4)"], "needs a KL in closed form"),
    "total correlation of an sbn": ([*SBN, "--objective", "beta-tc(6)"], "beta-tc needs a reparameterised q"),
    "free bits of two layers": ([*SBN, "--layers", "2", "--objective", "free-bits(0.1)"], "needs a KL in closed form"),
    "cycles and warm-up": (["--kl-cycles", "4", "--kl-warmup", "9"], "leave out --kl-warmup"),
    "capacity of what has none": (["--capacity-warmup", "9"], "is for --objective capacity"),
    "average": (["--average", "1"], "expected --average in (0, 1)"),
    "accumulate": (["--batch", "4", "--accumulate", "5"], "--accumulate 5 exceeds --batch 4"),
    "held out": (["--held-out", "1"], "expected --held-out in [0, 1)"),
    "momentum of adam": (["--momentum", "0.9"], "--momentum is for sgd and rmsprop"),
    "beta1 of sgd": (["--optimiser", "sgd", "--beta1", "0.5"], "has --momentum: leave it out"),
    "sumo of few": (["--bound", "sumo(3)", "--k", "3"], "--bound sumo(3) needs --k above 3, got 3"),
    "miwae of other sizes": (["--bound", "miwae(2, 3)", "--k", "5"], "expected log_w of m k = 2 x 3 samples, got 5"),
    "jackknife of one": (["--bound", "jackknife(1)"], "expected an order 0 <= m < s, got m = 1"),
}


@pytest.mark.parametrize("name", WRONG)
def test_bad_input_is_refused_with_the_fix(name, tmp_path, monkeypatch, refused):
    args, message = WRONG[name]
    monkeypatch.chdir(tmp_path)
    kind, rest = (args[:1], args[1:]) if args[0] in ("sbn", "no-such-model", "vea") else ([], args)
    assert message in refused(train.main, *kind, "--no-compile", *rest)
    assert not list(tmp_path.iterdir())  # nothing is begun before it can work


UNPARSED = {
    "unknown option": (["--lattent", "3"], "Unrecognized options: --lattent"),
    "no number": (["--k", "many"], "Error parsing --k"),
    "layers of a vae": (["--layers", "2"], "Unrecognized options: --layers"),
    "latents of an sbn": ([*SBN, "--latent", "3"], "Unrecognized options: --latent"),
}


@pytest.mark.parametrize("name", UNPARSED)
def test_what_is_no_option_is_in_tyros_box(name, capsys):
    args, message = UNPARSED[name]
    with pytest.raises(SystemExit) as stopped:
        train.main(args)
    errors = capsys.readouterr().err
    assert stopped.value.code == 2
    assert message in " ".join(errors.split())
    assert "Traceback" not in errors


def test_help_names_every_kind_and_recipe(capsys):
    for args, words in (
        (["--help"], ("vae", "classifier", "mnist-vae")),
        (["vae", "--help"], ("--bound", "renyi(alpha)")),
    ):
        with pytest.raises(SystemExit) as stopped:
            train.main(args)
        assert stopped.value.code == 0
        printed = capsys.readouterr().out
        assert all(word in printed for word in words), printed


def test_a_run_knows_what_it_trains(finished, refused):
    line = refused(train.main, "vae", "--resume", finished)
    assert line.endswith(f"--resume knows what the run in {finished} trains: leave out vae")


@pytest.mark.parametrize(
    ("options", "spoil"),
    [(["--steps", "50"], None), (["--latent", "3"], None), (["--device", "cuda:99"], None), ([], "metrics.jsonl"),
     ([], "step-000100.safetensors")],
    ids=str,
)  # fmt: skip
def test_a_resume_that_is_refused_changes_nothing(options, spoil, finished, refused):
    """A finished run is not an unfinished one after a slip of the keyboard, nor one of other settings."""
    if spoil is not None:
        (finished / spoil).write_bytes(b"{}\n" + (finished / spoil).read_bytes())
    before = contents(finished)
    refused(train.main, "--resume", finished, *options)
    assert contents(finished) == before
    assert (finished / "report.json").exists()


def test_a_run_is_never_overwritten_nor_resumed_as_another(whole, refused):
    folder, _ = whole
    assert f"holds a run: go on with --resume {folder}" in refused(train.main, "--out", folder)
    assert "has --latent 2 where this run has --latent 3" in refused(train.main, "--resume", folder, "--latent", "3")
    assert "--resume goes on in its own folder" in refused(train.main, "--resume", folder, "--out", "elsewhere")


DAMAGE = {
    "config.json": ('{"latent": ', "is damaged"),
    "metrics.jsonl": ("garbage\n", "is damaged"),
    "step-000100.safetensors": ("garbage", "is damaged"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_run_files_are_refused_with_the_fix(name, finished, refused):
    content, message = DAMAGE[name]
    (finished / name).write_text(content)
    assert message in refused(train.main, "--resume", finished)


def test_a_run_of_an_older_version_is_refused_by_every_command(finished, refused):
    (finished / "config.json").write_text(json.dumps({"model": "vae", "latent": 2}))
    for main, args in ((train.main, ["--resume", finished]), (evaluate.main, [finished])):
        assert "written by an older version, which named no schema: start a new run" in refused(main, *args)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_parameters_that_are_not_finite_are_refused(value, finished, refused):
    name = "params.model.encoder.0.bias"
    rewrite(finished, **{name: torch.full((16,), value)})
    problem = f"{last(finished)[0]}: {name} is not finite"
    assert problem in refused(evaluate.main, finished)
    assert not (finished / "evaluation").exists()
    assert f"{problem}: remove it to start over" in refused(train.main, "--resume", finished)


@pytest.mark.parametrize("state", [{"step": "many"}, {"stop": 1}, {}])
def test_checkpoints_of_other_content_are_refused(state, finished, refused):
    rewrite(finished, state=state)
    assert "where the run stands is not as expected" in refused(train.main, "--resume", finished)

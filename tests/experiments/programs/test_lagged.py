"""An encoder that takes steps of its own: which turns move what, and runs that go on and are read again."""

import pytest
import torch
from torch.func import grad

from jensen import laws
from jensen.core import keys, trees
from jensen.core.models.latent import vae
from jensen.experiments import train
from jensen.experiments.programs.estimation import Estimation
from jensen.experiments.programs.finished import read_finished
from jensen.experiments.programs.lagged import LaggedProgram
from jensen.experiments.run.loop import Loop
from tests.experiments.process import FAST, last, run, same_files
from tests.experiments.programs.small import data, out, program

KEY = keys.key(6)
PLAIN = program(Estimation(k=2), vae.mlp(4, (3,), 2))
LAGGED = LaggedProgram(**vars(PLAIN), inner=2)
SMALL = [*FAST, "--inner-steps", "1"]


def test_the_encoder_has_turns_of_its_own_and_the_loss_is_the_vaes():
    assert [turn.groups for turn in LAGGED.turns] == [("encoder",), ("encoder",), ("model",)]
    params, state = LAGGED.init(KEY, data(40))
    plain, _ = PLAIN.init(KEY, data(40))
    assert sorted(params["model"]) == ["decoder", "likelihood", "posterior", "prior"]
    torch.testing.assert_close(LAGGED.merged(params), {**plain, "encoder": params["encoder"]})
    torch.testing.assert_close(out(LAGGED, params, state).loss, out(PLAIN, plain, state).loss)
    slopes = grad(lambda params: out(LAGGED, params, state).loss)(params)
    whole = grad(lambda params: out(PLAIN, params, state).loss)(plain)["model"]
    for found, expected in ((slopes["encoder"], whole["encoder"]), (slopes["model"]["decoder"], whole["decoder"])):
        torch.testing.assert_close(trees.ravel(found)[0], trees.ravel(expected)[0])


def test_it_keeps_the_laws_of_programs():
    laws.check(LAGGED, example=data(40).float())


def options(steps):
    small = list(SMALL)
    for option, value in {"--steps": str(steps), "--checkpoint-every": "1", "--log-every": "1"}.items():
        small[small.index(option) + 1] = value
    return small


def test_a_run_goes_on_in_mid_cycle_and_is_read_again(tmp_path, monkeypatch):
    run(*options(4), "--out", tmp_path / "whole")
    original = Loop.step

    def stop(self):
        if self.progress.step == 1:
            raise KeyError
        original(self)

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "step", stop)
        with pytest.raises(KeyError):
            run(*options(4), "--out", tmp_path / "run")
    _, first = last(tmp_path / "run")
    assert not [name for name in first.tensors if name.startswith("optimiser.model")]  # the encoder's turn is the first
    run("--resume", tmp_path / "run")
    same_files(tmp_path / "whole", tmp_path / "run")
    whole, (_, after) = read_finished(tmp_path / "run"), last(tmp_path / "run")
    assert torch.equal(whole.params["encoder"]["0"]["weight"], after.tensors["params.encoder.0.weight"])
    assert torch.equal(whole.params["decoder"]["0"]["weight"], after.tensors["params.model.decoder.0.weight"])


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("vae", "--inner-steps", -1), "expected --inner-steps of at least 0, got -1"),
        (("factor", "--inner-steps", 2), "--inner-steps 2 is for a vae: leave it out"),
    ],
)
def test_bad_input_is_one_clear_line(args, message, tmp_path, refused):
    assert message in refused(train.main, *args, "--out", tmp_path / "run")
    assert not list(tmp_path.iterdir())

"""The multimodal autoencoder as a program: its halves, each half's own term, retrieval, and the same `evaluate`."""

import json
from functools import partial

import pytest
import torch
from torch.func import grad

from jensen import laws
from jensen.core import keys, trees
from jensen.core.models.latent import multimodal
from jensen.core.models.latent.likelihoods import GAUSSIAN
from jensen.experiments import evaluate, train
from jensen.experiments.data import labelled
from jensen.experiments.data.batches import Epochs
from jensen.experiments.programs.estimation import Estimation
from jensen.experiments.programs.latent import LatentProgram
from jensen.experiments.programs.modalities import MultimodalProgram
from jensen.experiments.programs.multimodal import Multimodal
from jensen.experiments.report.modalities import Direction, ranks, retrieval
from jensen.experiments.run.settings import Run
from jensen.experiments.run.step import unclipped
from jensen.laws.oracles import bernoulli_log_density
from tests.experiments.process import FEW, run

KEY = keys.key(0)
DIGITS = labelled.digits()
EACH = pytest.mark.parametrize("experts", multimodal.EXPERTS)
FAST = ["--no-compile", "--steps", 6, "--batch", 20, "--hidden", 8, "--latent", 2, "--evidence-k", 5,
        "--checkpoint-every", 3]  # fmt: skip


def settings(experts="product", **own):
    return Multimodal(experts=experts, hidden=(8,), latent=2, run=Run(batch=20, compile=False), **own)


def test_the_modalities_are_the_upper_and_the_lower_half():
    prepared = settings().prepare()
    upper, lower = prepared.program.model.parts(prepared.train)
    whole = DIGITS.train["x"].reshape(-1, 8, 8)
    assert torch.equal(upper.reshape(-1, 4, 8), whole[:, :4])
    assert torch.equal(lower.reshape(-1, 4, 8), whole[:, 4:])


@EACH
def test_it_keeps_the_laws_of_programs(experts):
    prepared = settings(experts).prepare()
    plain = {name: getattr(prepared.program, name) for name in LatentProgram.__dataclass_fields__}
    made = MultimodalProgram(**{**plain, "batches": Epochs(30, 10)}, names=("upper", "lower"))
    laws.check(made, example=prepared.train[:30].round())


@pytest.mark.parametrize("experts", ["product", "joint"])
def test_the_loss_adds_the_bound_of_each_half_alone(experts):
    prepared = settings(experts, estimation=Estimation(k=400)).prepare()
    program, x = prepared.program, prepared.train[:4].round()
    params, state = program.init(KEY, prepared.train)
    batch = {"datum": torch.arange(4), "data": x}
    out = program.loss(params, state, batch, KEY, {})
    whole = LatentProgram.loss(program, params, state, batch, KEY, {})
    alone = [out.terms[f"{name} alone"] for name in ("upper", "lower")]
    torch.testing.assert_close(out.loss, whole.loss - sum(alone).mean())
    model = program.model
    for i, found in enumerate(alone):
        part = model.parts(x)[i]
        q = model.given(params["model"], [part if j == i else None for j in range(2)])
        z = q.sample(q.noise(keys.key(1), 4000))
        logits = torch.tanh(z @ weight(params, i, "0").T + bias(params, i, "0")) @ weight(params, i, "1").T
        log_p = bernoulli_log_density(part, logits + bias(params, i, "1"))
        prior = -0.5 * (z.square() + torch.log(torch.tensor(2 * torch.pi))).sum(-1)
        torch.testing.assert_close(found, (log_p + prior - q.log_prob(z)).mean(0), rtol=0.02, atol=0.05)


def weight(params, i, layer):
    return params["model"]["decoder"][str(i)][layer]["weight"]


def bias(params, i, layer):
    return params["model"]["decoder"][str(i)][layer]["bias"]


def test_a_half_alone_reaches_its_own_expert_and_decoder_and_a_mixture_has_no_such_terms():
    prepared = settings().prepare()
    program, x = prepared.program, prepared.train[:4].round()
    params, state = program.init(KEY, prepared.train)
    alone = partial(program.alone, x=x, modality=1, key=KEY, weights={})
    for path, slope in trees.paths(grad(lambda p: alone(p).sum())(params["model"])).items():
        assert bool(slope.any()) == (path.split(".")[1] == "1"), path
    mixed = settings("mixture").prepare().program
    params, state = mixed.init(KEY, prepared.train)
    assert "upper alone" not in mixed.loss(params, state, {"datum": torch.arange(4), "data": x}, KEY, {}).terms


def separated(slope):
    """Two modalities of one z each, seen almost exactly, for slope 1; of a decoder that z does not reach, for 0."""
    model = multimodal.build((1, 1), (), 1, likelihoods=GAUSSIAN)
    up = {"0": {"weight": torch.tensor([[1.0], [0.0]]), "bias": torch.tensor([0.0, -4.0])}}
    down = {"0": {"weight": torch.tensor([[slope]]), "bias": torch.zeros(1)}}
    scale = {"log_scale": torch.tensor(-4.0)}
    return model, {part: {"0": own, "1": own} for part, own in
                   (("encoder", up), ("decoder", down), ("likelihood", scale))}  # fmt: skip


def test_ranks_are_1_where_one_modality_tells_the_other_and_chance_where_it_does_not():
    x = torch.linspace(-2, 2, 21)[:, None].expand(-1, 2)
    model, params = separated(1.0)
    for direction in (Direction(0, 1), Direction(1, 0)):
        assert (ranks(model, params, x, KEY, direction) == 1).all()
    swapped = torch.stack([x[:, 0], x[:, 1].roll(1)], -1)
    assert (ranks(model, params, swapped, KEY, Direction(0, 1)) > 1).all()
    model, params = separated(0.0)
    blind = ranks(model, params, x, KEY, Direction(0, 1))  # all queries order the candidates alike
    assert all((blind <= first).sum() <= first for first in range(1, 21))
    nowhere = trees.map(lambda t: t * torch.nan, params)
    assert (ranks(model, nowhere, x, KEY, Direction(0, 1)) == 21).all()
    found = retrieval(*separated(1.0), x, KEY, ("a", "b"))
    assert [(row["given"], row["recall_1"], row["chance_5"]) for row in found.rows] == [
        ("a", 1, 5 / 21),
        ("b", 1, 5 / 21),
    ]


def test_the_command_trains_and_resumes(tmp_path):
    printed = run("multimodal", *FAST, "--out", tmp_path / "run")
    assert "64 dynamic pixels, bernoulli likelihood, upper and lower halves, product of experts" in printed
    assert "retrieval among 360 test data" in printed
    rows = json.loads((tmp_path / "run" / "report.json").read_text())["findings"]["retrieval"]
    assert [row["found"] for row in rows] == ["lower", "upper"]
    assert "completions.png" in {path.name for path in (tmp_path / "run" / "figures").iterdir()}
    assert "8 steps" in run("--resume", tmp_path / "run", "--steps", 8)


@pytest.mark.slow
@EACH
def test_every_choice_of_experts_compiles_in_one_graph(experts):
    prepared = settings(experts, estimation=Estimation(kl_warmup=10)).prepare()
    program = prepared.program
    params, state = program.init(KEY, prepared.train)
    batch, weights = program.batch(prepared.train, KEY, 0), {"kl": torch.tensor(0.5)}
    step = unclipped(program.turns[0])
    compiled = torch.compile(step, fullgraph=True, dynamic=False, backend="aot_eager")
    torch.testing.assert_close(
        compiled(params, state, batch, KEY, weights), step(params, state, batch, KEY, weights), rtol=1e-4, atol=1e-5
    )


@pytest.mark.slow
@EACH
def test_a_run_is_evaluated_as_every_latent_variable_model(experts, tmp_path, capsys, quick_fits):
    run("multimodal", *FAST, "--experts", experts, "--out", tmp_path / "run")
    evaluate.main([str(tmp_path / "run"), *FEW])
    assert "multimodal on digits: the first 6 of 360 test images" in capsys.readouterr().out


@pytest.mark.slow
@EACH
def test_the_recipe_finds_halves_above_chance(experts, tmp_path):
    run("multimodal-digits", "--no-compile", "--experts", experts, "--out", tmp_path / "run")
    findings = json.loads((tmp_path / "run" / "report.json").read_text())["findings"]
    print(findings["test"], findings["retrieval"])
    for row in findings["retrieval"]:
        assert row["recall_5"] - 3 * row["error_5"] > row["chance_5"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--likelihood", "gaussian"], "--likelihood gaussian is for grey pixels: add --pixels grey"),
        (["--latent", "0"], "expected --latent of at least 1, got 0"),
        (["--hidden", "0"], "expected --hidden of at least 1, got 0"),
        (["--experts", "mixture", "--objective", "free-bits(0.5)"], "needs a KL by dimension, and a Mixture has none"),
    ],
)
def test_what_cannot_work_is_refused_with_the_fix(options, message, tmp_path, monkeypatch, refused):
    monkeypatch.chdir(tmp_path)
    assert message in refused(train.main, "multimodal", "--no-compile", *options)
    assert not list(tmp_path.iterdir())

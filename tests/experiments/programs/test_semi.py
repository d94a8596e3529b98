"""Semi-supervised models as programs: the laws of programs, what each term reaches, and what the report says."""

import json
from functools import partial

import numpy as np
import pytest
import torch
from torch.func import grad

from jensen import laws
from jensen.core import keys, trees
from jensen.core.models import classifier
from jensen.core.models.latent import likelihoods, vae
from jensen.core.models.latent.semi import M1, M2, Stacked, m2
from jensen.estimators import gradients
from jensen.estimators.gradients import baselines
from jensen.experiments import evaluate, train
from jensen.experiments.data import labelled
from jensen.experiments.data.batches import Epochs
from jensen.experiments.data.images import Images
from jensen.experiments.programs.semi import Semi
from jensen.experiments.programs.semi_supervised import SemiProgram
from jensen.experiments.programs.semi_terms import terms
from jensen.experiments.run.settings import Run
from jensen.experiments.run.step import unclipped
from tests.experiments.process import run

KEY = keys.key(0)
DIGITS = labelled.digits()
HOW = {"y": gradients.exact, "z": gradients.pathwise}
FEW = labelled.few(KEY, DIGITS.train, 1)
DATA = {"x": DIGITS.train["x"][:30], "few": FEW}
MODELS = {
    "m1": M1(vae.mlp(64, (4,), 3), classifier.mlp(3, (4,), 10)),
    "m2": m2.build(classifier.mlp(64, (4,), 10), (4,), 2),
    "m1-m2": Stacked(
        vae.mlp(64, (4,), 3), m2.build(classifier.mlp(3, (4,), 10), (4,), 2, likelihood=likelihoods.GAUSSIAN)
    ),
}
EACH = pytest.mark.parametrize("name", MODELS)


def program(name, how=HOW, rows=10):
    alone = classifier.mlp(64, (4,), 10)
    return SemiProgram(MODELS[name], alone, Epochs(30, 12), Epochs(20, 12), 0.3, 2.0, how, rows, dynamic=True)


@EACH
def test_it_keeps_the_laws_of_programs(name):
    thirty = trees.map(lambda leaf: leaf[:30], DIGITS.train)
    laws.check(program(name), example={**thirty, "few": labelled.few(KEY, DIGITS.train, 3)})


def test_every_batch_pairs_images_with_labelled_ones_and_an_epoch_sees_all_of_both():
    made = program("m2")
    batches = [made.batch(DATA, KEY, step) for step in range(4)]
    assert all(len(leaf) == 12 for batch in batches for leaf in trees.leaves(batch))
    assert len(torch.cat([batch["datum"] for batch in batches[:2]]).unique()) == 24
    assert all(torch.equal(batch["data"]["x"], DATA["x"][batch["datum"]]) for batch in batches)
    for batch in batches:
        few = batch["data"]["few"]
        assert all(
            torch.equal(x, FEW["x"][FEW["labels"] == y][0]) for x, y in zip(few["x"], few["labels"], strict=True)
        )
        assert few["labels"].bincount(minlength=10).max() <= 2
    assert not torch.equal(batches[0]["data"]["few"]["labels"], batches[1]["data"]["few"]["labels"])


ROUTES = {  # the parts of the parameters that each term's gradient reaches
    "m1": {
        "features": {"first.decoder", "first.encoder"},
        "class": {"second"},
    },
    "m2": {
        "unlabelled": {"classifier", "decoder", "encoder"},
        "labelled": {"decoder", "encoder"},
        "class": {"classifier"},
    },
    "m1-m2": {
        "features": {"first.decoder", "first.encoder"},
        "unlabelled": {"second.classifier", "second.decoder", "second.encoder", "second.likelihood"},
        "labelled": {"second.decoder", "second.encoder", "second.likelihood"},
        "class": {"second.classifier"},
    },
}


def part(name, path):
    """The part that a path belongs to, as ROUTES names it."""
    top, *rest = path.split(".")
    return f"{top}.{rest[0]}" if name == "m1-m2" or top == "first" else top


@pytest.mark.parametrize("how", ["exact", "score"])
@EACH
def test_each_term_reaches_its_own_parameters(name, how):
    estimators, rows = HOW, 10
    if how == "score":
        estimators, rows = {**HOW, "y": partial(gradients.score, baseline=baselines.leave_one_out)}, 3
    x, few, labels = DATA["x"][:10].round(), FEW["x"].round(), FEW["labels"]
    model = MODELS[name]
    params = model.init(KEY, DATA["x"])

    def of(params, term, weight=1.0):
        return terms(model, params, x, few, labels, KEY, estimators, rows, torch.tensor(weight))[term].sum()

    for term, reached in ROUTES[name].items():
        slopes = trees.paths(grad(partial(of, term=term))(params))
        assert {part(name, path) for path, slope in slopes.items() if slope.any()} == reached, term
        halved = trees.paths(grad(partial(of, term=term, weight=0.5))(params))
        for path, slope in slopes.items():
            share = 0.5 if term == "unlabelled" and "classifier" in path else 1.0
            torch.testing.assert_close(halved[path], share * slope)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "unlabelled"),
    [("m1", "exact"), ("m2", "exact"), ("m2", "score"), ("m2", "gumbel"), ("m1-m2", "exact")],
)
def test_every_choice_compiles_in_one_graph(name, unlabelled):
    settings = Semi(model=name, labels=1, unlabelled=unlabelled, k=3, hidden=(4,), classifier=(4,), feature_hidden=(4,),
                    features=3, run=Run(steps=4, batch=10, compile=False))  # fmt: skip
    prepared = settings.prepare()
    made = prepared.program
    params, state = made.init(KEY, prepared.train)
    batch, weights = made.batch(prepared.train, KEY, 0), {name: torch.tensor(0.5) for name in made.schedules}
    step = unclipped(made.turns[0])
    compiled = torch.compile(step, fullgraph=True, dynamic=False, backend="aot_eager")
    expected = step(params, state, batch, KEY, weights)
    torch.testing.assert_close(compiled(params, state, batch, KEY, weights), expected)


def test_the_report_has_the_means_and_errors_of_its_data():
    made, test = program("m2"), DIGITS.test
    params, state = made.init(KEY, DATA)
    (found,) = made.report(params, state, Images(DATA["x"], test["x"], test["labels"], DIGITS.shape), KEY)
    x, labels = test["x"].double().numpy(), test["labels"].numpy()

    def correct(network):
        w, b, v, c = (layer[name].double().numpy() for layer in network.values() for name in ("weight", "bias"))
        return 100.0 * ((np.maximum(x @ w.T + b, 0) @ v.T + c).argmax(1) == labels)

    own, alone = correct(params["model"]["classifier"]), correct(params["alone"])
    for row, values in zip(found.rows, (own, alone, own - alone), strict=False):
        np.testing.assert_allclose(
            (row["mean"], row["error"]), (values.mean(), values.std(ddof=1) / 360**0.5), rtol=1e-5
        )
        assert f"{row['name']:<28}{row['mean']:>9.2f} ± {row['error']:.2f} {row['unit']}" in found.summary


def test_the_bound_of_the_report_is_below_the_evidence():
    """Of a model and data so small that 4,000 samples of the prior give log p(x)."""
    made, x = program("m2"), DIGITS.test["x"][:20].round()
    params, _ = made.init(KEY, DATA)
    model, own = made.model, params["model"]
    assert isinstance(model, M2)
    prior = model.prior(own, len(x))
    log_p = model.likelihood(own, prior.sample(prior.noise(KEY, 4000))).log_prob(x)
    evidence = torch.logsumexp(log_p, 0) - np.log(4000)
    bound = torch.stack([made.bound(own, x, keys.fold_in(KEY, i)) for i in range(100)])
    laws.mean_is_at_most(bound.double(), evidence.double())


FAST = ["--no-compile", "--steps", 4, "--batch", 20, "--hidden", 4, "--classifier", 4, "--latent", 2, "--labels", 1,
        "--features", 3, "--feature-hidden", 4, "--checkpoint-every", 2]  # fmt: skip


def test_labels_alone_train_the_classifier_until_its_weight_rises():
    prepared = Semi(model="m2", delay=0.25, warmup=0.5, run=Run(steps=100, compile=False)).prepare()
    weight = prepared.program.schedules["classifier"]
    assert [weight(step) for step in (0, 24, 25, 50, 75, 99)] == [0, 0, 0, 0.5, 1, 1]


@EACH
def test_the_command_trains_and_resumes(name, tmp_path, refused):
    printed = run("semi", "--model", name, *FAST, "--held-out", 0.25, "--out", tmp_path / "run")
    assert f"{name} on digits, 4 steps, 10 labels of 1078 images, alpha" in printed
    assert printed.index("accuracy ") < printed.index("the labels alone ") < printed.index("bound on log p(x)")
    figures = {path.name for path in (tmp_path / "run" / "figures").iterdir()}
    assert figures == ({"training.png"} if name == "m1" else {"training.png", "classes.png"})
    assert f"{name} on digits, 6 steps" in run("--resume", tmp_path / "run", "--steps", 6)
    assert "holds a semi" in refused(evaluate.main, tmp_path / "run")


@pytest.mark.slow
def test_the_recipe_knows_more_than_its_labels(tmp_path):
    """Above its floor, the same classifier of 30 labels, by 5 % and 3 standard errors."""
    run("semi-digits", "--no-compile", "--out", tmp_path / "run")
    rows = json.loads((tmp_path / "run" / "report.json").read_text())["findings"]["semi-supervised"]
    gain = next(row for row in rows if row["name"] == "gain")
    print(rows)
    assert gain["mean"] > 5
    assert gain["mean"] > 3 * gain["error"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--labels", "900"], "expected from 1 to 136 data of each class, got 900: class 8 has no more"),
        (["--labels", "0"], "expected from 1 to 136 data of each class, got 0"),
        (["--hidden", "0"], "expected --hidden of at least 1, got 0"),
        (["--hidden"], "--hidden needs the width of one layer or more, where data and class meet"),
        (
            ["--delay", "0.9", "--warmup", "0.2"],
            "--warmup 0.2: expected shares of the steps, of at most 1",
        ),
        (["--alpha", "-1"], "expected a non-negative --alpha, got -1"),
        (["--unlabelled", "score"], "expected --k of at least 2 for --unlabelled score, got 1"),
        (["--data", "sprites"], "--data sprites has no training labels: use digits or mnist"),
        (["--data", "mnist", "--data-dir", "nowhere"], "--data-dir nowhere is no folder"),
        (["--pixels", "static"], "--pixels static is for models without labels: use dynamic or grey"),
        (["--pixels", "grey"], "binarise with --pixels dynamic"),
        (["--batch", "2000"], "--batch 2000 exceeds the 1437 training data"),
    ],
)
def test_what_cannot_work_is_refused_with_the_fix(options, message, tmp_path, monkeypatch, refused):
    monkeypatch.chdir(tmp_path)
    assert message in refused(train.main, "semi", "--no-compile", *options)
    assert not list(tmp_path.iterdir())


def test_an_empty_class_is_named():
    data = trees.map(lambda t: t[DIGITS.train["labels"] != 3], DIGITS.train)
    with pytest.raises(ValueError, match="expected from 1 to 0 data of each class, got 1: class 3 has no more"):
        labelled.few(KEY, data, 1)

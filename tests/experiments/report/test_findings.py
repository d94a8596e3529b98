"""Verdicts say what to do, figures show every number with its error, and rows name what they are of."""

from pathlib import Path

import pytest
import torch

from jensen.core.models.latent import sbn
from jensen.experiments import report
from jensen.experiments.report import assessment_figures as figures
from jensen.experiments.report import verdicts
from tests.experiments.report.conftest import KEY, small_vae


def test_a_continuous_model_has_every_finding(found):
    findings = report.findings(found)
    assert [each.name for each in findings] == [
        "bounds", "annealing", "sandwich", "gaps", "weights", "units", "KL", "terms",
    ]  # fmt: skip
    rows = [row for each in findings for row in each.rows]
    count = {of: sum(row["of"] == of for row in rows) for of in {row["of"] for row in rows}}
    assert count == {"bound": 19, "image": 4, "simulated image": 4, "dimension": 3, "gap": 2}
    numbers = report.numbers(found, findings)
    assert numbers["gaps"]["images"] == 2
    assert set(numbers["verdicts"]) == {each.name for each in findings}
    text = report.screen("a title", found, findings)
    assert text.startswith("a title\n")
    assert len(text.splitlines()) < 40
    assert max(map(len, text.splitlines())) <= 120
    for start in ("ELBO", "IWAE", "CUBO(2)", "annealing", "sandwich", "gaps", "weights", "units", "KL", "terms"):
        assert f"\n{start} " in text


def test_the_two_sides_of_elbo_are_rate_and_distortion(found):
    model, params, images = small_vae()
    judged = report.evaluate(model, params, images.train, images.test, 20, KEY, False)
    assert found.rate == pytest.approx(judged.kl, rel=1e-5)
    assert found.rate + found.distortion == pytest.approx(-judged.elbo, abs=0.2)  # of 10 samples of 30 images each


@pytest.mark.parametrize(("k_hat", "end"), [(torch.inf, "too few to tell"), (0.3, "100% of the images, and elsewhere")])
def test_where_an_upper_bound_is_finite_is_not_said_of_too_few_samples(found, k_hat, end):
    importance = found.importance._replace(k_hat=torch.full_like(found.importance.k_hat, k_hat))
    assert end in verdicts.of_bounds(found._replace(importance=importance))


@pytest.mark.parametrize("layers", [1, 2])
def test_discrete_units_are_not_annealed(layers):
    model = sbn.build(8, 3, layers)
    _, _, images = small_vae()
    x = images.test[:, :8]
    params = model.init(KEY, x)
    found = report.assess(model, params, x, report.Budget(images=10, k=(1, 40), chains=4, temperatures=5), KEY)
    assert found.annealed is None
    assert found.sandwich is None
    assert found.inference is None
    findings = report.findings(found)
    text = " ".join(report.screen("", found, findings).split())
    assert "it moves z along gradients, and these units are discrete" in text
    assert ("collapse is not judged" in text) == (layers == 2)
    assert "its limit is finite on every image, for a discrete q has bounded weights" in text
    assert "for ever" not in text
    heavy = found._replace(importance=found.importance._replace(k_hat=torch.full((10,), 0.9)), samples=5000)
    assert "wider tails" not in {each.name: each.summary for each in report.findings(heavy)}["weights"]
    legend = figures.weights(heavy).axes[0].get_legend()
    assert legend is not None
    assert not [label for label in legend.get_texts() if "no variance" in label.get_text()]
    truth = model.log_joint(params, x[:10], _support(3 * layers).expand(-1, 10, -1)).logsumexp(0)
    error = found.importance.standard_error.square().sum().sqrt() / 10
    assert abs(found.importance.log_p.mean() - truth.mean()) < 4 * error + 0.05
    assert {row["of"] for each in findings for row in each.rows} == {"bound", "image", "dimension"}


def _support(d):
    return torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * d)[:, None]


def test_verdicts_say_what_to_do(found):
    low = found.annealed._replace(log_p=found.importance.log_p - 3)
    high = found.annealed._replace(log_p=found.importance.log_p + 3)
    wide = found.sandwich._replace(upper=found.sandwich.lower + torch.arange(1.0, 5.0))
    broken = found.annealed._replace(log_p=found.importance.log_p * torch.nan)
    assert "annealing has not arrived: raise --temperatures" in verdicts.of_annealing(low, found.importance)
    assert "importance sampling has not arrived: quote annealing" in verdicts.of_annealing(high, found.importance)
    assert "no verdict: log p(x) is not finite" in verdicts.of_annealing(broken, found.importance)
    assert "not surely below 0.1 nats: raise --temperatures" in verdicts.of_sandwich(wide)
    assert report.findings(found, soft=True)[-1].summary.startswith("soft targets: all these are cross-entropies")


def test_units_on_which_the_rules_disagree_are_named():
    """A unit whose mean stays while its width does not is unused by the one rule and has not collapsed by the other."""
    model, params, images = small_vae(2)
    params["encoder"]["1"]["weight"][1] = 0
    budget = report.Budget(images=2, k=(1, 2), chains=2, temperatures=1, gap_images=0)
    found = report.assess(model, params, images.test, budget, KEY)
    assert found.inference is None
    assert "gaps" not in [each.name for each in report.findings(found)]
    assert found.units.active.tolist() == [True, False]
    assert "The two rules disagree on 1: not active" in verdicts.of_kl(found)
    agreed = found._replace(units=found.units._replace(active=torch.tensor([True, True])))
    assert "disagree" not in verdicts.of_kl(agreed)


def test_bounds_are_named_at_their_ends_and_annealing_has_a_band_of_two_errors(found):
    axis = figures.bounds(found).axes[0]
    names = {text.get_text() for text in axis.texts}
    assert {"ELBO", "IWAE", "CUBO(2)", "jackknife"} < names
    assert len({line.get_marker() for line in axis.lines if line.get_marker() != "None"}) == 9
    band = next(patch for patch in axis.patches)
    low, high = band.get_window_extent().transformed(axis.transData.inverted()).intervaly
    error = found.annealed.standard_error.square().sum().sqrt().item() / 4
    assert high - low == pytest.approx(4 * error, rel=1e-3)
    assert (high + low) / 2 == pytest.approx(found.annealed.log_p.mean().item(), rel=1e-4)


def test_no_drawing_fails_where_nothing_is_finite(found):
    nan = torch.full((4,), torch.nan)
    broken = found._replace(
        bounds=[each._replace(value=torch.nan, error=None) for each in found.bounds],
        importance=found.importance._replace(log_p=nan, standard_error=nan, k_hat=nan),
        annealed=found.annealed._replace(log_p=nan, standard_error=nan),
        sandwich=found.sandwich._replace(lower=nan, upper=nan),
        units=found.units._replace(variance=nan[:3], active=nan[:3] > 0),
        collapse=found.collapse._replace(kl=nan[:3]),
        inference=found.inference._replace(own=type(found.inference.own)(*[nan[:2]] * 6)),
    )
    findings = report.findings(broken)
    summary = {each.name: each.summary for each in findings}
    assert all("no verdict" in summary[name] for name in ("bounds", "annealing", "sandwich", "weights", "units", "KL"))
    assert "disagree" not in summary["KL"]
    drawn = [each.figure for each in findings if each.figure is not None]
    assert len(drawn) == 6
    assert all(report.png(figure).startswith(b"\x89PNG") for figure in drawn)


def point(beta, rate, distortion, run="a"):
    objective = "capacity(1, 2)" if beta is None else f"beta({beta:g})"
    return report.Point(beta, objective, rate, distortion, run)


def test_the_curve_joins_weights_and_not_runs_of_one_weight():
    finding = report.rate_distortion([point(1, 4.0, 20.5, "b"), point(0.5, 5.0, 20.0), point(1, 4.2, 20.6, "c"),
                                      point(None, 3.0, 22.0, "d")])  # fmt: skip
    axis = finding.figure.axes[0]
    joined = [line for line in axis.lines if line.get_color() == "0.6"]
    assert [list(line.get_ydata()) for line in joined] == [[5.0, pytest.approx(4.1)]]
    assert [text.get_text() for text in axis.texts] == ["β = 0.5", "β = 1", "capacity(1, 2)"]
    assert [row["run"] for row in finding.rows] == ["a", "b", "c", "d"]
    assert "the rate falls as the KL weight rises; the best ELBO is that of β = 1" in finding.summary
    assert "does not fall" in report.rate_distortion([point(0.5, 4.0, 20.0), point(1, 5.0, 20.5)]).summary
    alone = report.rate_distortion([point(1, 4.0, 20.0), point(1, 4.1, 20.0, "b")])
    assert "no two runs differ in their KL weight" in alone.summary
    assert report.png(alone.figure).startswith(b"\x89PNG")


def test_runs_that_score_other_data_are_refused():
    x = torch.zeros(2, 3)
    ours = report.Scored(Path("one"), x, {"data": "digits", "pixels": "grey"})
    report.check_alike([ours, ours._replace(folder=Path("two"))])
    with pytest.raises(
        ValueError, match=r"the run in two has --pixels dynamic where one has grey: .* evaluate them apart"
    ):
        report.check_alike([ours, report.Scored(Path("two"), x, {"data": "digits", "pixels": "dynamic"})])
    with pytest.raises(ValueError, match="have other test images"):
        report.check_alike([ours, ours._replace(folder=Path("two"), test=x + 1)])

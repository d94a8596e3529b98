"""Hierarchies are compared at one budget, and the verdict is by seed."""

import pytest

from jensen.experiments.claims import layers
from jensen.experiments.claims.compared import Row
from jensen.experiments.claims.layers import Settings, contenders, verdict


def test_hierarchies_differ_in_layers_and_direction_alone():
    settings = Settings()
    each = [one.settings(1, settings.out) for one in contenders(settings).values()]
    assert [(one.latents, one.direction) for one in each] == [
        ((50,), "bottom-up"), ((100, 50), "bottom-up"), ((100, 50), "top-down")
    ]  # fmt: skip
    for one in each:
        one.check()
        others = {field for field in vars(one) if getattr(one, field) != getattr(each[0], field)}
        assert others <= {"latents", "direction"}


def test_the_verdict_is_by_seed():
    nll = {"one layer": (90.0, 92.0), "two layers": (89.0, 92.5), "from the top": (88.0, 91.0)}
    rows = [Row(name, seed, {"nll": value}) for name, pair in nll.items() for seed, value in enumerate(pair)]
    assert verdict(rows).splitlines() == [
        "two layers: on average beats one layer, by +0.25 ± 0.75 nats of NLL over seeds",
        "from the top: beats one layer, by +1.50 ± 0.50 nats of NLL over seeds",
    ]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--seeds", 1), "one has no standard error"),
        (("--warmup", -1), "expected --kl-warmup of at least 0, got -1"),
        (("--two", 0, 4), "expected --latents of at least 1, got 0"),
    ],
)
def test_bad_settings_are_one_clear_line(args, message, tmp_path, refused):
    assert message in refused(layers.main, *args, "--out", tmp_path / "all")
    assert not list(tmp_path.iterdir())

"""The checklist: one thing differs from the baseline in every item, and the verdict is by errors over seeds."""

import pytest

from jensen.experiments.claims import checklist
from jensen.experiments.claims.checklist import BASELINE, Settings, contenders, measure, verdict
from jensen.experiments.claims.compared import Row


def test_every_item_changes_one_thing():
    settings = Settings()
    each = {name: one.settings(0, settings.out) for name, one in contenders(settings).items()}
    plain = each.pop(BASELINE)
    changed = {
        name: [field for field in vars(plain) if getattr(plain, field) != getattr(other, field, None)]
        for name, other in each.items() if name != "hierarchy"
    }  # fmt: skip
    assert changed == {
        **{name: ["estimation"] for name in ("warm-up", "free bits", "IWAE", "tempering")},
        "spectral norm": ["spectral_norm"],
        "flow posterior": ["posterior"],
    }
    shared = ("images", "hidden", "activation", "likelihood", "estimation", "optimiser", "run", "evidence_k")
    assert all(getattr(each["hierarchy"], field) == getattr(plain, field) for field in shared)
    for one in each.values():
        one.check()


def test_the_baseline_is_trained_whichever_items_are_asked_for(monkeypatch, tmp_path):
    def compared(contenders, seeds, out):
        return [Row(name, seed, {"elbo": -20.0}) for seed in range(seeds) for name in contenders]

    monkeypatch.setattr(checklist, "compared", compared)
    rows = measure(Settings(out=tmp_path, seeds=2, items=("IWAE",)))
    assert [(row.name, row.seed, row.numbers["loss"]) for row in rows] == [
        (name, seed, 20.0) for seed in (0, 1) for name in (BASELINE, "IWAE")
    ]


def test_the_verdict_is_by_two_errors_of_the_change():
    nll = {BASELINE: (20.0, 22.0), "IWAE": (19.0, 20.9), "free bits": (20.5, 22.6), "warm-up": (20.5, 21.6)}
    rows = [Row(name, seed, {"nll": value}) for name, pair in nll.items() for seed, value in enumerate(pair)]
    assert verdict(rows) == (
        "lower the NLL: IWAE (-1.05); raise it: free bits (+0.55); change it by less than two errors: warm-up (+0.05)"
    )


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--seeds", 1), "one has no standard error"),
        (("--items", "magic"), "--items magic: expected some of warm-up, free bits, spectral norm, IWAE, hierarchy"),
        (("--hidden", 0), "expected --hidden of at least 1, got 0"),
    ],
)
def test_bad_settings_are_one_clear_line(args, message, tmp_path, refused):
    assert message in refused(checklist.main, *args, "--out", tmp_path / "all")
    assert not list(tmp_path.iterdir())

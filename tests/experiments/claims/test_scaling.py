"""The claim on ranks: what it measures of one process, and what its model says of more."""

import pytest

from jensen.experiments.claims import scaling
from jensen.experiments.claims.scaling import Link, Row, Settings


def test_a_process_measures_its_step_and_its_parts():
    found = scaling.of_step(Settings(batch=4, k=2, steps=3, compile=False))
    assert sorted(found) == ["gradient", "numbers", "step", "sum"]
    assert 0 < found["sum"] < found["gradient"] < 3 * found["step"]
    assert 420_000 < found["numbers"] < 430_000
    assert sorted(scaling.of_link(Settings(steps=3))) == ["many", "one"]


def test_the_model_of_a_ring_and_of_cores_that_ranks_share():
    link = Link.of(one=1.0, many=11.0)  # 0.5 ms a message, and 4 MB in 10 ms
    assert link.sum(1, 10**6) == 0
    assert link.sum(2, 10**6) == pytest.approx(11)
    assert link.sum(4, 10**5) == pytest.approx(2 * 3 * 0.5 + 2 * 3 / 4 * 1.0)
    assert scaling.predicted(2, 2, 5.0, 1.0) == (6, 1)
    assert scaling.predicted(4, 2, 3.0, 1.0) == (8, 2)


def test_the_table_has_what_is_gained():
    rows = [Row(1, 8.0, 8.0, 8.0, 0.0, 0.0), Row(2, 4.0, 4.1, 3.5, 0.5, 0.6)]
    assert "2.00×" in scaling.table(rows)


@pytest.mark.parametrize("options", [["--batch", "0"], ["--ranks", "0"], ["--steps", "2"]])
def test_what_cannot_work_is_one_line(options, capsys):
    with pytest.raises(SystemExit) as ended:
        scaling.main(options)
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("error: expected --")

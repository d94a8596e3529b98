"""The claim on ranks: what it measures of one process, and what its model says of more."""

import pytest

from jensen.experiments.claims import scaling
from jensen.experiments.claims.scaling import Row, Settings


def test_a_process_measures_its_step_and_its_parts():
    found = scaling.measured(Settings(batch=4, k=2, steps=3, compile=False))
    assert sorted(found) == ["gradient", "reduction", "step"]
    assert 0 < found["reduction"] < found["gradient"] < 3 * found["step"]


def test_ranks_beyond_the_cores_wait_for_one_another():
    assert Row(2, 0.0, 5.0, 1.0, cores=2).predicted == 6
    assert Row(4, 0.0, 3.0, 1.0, cores=2).predicted == 7
    assert "2.00×" in scaling.table([Row(1, 8.0, 8.0, 0.0, 2), Row(2, 4.0, 3.5, 0.5, 2)])


@pytest.mark.parametrize("options", [["--batch", "0"], ["--ranks", "0"], ["--steps", "2"]])
def test_what_cannot_work_is_one_line(options, capsys):
    with pytest.raises(SystemExit) as ended:
        scaling.main(options)
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("error: expected --")

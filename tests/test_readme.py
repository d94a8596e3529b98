"""README's script runs and prints what README says, and README's commands exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_the_script_prints_what_is_claimed(capsys):
    (script,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(compile(script, "README.md", "exec"), {})
    (claimed,) = re.findall(r"It prints `(.*?)`", README)
    number = re.compile(r"-?\d+\.\d+")
    printed = capsys.readouterr().out.strip()
    assert number.sub("#", printed) == number.sub("#", claimed)
    for got, said in zip(number.findall(printed), number.findall(claimed), strict=True):
        assert abs(float(got) - float(said)) <= 0.02


def test_every_make_target_named_exists():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:`|^)make ([a-z]+)", README, re.MULTILINE))
    assert named <= targets, named - targets
    assert {"demo", "test", "bench", "laws", "lint", "types", "gpu"} <= targets


def test_every_folder_in_the_map_exists():
    for folder in re.findall(r"^\| `([a-z]+)/` \|", README, re.MULTILINE):
        assert (ROOT / folder).is_dir()

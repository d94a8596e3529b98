"""Pages say what is so: their python runs, their commands, paths and names exist.

A page's fences run in order in one module, but for those marked ```python fragment. Where the page says "It prints
`…`" after a fence, that fence printed it: numbers to 0.02.
"""

import re
import sys
from importlib.util import find_spec
from pathlib import Path
from pkgutil import resolve_name
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent
PAGES = {path.name: path for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md")))}
FENCE = re.compile(r"^```python\n(.*?)^```\n(?:\n*It prints `(.*?)`)?", re.DOTALL | re.MULTILINE)
NUMBER = re.compile(r"-?\d+\.\d+")
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

pages = pytest.mark.parametrize("page", PAGES)


def check_printed(printed: str, claimed: str) -> None:
    """AssertionError unless the texts are alike, numbers to 0.02."""
    assert NUMBER.sub("#", printed.strip()) == NUMBER.sub("#", claimed)
    for got, said in zip(NUMBER.findall(printed), NUMBER.findall(claimed), strict=True):
        assert abs(float(got) - float(said)) <= 0.02, f"printed {got}, claimed {said}"


@pages
def test_python_runs_and_prints_what_is_claimed(page, capsys, monkeypatch):
    module = ModuleType(f"page_{page.partition('.')[0]}")  # by its name the compiler finds the page's functions
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for code, claimed in FENCE.findall(PAGES[page].read_text()):
        exec(compile(code, page, "exec"), module.__dict__)
        printed = capsys.readouterr().out
        if claimed:
            check_printed(printed, claimed)


@pages
def test_make_targets_exist(page):
    named = re.findall(r"(?:`|^)make ((?:[a-z-]+ ?)+)", PAGES[page].read_text(), re.MULTILINE)
    assert {target for words in named for target in words.split()} <= TARGETS


@pages
def test_paths_exist(page):
    """Those with a placeholder in capitals, as in core/flows/NAME.py, lie in a folder that exists."""
    written = re.findall(r"`((?:core|kernels|estimators|experiments|tests|docs)/[\w/.]*)`", PAGES[page].read_text())
    for path in written:
        place = ROOT / path
        assert (place.parent if "NAME" in path else place).exists(), path


@pages
def test_modules_and_names_exist(page):
    text = PAGES[page].read_text()
    for name in re.findall(r"python -m (jensen\.[\w.]+|tests\.[\w.]+)", text):
        assert "NAME" in name or find_spec(name.rstrip(".")), name
    for name in re.findall(r"`(jensen(?:\.\w+)+)`", text):
        resolve_name(name)


@pages
def test_links_lead_to_pages(page):
    prose = re.sub(r"```.*?```|`[^`]*`", "", PAGES[page].read_text(), flags=re.DOTALL)
    for target, _, heading in re.findall(r"\]\((?!https?:)([^)#]*)(#?)([^)]*)\)", prose):
        file = (PAGES[page].parent / target) if target else PAGES[page]
        assert file.is_file(), target
        headings = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)
        slugs = {re.sub(r"[^a-z0-9 -]", "", each.lower()).replace(" ", "-") for each in headings}
        assert not heading or heading in slugs, f"{target}#{heading}"


def test_every_page_is_one_click_from_the_readme():
    linked = re.findall(r"\]\(docs/([^)#]*)", PAGES["README.md"].read_text())
    assert {path.name for path in ROOT.glob("docs/*.md")} <= set(linked)


def test_the_readmes_map_is_of_folders():
    for folder in re.findall(r"^\| `([a-z]+)/` \|", PAGES["README.md"].read_text(), re.MULTILINE):
        assert (ROOT / folder).is_dir()


def test_a_wrong_page_is_found():
    with pytest.raises(AssertionError):
        check_printed("IWAE -32.62", "IWAE -32.72")
    with pytest.raises(AssertionError):
        check_printed("ELBO -32.62", "IWAE -32.62")
    for name in ("jensen.core.bounds.elbow", "jensen.nowhere"):
        with pytest.raises(AttributeError):
            resolve_name(name)

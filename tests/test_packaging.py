import configparser
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
CONFIG = configparser.ConfigParser()
CONFIG.read(ROOT / "setup.cfg")
PLACES = dict(line.split(" = ") for line in CONFIG["options"]["package_dir"].split("\n") if line)  # package: folder
PACKAGES = CONFIG["options"]["packages"].split()


def test_the_package_list_is_the_folder_tree():
    found = {
        ".".join((package, *path.parent.relative_to(ROOT / folder).parts)): path.parent
        for package, folder in PLACES.items()
        for path in (ROOT / folder).rglob("*.py")
    }
    assert sorted(found) == PACKAGES
    for name, folder in found.items():
        assert (folder / "__init__.py").is_file(), f"{name} has no __init__.py"


def test_every_package_ships_its_types():
    assert {name: CONFIG["options.package_data"][name] for name in PLACES} == dict.fromkeys(PLACES, "py.typed")
    for folder in PLACES.values():
        assert (ROOT / folder / "py.typed").is_file()


def test_imports_run_one_way():
    """experiments -> estimators -> core -> kernels; kernels imports only its siblings, and core imports it lazily."""
    order = ["experiments", "estimators", "core", "kernels"]
    for place, folder in enumerate(order):
        for path in (ROOT / folder).rglob("*.py"):
            text = path.read_text()
            for above in order[:place]:
                assert f"jensen.{above}" not in text, f"{path} imports from {above}"
            assert folder == "kernels" or "import triton" not in text, f"{path} imports Triton"
            assert folder == "kernels" or "from jensen.kernels" not in text, f"{path} imports a kernel eagerly"


def test_the_laws_stand_above_the_library_and_beside_its_tests():
    """Nothing that is installed imports `jensen.laws`, and they import no test."""
    for package, folder in PLACES.items():
        for path in (ROOT / folder).rglob("*.py"):
            text = path.read_text()
            assert package == "jensen.laws" or ("import laws" not in text and "from jensen.laws" not in text), path
            assert "from tests" not in text, path


def test_a_wheel_installed_elsewhere_imports(tmp_path):
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    source = tmp_path / "source"  # a copy: building leaves nothing in the tree
    for folder in PLACES.values():
        shutil.copytree(ROOT / folder, source / folder)
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", str(tmp_path), str(source)]
    subprocess.run(build, check=True, timeout=120, capture_output=True)
    (wheel,) = tmp_path.glob("jensen-*.whl")
    site = tmp_path / "site"
    subprocess.run([*pip, "install", "--no-deps", "--target", str(site), str(wheel)], check=True, timeout=120)
    assert sorted(p.name for p in site.iterdir() if p.suffix != ".dist-info") == ["jensen"]
    for package in PLACES:
        assert site.joinpath(*package.split("."), "py.typed").is_file()
    for name in ("jensen.h", "jensen.cpp"):
        assert site.joinpath("jensen", "experiments", "deployment", name).is_file()
    code = f"""
import importlib, sys
sys.path.insert(0, {str(site)!r})
for name in {PACKAGES!r}:
    assert importlib.import_module(name).__file__.startswith({str(site)!r}), name
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, timeout=60)

import configparser
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
CONFIG = configparser.ConfigParser()
CONFIG.read(ROOT / "setup.cfg")
FOLDERS = ("core", "estimators", "experiments", "kernels")


def test_the_package_list_is_the_folder_tree():
    listed = CONFIG["options"]["packages"].split()
    found = {
        ".".join(("jensen", *path.parent.relative_to(ROOT).parts))
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*.py")
    }
    assert sorted(found) == listed
    for name in listed:
        assert (ROOT.joinpath(*name.split(".")[1:]) / "__init__.py").is_file(), f"{name} has no __init__.py"


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


def test_the_library_imports_without_extras():
    """core and estimators need nothing but what setup.cfg requires, and Triton is not imported."""
    code = """
import sys
for name in ("sklearn", "matplotlib", "rich", "tyro", "safetensors", "scipy", "triton"):
    sys.modules[name] = None
import jensen.core.bounds, jensen.core.models, jensen.estimators.gradients, jensen.estimators.evidence
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_wheel_installed_elsewhere_imports(tmp_path):
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    source = tmp_path / "source"  # a copy: building leaves nothing in the tree
    tracked = [*FOLDERS, "setup.cfg", "pyproject.toml", "README.md", "LICENSE"]
    source.mkdir()
    subprocess.run(["cp", "-r", *(str(ROOT / name) for name in tracked), str(source)], check=True)
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", str(tmp_path), str(source)]
    subprocess.run(build, check=True, timeout=120, capture_output=True)
    (wheel,) = tmp_path.glob("jensen-*.whl")
    site = tmp_path / "site"
    subprocess.run([*pip, "install", "--no-deps", "--target", str(site), str(wheel)], check=True, timeout=120)
    assert sorted(p.name for p in site.iterdir() if p.suffix != ".dist-info") == ["jensen"]
    modules = CONFIG["options"]["packages"].split()
    code = f"""
import importlib, sys
sys.path.insert(0, {str(site)!r})
for name in {modules!r}:
    assert importlib.import_module(name).__file__.startswith({str(site)!r}), name
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, timeout=60)

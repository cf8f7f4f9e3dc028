"""The wheel in an environment with what it requires and nothing else: no torch, no other extra."""

import json
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from fer_model.engines import gpu_count
from fer_model.samples import PHOTOGRAPHS
from tests.support.commands import ROOT, only_sentence
from tests.support.databases import query

ROOMS = ("fer_model", "results", "workers", "cli", "web", "migrations")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CODE = {".py", ".mako", ".js", ".css", ".html", ".j2", ".json", ".safetensors", ".md", ".jpg"}


def required(requirements: list[str]) -> set[str]:
    """The names of the distributions that these need, and what those need."""
    found: set[str] = set()
    waiting = [(requirement, "") for requirement in map(Requirement, requirements)]
    while waiting:
        requirement, extra = waiting.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        known = name in found
        found.add(name)
        for line in metadata.requires(name) or ():
            waiting += [(Requirement(line), extra) for extra in requirement.extras or ([] if known else [""])]
    return found


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the checkout, since a build leaves folders behind."""
    source, output = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for room in ROOMS:
        shutil.copytree(ROOT / room, source / room, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", str(output), str(source)], check=True)
    (built,) = output.iterdir()
    return built


@pytest.fixture(scope="module")
def light(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command in a virtual environment with the wheel and links to the distributions that it requires."""
    folder = tmp_path_factory.mktemp("light")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--python", str(python)]
    subprocess.run([*pip, "install", "--no-deps", "--no-compile", str(wheel)], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    for name in required(PROJECT["dependencies"]):
        distribution = metadata.distribution(name)
        for top in {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
            # Several distributions may share a folder.
            if not (packages / top).exists():
                (packages / top).symlink_to(Path(str(distribution.locate_file(top))))
    return python.with_name("fer-batch")


def started(light: Path, folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """The command in a folder elsewhere, without this checkout on the path."""
    return subprocess.run([str(light), *words], cwd=folder, capture_output=True, text=True, timeout=240, check=False)


def test_the_wheel_holds_all_code_weights_and_migrations_and_no_more(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    ours = {
        str(path.relative_to(ROOT))
        for room in ROOMS
        for path in (ROOT / room).rglob("*")
        if path.suffix in CODE and "__pycache__" not in path.parts
    }
    assert ours <= packed
    assert {name.partition("/")[0] for name in packed} == set(ROOMS)


def test_what_needs_an_extra_is_not_in_the_base() -> None:
    heavy = {"torch", "torchvision", "ultralytics-opencv-headless", "scipy", "matplotlib", "trackers", "supervision"}
    heavy |= {"pandas", "pyarrow", "s3fs", "psycopg", "streamlit", "fvcore"}
    assert not heavy & required(PROJECT["dependencies"])


def test_the_light_installation_analyses_and_reads(light: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'results.db'}"
    run = started(light, tmp_path, "run", str(PHOTOGRAPHS), "--db", url)
    assert run.returncode == 0, run.stderr
    assert query(url, "SELECT count(*) FROM faces") == [(4,)]
    for words in (
        ("timeline", "--affect"),
        ("report", "-o", "report.html"),
        ("annotate", "-o", "annotated"),
        *(("export", "--format", form, "-o", f"faces.{form}") for form in ("parquet", "xlsx")),
        ("models", "list"),
    ):
        run = started(light, tmp_path, *words, "--db", url)
        assert run.returncode == 0, (words, run.stderr)
    report = json.loads(started(light, tmp_path, "doctor", "--json").stdout)
    checks = {check["name"]: check for check in report["checks"]}
    # Where a GPU works, it is told that torch is missing.
    assert checks["weights"]["ok"] and checks["device"]["ok"] == (gpu_count() == 0)


@pytest.mark.parametrize(
    ("words", "extra"),
    [
        (("web",), "web"),
        (("run", "s3://bucket/clip.mp4"), "s3"),
        (("status", "--db", "postgresql://localhost/fer"), "postgres"),
        (("bench",), "train"),
        (("evaluate", "--data", "fer2013.csv", "--split", "PublicTest"), "train"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_a_missing_extra_is_one_sentence_with_the_remedy(
    light: Path, tmp_path: Path, words: tuple[str, ...], extra: str
) -> None:
    (tmp_path / "fer2013.csv").write_text("emotion,pixels,Usage\n" + f"0,{' '.join(['1'] * 2304)},PublicTest\n")
    run = started(light, tmp_path, *words)
    assert run.returncode == 1
    assert only_sentence(run.stderr).endswith(
        f"needs the extra {extra}, which is not installed: pip install 'fer-batch[{extra}]'"
    )

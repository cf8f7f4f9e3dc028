"""Where tests lie, and what they share: read from their imports, without running them."""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from cli.main import COMMANDS
from tests.support.commands import ROOT

TESTS = ROOT / "tests"
ROOMS = ("fer_model", "results", "workers", "web", "cli")


def imported(path: Path) -> Iterator[str]:
    """The full names of the modules, and of things in them, that a file imports anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def importers(folders: Iterable[str], of: tuple[str, ...], but: tuple[str, ...] = ()) -> list[str]:
    """Which files below these folders import something whose name begins with one of `of`, and what."""
    files = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    return [
        f"{path.relative_to(ROOT)}: {name}"
        for path in files
        for name in imported(path)
        if name.startswith(of) and not name.startswith(but or ("\n",))
    ]


def test_what_tests_and_benchmarks_share_is_in_tests_support() -> None:
    assert importers(["tests", "benchmarks"], of=("tests.",), but=("tests.support.",)) == []


def test_tests_depend_neither_on_benchmarks_nor_on_examples() -> None:
    assert importers(["tests"], of=("benchmarks", "examples")) == []


def test_the_program_depends_on_neither_tests_nor_benchmarks() -> None:
    assert importers([*ROOMS, "migrations", "examples"], of=("tests", "benchmarks")) == []


def test_the_reading_of_imports_finds_them() -> None:
    found = importers(["tests"], of=("tests.support.commands.ROOT",))
    assert "tests/test_layout.py: tests.support.commands.ROOT" in found


@pytest.mark.parametrize("path", sorted(TESTS.rglob("conftest.py")), ids=lambda path: str(path.relative_to(TESTS)))
def test_a_conftest_holds_fixtures_and_hooks_alone(path: Path) -> None:
    for node in ast.parse(path.read_text()).body:
        assert not isinstance(node, ast.ClassDef), node.name
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("pytest_"):
            assert any("fixture" in ast.unparse(decorator) for decorator in node.decorator_list), node.name


@pytest.mark.parametrize("room", ROOMS)
def test_tests_lie_where_their_subject_lies(room: str) -> None:
    folders = {path.parent.relative_to(TESTS) for path in (TESTS / room).rglob("test_*.py")}
    assert folders and [str(folder) for folder in folders if not (ROOT / folder).is_dir()] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_a_file_and_tests_of_its_name(command: str) -> None:
    assert (ROOT / "cli" / f"{command}.py").exists()
    assert any((TESTS / folder / f"test_{command}.py").exists() for folder in ("cli", "acceptance"))

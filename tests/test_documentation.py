"""The documentation cannot drift: what it names exists, what exists is named, and its examples run."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from sqlalchemy import Engine as Database
from sqlalchemy import inspect, text

from cli.main import main
from fer_model.networks.manifest import SHIPPED
from results.streams import StreamOptions
from results.tables import SHARD_STATES, Job
from tests.support.timeline_job import add_timeline
from workers.batch.planning import BatchOptions
from workers.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
MARKDOWN = [*PAGES, *sorted(SHIPPED.glob("*.md"))]
ROOMS = ("fer_model", "results", "workers", "cli", "migrations")
FOLDERS = (*ROOMS, "benchmarks", "deploy", "docs", "examples", "tests", "tools")
REFERENCE = ROOT / "docs" / "reference"
GIVEN_BY_CLICK = {"--help"}


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command with its full name, groups included."""

    def below(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
        yield name, command
        if isinstance(command, click.Group):
            for part in command.list_commands(click.Context(command)):
                child = command.get_command(click.Context(command), part)
                assert child is not None
                yield from below(f"{name} {part}", child)

    return below("fer-batch", main)


def options(command: click.Command) -> set[str]:
    """The long names of a command's own options."""
    found = [option for option in command.params if isinstance(option, click.Option)]
    return {name for option in found for name in option.opts if name.startswith("--")} - GIVEN_BY_CLICK


def sections(page: Path) -> dict[str, str]:
    """The text below each heading of the form "## `name`"."""
    parts = re.split(r"^## `([^`]+)`\n", page.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def first_cells(table: str) -> set[str]:
    """What stands in backquotes in the first column of a section's tables."""
    return set(re.findall(r"^\| `([^`]+)` \|", table, flags=re.MULTILINE))


def blocks(language: str) -> list[tuple[str, str]]:
    """Every fenced block in a language, with the page it stands on."""
    fence = re.compile(rf"^```{language}\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
    return [(str(page.relative_to(ROOT)), code) for page in PAGES for code in fence.findall(page.read_text())]


def command_lines() -> list[tuple[str, list[str]]]:
    """The words after `fer-batch` in every shell example, and in the models' cards."""
    found = [
        (card.name, shlex.split(call))
        for card in sorted(SHIPPED.glob("*.md"))
        for call in re.findall(r"`fer-batch ([^`]+)`", card.read_text())
    ]
    for page, code in blocks("sh"):
        for line in code.replace("\\\n", " ").splitlines():
            for call in re.findall(r"(?:^|[\s/(])fer-batch((?: [^#|&;>)]+)?)", line):
                found.append((page, shlex.split(call)))
    return [(page, words) for page, words in found if words]


def paths_in_backquotes(text: str) -> list[str]:
    """Paths of the repository: below one of its folders, any path of a Python file, and files of configuration."""
    below = rf"(?:{'|'.join(FOLDERS)})/[\w./-]*"
    forms = (below, r"[\w/.-]+/[\w-]+\.py", r"[\w-]+\.(?:toml|yml)", "Makefile|Dockerfile")
    return re.findall(rf"`({'|'.join(forms)})`", text)


@pytest.mark.parametrize(
    ("name", "command"), list(commands()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_commands_and_options_have_help_and_are_documented(name: str, command: click.Command) -> None:
    documented = sections(REFERENCE / "commands.md")
    assert command.help, f"{name} has no help"
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{name} {parameter.opts[0]} has no help"
    assert name in documented
    assert {cell for cell in first_cells(documented[name]) if cell.startswith("--")} == options(command)


def test_only_commands_that_exist_are_documented() -> None:
    assert set(sections(REFERENCE / "commands.md")) == {name for name, _ in commands()}


def test_settings_are_documented_with_their_defaults() -> None:
    page = (REFERENCE / "settings.md").read_text()
    rows = dict(re.findall(r"^\| `(FER_\w+)` \|[^|]*\| ([^|]+) \|", page, flags=re.MULTILINE))
    fields = {f"FER_{name.upper()}": field.default for name, field in Settings.model_fields.items()}
    assert rows == {name: "not set" if default is None else f"`{default}`" for name, default in fields.items()}


def test_only_settings_that_exist_are_named() -> None:
    known = {f"FER_{name.upper()}" for name in Settings.model_fields} | {"FER_BATCH"}
    # Those of the tests themselves, which they read.
    known |= set(re.findall(r"environ\.get\(\"(FER_TEST_[A-Z]+)\"", (ROOT / "tests/conftest.py").read_text()))
    for page in PAGES:
        # The passwords of streams are named by the streams.
        text = re.sub(r"FER_STREAM_PASSWORD_(?:<NAME>|[A-Z0-9_]+)|_FER_BATCH_COMPLETE", "", page.read_text())
        named = set(re.findall(r"\bFER_[A-Z]+(?:_[A-Z]+)*\b", text))
        assert named <= known, page


def test_columns_of_tables_and_views_are_documented(database: Database) -> None:
    inspector = inspect(database)
    columns = {
        name: {column["name"] for column in inspector.get_columns(name)}
        for name in (*Job.metadata.tables, *inspector.get_view_names())
    }
    assert {name: first_cells(section) for name, section in sections(REFERENCE / "database.md").items()} == columns


def test_the_options_that_a_job_keeps_are_documented() -> None:
    cell = re.search(r"^\| `options` \|.*$", sections(REFERENCE / "database.md")["jobs"], flags=re.MULTILINE)
    assert cell
    stream, batch = (set(re.findall("`([a-z_]+)`", part)) - {"options"} for part in cell[0].split("; else "))
    assert stream == {field.name for field in fields(StreamOptions)}
    assert batch - {"paths"} == {field.name for field in fields(BatchOptions)}


def test_there_are_examples() -> None:
    assert len(command_lines()) > 20 and len(blocks("sql")) > 5


@pytest.mark.parametrize(
    ("page", "words"), command_lines(), ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_commands_in_examples_parse(page: str, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    # Options put what they are given into the environment; setting it here first has it put back afterwards.
    for variable in ("FER_DATABASE_URL", "FER_BROKER_URL", "FER_DEVICE"):
        monkeypatch.setenv(variable, "")
    for _, command in commands():
        if not isinstance(command, click.Group):
            monkeypatch.setattr(command, "callback", lambda **values: None)
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, f"{page}: fer-batch {shlex.join(words)}: {result.output}"


@pytest.mark.parametrize(("page", "code"), blocks("sql"))
def test_queries_run(page: str, code: str, database: Database) -> None:
    if "CREATE ROLE" in code:
        pytest.skip("is for PostgreSQL's administrator")
    statements = [part.strip() for part in re.sub(r"--.*", "", code).split(";") if part.strip()]
    with database.begin() as connection:
        for statement in statements:
            if database.dialect.name == "sqlite" or not statement.startswith("PRAGMA"):
                connection.execute(text(statement))


@pytest.mark.parametrize(("page", "code"), blocks("python"))
def test_python_examples_compile(page: str, code: str) -> None:
    compile(code, page, "exec")


def test_python_examples_run(tmp_path: Path) -> None:
    """On a reader's database, up to what another server or a stream would answer."""
    add_timeline(f"sqlite:///{tmp_path / 'fer-batch.db'}", tmp_path / "talk.mp4")
    examples = [code.partition("\none = ")[0] for _, code in blocks("python")]
    assert len(examples) == 2
    for code in examples:
        words = [sys.executable, "-c", code]
        run = subprocess.run(
            words, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
        )
        assert run.returncode == 0 and "happy" in run.stdout, run.stderr


each_page = pytest.mark.parametrize("page", MARKDOWN, ids=lambda page: str(page.relative_to(ROOT)))


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if not target.startswith(("http://", "https://", "mailto:")):
            path, _, anchor = target.partition("#")
            linked = (page.parent / path).resolve() if path else page
            assert linked.exists(), f"{page.name}: {target}"
            assert linked.is_relative_to(ROOT), f"{page.name}: {target} leads out of the repository"
            assert not anchor or anchor in _anchors(linked), f"{page.name}: {target}"


@each_page
def test_paths_in_backquotes_exist(page: Path) -> None:
    for path in paths_in_backquotes(page.read_text()):
        assert (ROOT / path).exists(), f"{page.relative_to(ROOT)}: {path}"


def test_the_readme_has_the_figures_of_stability_of_the_card() -> None:
    card, readme = (page.read_text() for page in (SHIPPED / "emotion-b0-best.md", ROOT / "README.md"))

    def figures(row: str) -> list[float]:
        return [
            float(figure) for figure in re.findall(r"\d+\.\d", card.partition(f"\n| {row} |")[2].partition("\n")[0])
        ]

    stable, by_sex = figures("all"), figures("women, men")
    sexes = max(abs(women - men) for women, men in zip(by_sex[::2], by_sex[1::2], strict=True))
    assert f"{min(stable):.0f} to {max(stable):.0f} % of 12,515" in readme
    origins, ages = max(figures("spread of these seven")), max(figures("spread of nine groups of age"))
    assert f"{origins} points, between women and men by {sexes:.1f}, and between ages by up to {ages}" in readme


def test_names_beside_paths_are_in_those_files() -> None:
    """CONTRIBUTING's tables name a function or class beside its file."""
    named = re.findall(r"`([\w/]+\.py)`, `(\w+)`", (ROOT / "CONTRIBUTING.md").read_text())
    assert len(named) > 5
    for path, name in named:
        assert re.search(rf"^(?:def|class) {name}\b", (ROOT / path).read_text(), flags=re.MULTILINE), (path, name)


def test_paths_in_backquotes_are_told_from_other_code() -> None:
    text = "`cli/main.py` `docs/` `report/` `Makefile` `pyproject.toml` `results.db` `read_faces` `errors.py` `a/b.py`"
    assert paths_in_backquotes(text) == ["cli/main.py", "docs/", "Makefile", "pyproject.toml", "a/b.py"]


def test_every_decision_has_a_date() -> None:
    pages = [page for page in (ROOT / "docs/decisions").glob("*.md") if page.name != "README.md"]
    records = [record for page in pages for record in re.split(r"^## ", page.read_text(), flags=re.MULTILINE)[1:]]
    assert len(records) > 80
    for record in records:
        assert re.match(r".+\n\n20\d\d-\d\d-\d\d[.,] ", record), record.partition("\n")[0]


def test_every_page_is_reachable_from_the_readme() -> None:
    reached: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page not in reached and page.suffix == ".md" and page.exists():
            reached.add(page)
            links = re.findall(r"\]\(([^)\s#:]+)(?:#[^)]*)?\)", page.read_text())
            waiting += [(page.parent / link).resolve() for link in links]
    assert set(PAGES) <= reached


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_diagram_of_a_shard_has_its_states() -> None:
    page = (ROOT / "docs/explanation/shards.md").read_text()
    (diagram,) = re.findall(r"```mermaid\nstateDiagram-v2\n(.*?)```", page, re.DOTALL)
    named = {state for line in diagram.strip().splitlines() for state in re.split(r" *(?:-->|:) *", line.strip())[:2]}
    assert named - {"[*]"} == set(SHARD_STATES)

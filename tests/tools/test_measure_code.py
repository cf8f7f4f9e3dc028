"""Figures of a small tree whose answers are known."""

from pathlib import Path

import pytest

from tools.measure_code import (
    Module,
    circles,
    count,
    forwarders,
    functions,
    imports,
    is_hinted,
    prose,
    read,
    table,
    upwards,
)

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two modules that import each other, one import upwards, one forwarder and one re-export."""
    files = {
        "results/__init__.py": "",
        "results/one.py": '"""Said once; a lease."""\nfrom results import two\n\ndef add(a: int, b: int) -> int:\n'
        "    return a + b\n",
        "results/two.py": "from results.one import add as add\n\ndef plus(a: int, b: int) -> int:\n"
        "    return add(a, b)\n\ndef double(a):  # whoever\n    return add(a, a)\n",
        "results/late.py": "def run() -> None:\n    from workers.late import call\n    call(1)\n",
        "workers/late.py": "from results.late import run\n\ndef call(times: int) -> None:\n    run()\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_circles_and_imports_upwards(tree: Path) -> None:
    modules = read(tree)
    assert circles(imports(modules, deferred=False)) == [{"results.one", "results.two"}]
    deferred = imports(modules, deferred=True)
    assert {"results.late", "workers.late"} in circles(deferred) and len(circles(deferred)) == 2
    assert upwards(deferred) == ["results.late -> workers.late"]


def test_forwarders_pass_the_same_arguments_on(tree: Path) -> None:
    found = [entry for module in read(tree) for entry in forwarders(module)]
    assert found == ["results.two: add as add", "results.two: plus"]


def test_hints_and_prose(tree: Path) -> None:
    two = next(module for module in read(tree) if module.name == "results.two")
    assert {function.name: is_hinted(function) for function in functions(two)} == {"plus": True, "double": False}
    assert prose(two) == "whoever"
    assert prose(Module("results.a", '"""A fencing\n    token."""  # Leases')) == "a fencing token. leases"
    assert count("leases?", "leases of a lease, released") == 2


def test_this_checkout_can_be_measured() -> None:
    assert dict(table(read(ROOT)))["imports upwards"] == 0

"""The rooms import one way, and so do the sub-packages inside them."""

import subprocess
import sys
import tomllib

import grimp

from tests.support.commands import ROOT

KNOW_CELERY = {
    "workers.batch.submitting",
    "workers.diagnosis.checks",
    "workers.diagnosis.queue",
    "workers.metrics.serving",
    "workers.process",
    "workers.queue.app",
    "workers.queue.best_effort",
    "workers.queue.broker",
    "workers.queue.dispatching",
    "workers.queue.loader",
    "workers.queue.log_lines",
    "workers.queue.pool",
    "workers.queue.standing_stack",
    "workers.queue.transport",
    # They write to Redis and read from it, and the sweep of streams sends messages.
    "workers.streams.live",
    "workers.streams.tailing",
    "workers.streams.sweeping",
    "workers.tasks",
    "workers.training.submitting",
    "workers.watchdog",
}
"""The modules of workers that reach Celery, directly or through others. A new one needs a reason."""


def test_the_walls_between_and_inside_the_rooms_stand() -> None:
    tool, config = f"{sys.prefix}/bin/lint-imports", ROOT / "pyproject.toml"
    run = subprocess.run([tool, "--config", str(config)], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout
    contracts = tomllib.loads(config.read_text())["tool"]["importlinter"]["contracts"]
    assert len(contracts) == 9
    assert "Contracts: 9 kept, 0 broken." in run.stdout


def test_no_other_module_of_workers_reaches_celery() -> None:
    graph = grimp.build_graph("fer_model", "results", "workers", include_external_packages=True)
    ours = {module for module in graph.modules if module.split(".")[0] == "workers"}
    reach = {
        module
        for module in ours
        if any(graph.find_shortest_chain(module, library) for library in ("celery", "kombu", "redis"))
    }
    assert reach == KNOW_CELERY
    assert not graph.find_modules_that_directly_import("workers.tasks"), "the application includes it by its name"

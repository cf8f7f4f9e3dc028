"""Rows lost, rows doubled and time taken by a job while its processes and servers are killed repeatedly.

    python -m benchmarks.chaos --faults 100 --seconds 60 --seed 1

Two workers process the same job twice, with a real Redis and a real PostgreSQL: undisturbed, and with faults at
random moments: workers, Redis and PostgreSQL killed, wiped or restarted, frozen twins, a share that goes away, a full
disk. Dead processes restart after one second, as under an init system. The rows of both jobs are compared.
If the job ends before all faults have happened, it is repeated with the rest.
"""

import shutil
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from tests.support.chaos import Outcome, compare
from tests.support.cluster import cluster
from tests.support.media import write_media


@click.command()
@click.option("--faults", default=100, show_default=True)
@click.option("--seconds", default=60.0, show_default=True, help="Length of each of the two clips.")
@click.option("--pictures", default=150, show_default=True)
@click.option("--lease", default=5.0, show_default=True, help="FER_LEASE_SECONDS of the workers.")
@click.option("--seed", default=1, show_default=True)
@click.option("--keep-logs", type=click.Path(path_type=Path), help="Where the workers' logs are to stay.")
def main(faults: int, seconds: float, pictures: int, lease: float, seed: int, keep_logs: Path | None) -> None:
    """Prints the faults of a job and their cost."""
    with TemporaryDirectory(prefix="fer-chaos-media-") as folder, cluster(lease) as running:
        try:
            outcomes = compare(running, write_media(Path(folder), seconds, pictures), faults, seed, 3600)
        finally:
            if keep_logs:
                shutil.copytree(running.folder, keep_logs, ignore=shutil.ignore_patterns("data", "*.sock"))
    for outcome in outcomes:
        _print(outcome)
    _print_sum(outcomes)


def _print_sum(outcomes: list[Outcome]) -> None:
    faults = sum((outcome.faults for outcome in outcomes), Counter[str]())
    tables = [found for outcome in outcomes for found in outcome.tables.values()]
    lost, added, different = (sum(getattr(t, name) for t in tables) for name in ("lost", "added", "different"))
    print(
        f"\n{faults.total()} faults in {len(outcomes)} jobs: {', '.join(f'{n} {c}' for n, c in sorted(faults.items()))}"
    )
    print(f"rows {sum(t.rows for t in tables)}, lost {lost}, twice {added}, different {different}")


def _print(outcome: Outcome) -> None:
    print(f"\njob                  {outcome.state}")
    print(f"faults               {outcome.faults.total()}")
    for name, count in sorted(outcome.faults.items()):
        print(f"  {name:18} {count}")
    print(f"shards               {outcome.shards}, of which failed {outcome.failed}")
    print(f"attempts beyond 1st  {outcome.extra_attempts}")
    print(f"workers that ended by themselves, and were started again: {outcome.revived}")
    for table, found in outcome.tables.items():
        print(f"{table:8}  {found.rows:6} rows, lost {found.lost}, twice {found.added}, different {found.different}")
    print(f"counts that are not the rows' {outcome.miscounted}")
    print(f"seconds              {outcome.seconds:.0f}, undisturbed {outcome.calm_s:.0f}")


if __name__ == "__main__":
    main()

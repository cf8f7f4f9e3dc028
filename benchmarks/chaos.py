"""What a job loses, counts twice and costs while everything beneath it is killed, again and again.

    python -m benchmarks.chaos --faults 30 --seconds 60 --seed 1

Two workers do the same job twice, with a real Redis and a real PostgreSQL: undisturbed, and then with faults at
random moments. What died is started again a second later, as an init system would. The rows of both are compared.
Where the job ends before everything has happened to it, it is done again, and the rest happens then.
"""

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from tests.support.chaos import Outcome, compare
from tests.support.cluster import cluster
from tests.support.media import write_media


@click.command()
@click.option("--faults", default=30, show_default=True)
@click.option("--seconds", default=60.0, show_default=True, help="Length of each of the two clips.")
@click.option("--pictures", default=150, show_default=True)
@click.option("--lease", default=5.0, show_default=True, help="FER_LEASE_SECONDS of the workers.")
@click.option("--seed", default=1, show_default=True)
@click.option("--keep-logs", type=click.Path(path_type=Path), help="Where the workers' logs are to stay.")
def main(faults: int, seconds: float, pictures: int, lease: float, seed: int, keep_logs: Path | None) -> None:
    """Prints what a job went through, and what it cost."""
    with TemporaryDirectory(prefix="fer-chaos-media-") as folder, cluster(lease) as running:
        try:
            outcomes = compare(running, write_media(Path(folder), seconds, pictures), faults, seed, 3600)
        finally:
            if keep_logs:
                shutil.copytree(running.folder, keep_logs, ignore=shutil.ignore_patterns("data", "*.sock"))
    for outcome in outcomes:
        _print(outcome)


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

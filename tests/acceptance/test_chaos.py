"""Every kind of fault once, at random moments: the job ends by itself, and its rows are those of a quiet run."""

from pathlib import Path

import pytest

from benchmarks.chaos import FAULTS, compare, write_media
from benchmarks.cluster import cluster


@pytest.mark.timeout(900)
def test_no_row_is_lost_and_none_counted_twice(cache: Path, tmp_path: Path) -> None:
    media = write_media(tmp_path / "media", seconds=20, pictures=60)
    with cluster(lease_s=5) as running:
        outcome = compare(running, media, len(FAULTS), seed=4, limit_s=300)
    assert outcome.state == "done" and outcome.failed == 0
    assert outcome.shards >= 40
    assert sorted(outcome.faults) == sorted(fault.__name__ for fault in FAULTS), "each kind happened"
    for table, found in outcome.tables.items():
        assert (found.lost, found.added, found.different) == (0, 0, 0), table
        assert found.rows, "there was something to lose"
    assert outcome.miscounted == 0

"""Every kind of fault once, at random moments: the job ends by itself, and its rows are those of a quiet run."""

from collections import Counter
from pathlib import Path

import pytest

from tests.support.chaos import compare
from tests.support.cluster import cluster
from tests.support.faults import FAULTS
from tests.support.media import write_media


@pytest.mark.timeout(900)
def test_no_row_is_lost_and_none_counted_twice(prepared: None, tmp_path: Path) -> None:
    media = write_media(tmp_path / "media", seconds=24, pictures=60)
    with cluster(lease_s=5) as running:
        # On a fast machine the job ends before all faults have happened; it is repeated then, and all runs count.
        outcomes = compare(running, media, len(FAULTS), seed=4, limit_s=300)
    happened = sum((outcome.faults for outcome in outcomes), Counter[str]())
    assert happened == Counter(fault.__name__ for fault in FAULTS), "each kind happened, once"
    for outcome in outcomes:
        assert outcome.state == "done" and outcome.failed == 0
        assert outcome.shards >= 40
        for table, found in outcome.tables.items():
            assert (found.lost, found.added, found.different) == (0, 0, 0), table
            assert found.rows, "there was something to lose"
        assert outcome.miscounted == 0

"""One of all workers sweeps a queue each time."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from sqlalchemy import Engine as Database
from sqlalchemy import update

from results.clock import ago
from results.database import reading, writing
from results.sweeps import due, take_turn
from results.tables import Sweep

WORKERS = 6


def test_one_of_many_workers_gets_each_turn(database: Database) -> None:
    ready = Barrier(WORKERS)

    def turn(number: int) -> list[str]:
        queues = ["batch", "train"] if number % 2 else ["batch"]
        ready.wait()
        with writing(database) as session:
            return take_turn(session, queues, 10.0)

    with ThreadPoolExecutor(WORKERS) as pool:
        for _ in range(3):
            taken = sorted(queue for own in pool.map(turn, range(WORKERS)) for queue in own)
            assert taken == ["batch", "train"]
            with reading(database) as session:
                assert not due(session, ["batch", "train"], 10.0)
                assert due(session, ["batch", "another"], 10.0)
            assert [queue for own in pool.map(turn, range(WORKERS)) for queue in own] == []
            # A worker that died during its sweep costs no more than the time until the next.
            with writing(database) as session:
                session.execute(update(Sweep).values(swept_at=ago(11.0)))


def test_a_clock_that_was_set_back_holds_no_sweep_up(database: Database) -> None:
    with writing(database) as session:
        assert take_turn(session, ["batch"], 10.0) == ["batch"]
        session.execute(update(Sweep).values(swept_at=ago(-3 * 3600)))
        assert due(session, ["batch"], 10.0)
        assert take_turn(session, ["batch"], 10.0) == ["batch"]
        assert not due(session, ["batch"], 10.0) and take_turn(session, ["batch"], 10.0) == []

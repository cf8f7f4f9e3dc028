"""Live streams on this machine: delay, number of streams, memory, and the time to take over, to stop and to reconnect.

    python -m benchmarks.streams                        # all parts but the memory, about a quarter of an hour
    python -m benchmarks.streams delay streams
    python -m benchmarks.streams memory --minutes 30

GStreamer's RTSP server plays clips of 640x360 with faces on the same machine, which costs a part of its processors; the
workers write into a real PostgreSQL. Delays are measured from outside: the database is read every 20 ms, and a row's
delay is the time from its capture (the server's clock, by RTCP) until it can be read.
"""

import os
import signal
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen

import click
from sqlalchemy import Engine as Database
from sqlalchemy import func, select, tuple_

from fer_model.analysis.lookahead import detect
from fer_model.engines import load_engine
from fer_model.engines.detection import letterbox
from fer_model.sources import open_source
from results.database import connect, reading, upgrade, writing
from results.read.streams import StreamStatus, stream_statuses
from results.streams import QUEUE, StreamOptions, add_stream, stop_stream
from results.tables import Frame, Media
from tests.support import live_servers
from tests.support.cluster import WORKER, children, end, postgresql, start, wait_for
from tests.support.live_servers import LiveServer, rtsp_server, write_live_clip
from tests.support.on_air import pid_of
from workers.models import store
from workers.queue.app import make_app
from workers.queue.best_effort import try_advance
from workers.queue.local_stack import local_redis, stack_folder
from workers.retention import delete
from workers.settings import Settings, writable_cache

PARTS = ("delay", "streams", "takeover", "stop", "reconnect", "memory")
POLL_S = 0.02
WARM_UP_S = 10.0
SERVERS = 4
"""Of the many streams; each begins at another moment, so that their frames do not all come at once."""

LATEST_MS = 2000.0
"""The 95th percentile of the delay up to which a number of streams counts as held."""

KEPT_UP = 0.97
"""The part of the wanted frames that must be analysed; the rest is the clip's seam and the edges of the measurement."""

DOWN_S = (2.0, 20.0)
"""How long the server is away before the stream reconnects; its pauses double up to 60 s."""


@dataclass
class Place:
    """A Redis server, a PostgreSQL server, a clip at 5 and one at 25 frames a second, and workers for streams."""

    folder: Path
    settings: Settings
    database: Database
    clips: dict[int, Path]
    workers: dict[str, "Popen[bytes]"] = field(default_factory=dict)

    def start_worker(self, name: str) -> None:
        environment = {**self.settings.as_environment(), "FER_QUEUES": QUEUE}
        log = self.folder / f"{name}.log"
        self.workers[name] = start([*WORKER, name], log, environment)
        wait_for(lambda: " ready." in log.read_text(), f"worker {name}")

    def end_worker(self, name: str) -> None:
        end(self.workers.pop(name))

    def add(self, name: str, server: LiveServer) -> None:
        with writing(self.database) as session:
            job_id = add_stream(session, name, server.url, None, StreamOptions()).id
        try_advance(make_app(self.settings), self.database, job_id)

    def statuses(self) -> list[StreamStatus]:
        with reading(self.database) as session:
            return stream_statuses(session)

    def until_live(self, count: int) -> None:
        wait_for(lambda: sum(each.state == "live" for each in self.statuses()) == count, f"{count} live streams")

    def frames(self) -> int:
        """Rows of all streams."""
        with reading(self.database) as session:
            return session.scalar(select(func.count()).select_from(Frame)) or 0

    @contextmanager
    def streams(self, count: int, fps: int) -> Iterator[list[LiveServer]]:
        """So many live streams of a source with `fps` frames a second; removed at the end."""
        with ExitStack() as stack:
            servers = [stack.enter_context(rtsp_server(self.clips[fps])) for _ in range(min(count, SERVERS))]
            for number in range(count):
                self.add(f"s{number}", servers[number % len(servers)])
                time.sleep(0.07)
            self.until_live(count)
            time.sleep(WARM_UP_S)
            yield servers
            self.remove_all()

    def remove_all(self) -> None:
        for each in self.statuses():
            delete(self.database, self.settings.models_dir, each.job, ())


@contextmanager
def place() -> Iterator[Place]:
    with stack_folder() as folder, local_redis(folder) as broker, postgresql() as url:
        upgrade(url)
        settings = Settings(broker_url=broker, database_url=url, device="cpu")
        clips = {fps: write_live_clip(folder / f"{fps}.mp4", fps=fps) for fps in (5, 25)}
        running = Place(folder, settings, connect(url), clips)
        try:
            yield running
        finally:
            for name in list(running.workers):
                running.end_worker(name)
            running.database.dispose()


def delays(database: Database, seconds: float) -> list[float]:
    """Milliseconds from capture to a readable row, for each frame of the one stream whose row appears in this time."""
    found: list[float] = []
    place = tuple_(Frame.media_id, Frame.frame_index)
    rows = select(Frame.media_id, Frame.frame_index, Frame.time_ms, Media.started_at).join(Media)
    with reading(database) as session:
        last = session.execute(rows.order_by(place.desc()).limit(1)).one()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(POLL_S)
        with reading(database) as session:
            new = session.execute(rows.where(place > (last[0], last[1])).order_by(place)).all()
        now_ms = time.time() * 1000
        found += [now_ms - row.started_at.timestamp() * 1000 - row.time_ms for row in new]
        last = new[-1] if new else last
    return found


def print_delay(running: Place, seconds: float) -> None:
    for fps in (25, 5):
        with running.streams(1, fps):
            found = sorted(delays(running.database, seconds))
            (status,) = running.statuses()
        p50, p95 = statistics.median(found), found[int(0.95 * len(found))]
        print(
            f"delay at {fps} fps: p50 {p50:.0f} ms, p95 {p95:.0f} ms, longest {found[-1]:.0f} ms, of {len(found)} rows"
            f" (the worker says {status.delay_ms}; clock {status.clock}; skipped {status.skipped})",
            flush=True,
        )


def holds(running: Place, count: int, seconds: float) -> bool:
    """Whether the worker analyses nearly all frames of so many streams of 5 frames a second, and none late."""
    with running.streams(count, 5):
        before, began, latest = running.frames(), time.monotonic(), 0.0
        while time.monotonic() - began < seconds:
            time.sleep(2)
            latest = max(latest, *(each.delay_ms["p95"] or 0.0 for each in running.statuses()))
        kept = (running.frames() - before) / (time.monotonic() - began) / (5 * count)
        skipped = sum(each.skipped["overload"] + each.skipped["stale"] for each in running.statuses())
    held = latest < LATEST_MS and kept >= KEPT_UP
    found = f"{kept:.1%} of the frames, p95 {latest:.0f} ms, skipped {skipped}"
    print(f"  {count} streams: {found}: {'held' if held else 'too many'}", flush=True)
    return held


def print_streams(running: Place, seconds: float) -> None:
    detector = detector_fps(running)
    print(f"the detector alone: {detector:.1f} frames/s, so at best {detector / 5:.1f} streams", flush=True)
    count, too_many = 0, int(detector / 5) + 1
    while too_many - count > 1:
        middle = (count + too_many) // 2
        count, too_many = (middle, too_many) if holds(running, middle, seconds) else (count, middle)
    cores = os.cpu_count() or 1
    share = f"{count * 5 / detector:.2f} of the detector's speed"
    print(f"streams of 5 fps: {count} on {cores} processors, {count / cores:.1f} each; {share}", flush=True)


def detector_fps(running: Place) -> float:
    """Frames a second of the detector alone, from memory, with frames of the clip."""
    engine = load_engine(store.shipped(running.settings.models_dir), "cpu", writable_cache(running.settings.cache_dir))
    pictures = [letterbox(frame.image)[0] for frame in open_source(str(running.clips[5]), kind="video")] * 4

    def once() -> float:
        began = time.perf_counter()
        return sum(1 for _ in detect(pictures, engine, 0.4)) / (time.perf_counter() - began)

    once()
    return statistics.median(once() for _ in range(3))


def print_takeover(running: Place, repeats: int) -> None:
    running.start_worker("b")
    with running.streams(1, 5):
        took = [taken_over(running, signal.SIGKILL) for _ in range(repeats)]
        print(f"take over after kill -9: {summary(took)}", flush=True)
        took = [taken_over(running, signal.SIGSTOP) for _ in range(repeats)]
        print(f"take over after SIGSTOP, as of a host that is cut off: {summary(took)}", flush=True)
    running.end_worker("b")


def taken_over(running: Place, number: int) -> float:
    """Seconds from the signal to the holder's whole group until the other worker's first row."""
    (status,) = running.statuses()
    holder = next(name for name, process in running.workers.items() if pid_of(status.worker) in children(process))
    process = running.workers[holder]
    os.killpg(process.pid, number)
    before, began = running.frames(), time.monotonic()
    wait_for(lambda: running.statuses()[0].worker not in (status.worker, None), "another worker", every_s=POLL_S)
    wait_for(lambda: running.frames() > before, "a new row", every_s=POLL_S)
    took = time.monotonic() - began
    running.end_worker(holder)
    running.start_worker(holder)
    time.sleep(WARM_UP_S)
    return took


def print_stop(running: Place, repeats: int) -> None:
    took: dict[str, list[float]] = {"live": [], "server frozen": [], "server killed": []}
    for state, found in took.items():
        for _ in range(repeats):
            with running.streams(1, 5) as (server,):
                if state != "live":
                    (server.freeze if state == "server frozen" else server.kill)()
                    time.sleep(3)
                found.append(stopped(running))
        print(f"stop, {state}: {summary(found)}", flush=True)


def stopped(running: Place) -> float:
    """Seconds from the command until the worker has dropped the stream, by its log."""
    log, line = running.folder / "a.log", "ends here"
    before, began = log.read_text().count(line), time.monotonic()
    with writing(running.database) as session:
        stop_stream(session, "s0")
    wait_for(lambda: log.read_text().count(line) > before, "the stream ends", every_s=POLL_S)
    return time.monotonic() - began


def print_reconnect(running: Place, repeats: int) -> None:
    for down in DOWN_S:
        with running.streams(1, 5) as (server,):
            took = [reconnected(running, server, down) for _ in range(repeats)]
        print(f"reconnect after {down:g} s without a server: {summary(took)}", flush=True)


def reconnected(running: Place, server: LiveServer, down: float) -> float:
    """Seconds from the server's restart to the first new row."""
    server.kill()
    time.sleep(down)
    before = running.frames()
    server.start()
    began = time.monotonic()
    wait_for(lambda: running.frames() > before, "a new row", every_s=POLL_S)
    took = time.monotonic() - began
    time.sleep(WARM_UP_S)
    return took


def print_memory(running: Place, minutes: float) -> None:
    warm_up = min(3.0, minutes / 5)
    with running.streams(4, 5):
        (child,) = children(running.workers["a"])
        samples: list[float] = []
        while len(samples) < 60 * (minutes + warm_up) / 5:
            time.sleep(5)
            samples.append(resident_mb(child))
            if len(samples) % 60 == 0:
                print(f"  {len(samples) / 12:.0f} min: {samples[-1]:.0f} MB", flush=True)
    settled = samples[int(12 * warm_up) :]
    first, last = statistics.mean(settled[:12]), statistics.mean(settled[-12:])
    grown = f"{first:.0f} MB to {last:.0f} MB, {last - first:+.1f} MB"
    print(f"memory, 4 streams of 5 fps, {minutes:g} min after a warm-up of {warm_up:g} min: {grown}", flush=True)


def resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def summary(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.2f} s (median of {len(seconds)}), {max(seconds):.2f} s (longest)"


@click.command()
@click.argument("parts", nargs=-1, type=click.Choice(PARTS))
@click.option("--seconds", default=60.0, show_default=True, help="Of each measurement of delays and streams.")
@click.option("--repeats", default=5, show_default=True, help="Of takeovers, stops and reconnections.")
@click.option("--minutes", default=30.0, show_default=True, help="Of the part `memory`.")
def main(parts: tuple[str, ...], seconds: float, repeats: int, minutes: float) -> None:
    """Prints one or more lines for each part: delay, streams, takeover, stop, reconnect, memory."""
    live_servers.LONGEST_S = int(60 * minutes + 3600)
    measure: dict[str, Callable[[Place], None]] = {
        "delay": lambda running: print_delay(running, seconds),
        "streams": lambda running: print_streams(running, seconds),
        "takeover": lambda running: print_takeover(running, repeats),
        "stop": lambda running: print_stop(running, repeats),
        "reconnect": lambda running: print_reconnect(running, repeats),
        "memory": lambda running: print_memory(running, minutes),
    }
    with place() as running:
        running.start_worker("a")
        for part in parts or PARTS[:-1]:
            try:
                measure[part](running)
            except TimeoutError as error:
                print(f"{part}: {error}", flush=True)
                running.remove_all()


if __name__ == "__main__":
    main()

"""Photographs of mixed sizes: `python -m benchmarks.pictures FOLDER [COUNT]`.

Makes COUNT JPEGs (2000) of the photographs in a folder, resized to four sizes from 640 to 4032 pixels, and
measures photographs per second from files to committed rows against the detector alone, by the clock and by the
processor time of this process, which other programs disturb less.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from sqlalchemy import select

from fer_model.analysis.lookahead import detect
from fer_model.engines import Engine, load_engine
from fer_model.engines.detection import letterbox
from fer_model.sources import open_source
from results.database import connect, upgrade, writing
from results.jobs import create_job
from results.plans import add_plan
from results.tables import Shard
from workers.batch.planning import BatchOptions, plan
from workers.batch.processing import process_shard
from workers.models import store
from workers.settings import Settings, writable_cache

SIDES = (640, 1024, 1920, 4032)
"""Long sides in turn: a thumbnail, an old camera's picture, a screen's, a telephone's of 12 megapixels."""


def main(folder: Path, count: int = 2000) -> None:
    originals = sorted(folder.iterdir())
    settings = Settings()
    engine = load_engine(store.shipped(settings.models_dir), settings.device, writable_cache(settings.cache_dir))
    print(engine.description)
    with tempfile.TemporaryDirectory() as place:
        paths = [_photograph(originals[n % len(originals)], Path(place), n) for n in range(count)]
        sample = [next(open_source(str(path), kind="image")).image for path in paths[:64]]
        pictures = [letterbox(image)[0] for image in sample]
        threshold = settings.detection_threshold
        for _ in detect(pictures, engine, threshold):
            pass
        with _spent() as alone:
            looked_at = sum(1 for _ in detect(pictures * 3, engine, threshold))
        done, spent = _work_through(settings, engine, paths, Path(place))
    for name, detector, all_of_it in zip(("clock", "processors"), alone, spent, strict=True):
        each, whole = 1000 * detector / looked_at, 1000 * all_of_it / done
        print(f"{name}: {whole:.1f} ms a photograph, the detector alone {each:.1f} ms; share {each / whole:.2f}")


@contextmanager
def _spent() -> Iterator[list[float]]:
    """Seconds by the clock and of processor time; filled when the block ends."""
    spent: list[float] = []
    began = time.perf_counter(), time.process_time()
    yield spent
    spent += (time.perf_counter() - began[0], time.process_time() - began[1])


def _photograph(original: Path, place: Path, number: int) -> Path:
    with Image.open(original) as picture:
        side = SIDES[number % len(SIDES)]
        scale = side / max(picture.size)
        size = (round(picture.width * scale), round(picture.height * scale))
        path = place / f"{number:05d}.jpg"
        picture.convert("RGB").resize(size).save(path, quality=90)
    return path


def _work_through(settings: Settings, engine: Engine, paths: list[Path], place: Path) -> tuple[int, list[float]]:
    """The number of photographs after the first shard, and what they took."""
    upgrade(url := f"sqlite:///{place / 'results.db'}")
    database = connect(url)
    media, shards = plan([str(path) for path in paths], BatchOptions(), settings.permitted_roots)
    with writing(database) as session:
        job, _ = create_job(session, kind="batch", name=None, options=BatchOptions().as_dict())
        add_plan(session, job.id, media, shards)
        ids = session.scalars(select(Shard.id).order_by(Shard.id)).all()
    process_shard(database, settings, ids[0], "warm up", lambda _: engine)
    with _spent() as spent:
        for shard_id in ids[1:]:
            process_shard(database, settings, shard_id, "bench", lambda _: engine)
    database.dispose()
    return len(paths) - shards[0].planned_frames, spent


if __name__ == "__main__":
    main(Path(sys.argv[1]), *(int(word) for word in sys.argv[2:3]))

"""Photographs of mixed sizes: `python -m benchmarks.pictures FOLDER [COUNT]`.

Makes COUNT JPEGs (2000) of the photographs in a folder, resized to four sizes from 640 to 4032 pixels, and
measures photographs per second from files to committed rows against the detector alone.
"""

import sys
import tempfile
import time
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
        began = time.perf_counter()
        looked_at = sum(1 for _ in detect(pictures * 3, engine, threshold))
        alone = looked_at / (time.perf_counter() - began)
        rate = _work_through(settings, engine, paths, Path(place))
    print(f"{count} photographs: {rate:.1f} a second; the detector alone {alone:.1f}; share {rate / alone:.2f}")


def _photograph(original: Path, place: Path, number: int) -> Path:
    with Image.open(original) as picture:
        side = SIDES[number % len(SIDES)]
        scale = side / max(picture.size)
        size = (round(picture.width * scale), round(picture.height * scale))
        path = place / f"{number:05d}.jpg"
        picture.convert("RGB").resize(size).save(path, quality=90)
    return path


def _work_through(settings: Settings, engine: Engine, paths: list[Path], place: Path) -> float:
    upgrade(url := f"sqlite:///{place / 'results.db'}")
    database = connect(url)
    media, shards = plan([str(path) for path in paths], BatchOptions(), settings.permitted_roots)
    with writing(database) as session:
        job, _ = create_job(session, kind="batch", name=None, options=BatchOptions().as_dict())
        add_plan(session, job.id, media, shards)
        ids = session.scalars(select(Shard.id).order_by(Shard.id)).all()
    process_shard(database, settings, ids[0], "warm up", lambda _: engine)
    began = time.perf_counter()
    for shard_id in ids[1:]:
        process_shard(database, settings, shard_id, "bench", lambda _: engine)
    rate = (len(paths) - shards[0].planned_frames) / (time.perf_counter() - began)
    database.dispose()
    return rate


if __name__ == "__main__":
    main(Path(sys.argv[1]), *(int(word) for word in sys.argv[2:3]))

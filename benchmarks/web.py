"""How fast the page is, and how much memory an upload takes: `python -m benchmarks.web [frames] [live] [upload]`.

`frames`: the time of a picture (1280x720) and of a webcam's frame (640x480) with two faces, without the browser:
median, 95th percentile and processor time in milliseconds. `live`: the page Live in Chromium with a fake camera of 30
frames a second; the frames a second that it shows, and how old the shown picture is at any moment (median and 95th
percentile). `upload`: the memory that the server takes for 1 GB from Chromium.
"""

import io
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import cv2
import numpy as np

from benchmarks import live_page
from fer_model.analysis.analyser import Analyser
from fer_model.engines import load_engine
from fer_model.networks.manifest import ModelSet, read_models
from fer_model.rendering.drawing import annotate
from fer_model.samples import write_samples
from fer_model.sources.images import decode_reduced, read_picture
from fer_model.types import Image
from tests.support.pages import browsing, opened, resident, serving_page
from web.live import Watch
from web.parts.face_table import face_table
from web.parts.pictures import analysed, drawn
from workers.settings import Settings, writable_cache

WARM_UP, TIMES = 5, 60
UPLOAD_BYTES = 10**9


@click.command()
@click.argument("chosen", nargs=-1, type=click.Choice(["frames", "live", "upload"]))
def main(chosen: tuple[str, ...]) -> None:
    """Measures and prints."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_samples(folder)
        for part, work in {"frames": frames, "live": live, "upload": upload}.items():
            if part in (chosen or (part,)):
                work(folder)


def frames(folder: Path) -> None:
    """The time of a picture and of a frame."""
    models = read_models()
    engine = load_engine(models, "cpu", writable_cache(Settings().cache_dir))
    picture = folder / "zidane.jpg"
    with Analyser(engine, models) as analyser:
        frame = np.ascontiguousarray(cv2.resize(read_picture(str(picture))[:, 300:1260], (640, 480)), np.uint8)
        jpeg = cv2.imencode(".jpg", frame)[1].tobytes()
        watch = Watch(analyser, 0.4)
        measure("picture, shown on the page", lambda: shown(picture, analyser, models))
        measure("frame over WebRTC, with boxes", lambda: boxed(watch, frame))
        measure("frame as JPEG", lambda: watch.look(decode_reduced(io.BytesIO(jpeg), "frame")[0]))


def live(folder: Path) -> None:
    """The rate and the delay of the page Live, over WebRTC and by posted frames."""
    for way, seen in live_page.measured(read_picture(str(folder / "zidane.jpg")), folder).items():
        print(f"Live over {way:22s} p50 {seen.p50_ms:6.1f}  p95 {seen.p95_ms:6.1f}  frames a second {seen.fps:5.1f}")


def upload(folder: Path) -> None:
    """The most memory of the server while a browser uploads `UPLOAD_BYTES`."""
    film = folder / "film.mp4"
    with film.open("wb") as file:
        file.truncate(UPLOAD_BYTES)
    surroundings = {"FER_UPLOADS_DIR": str(folder / "uploads"), "FER_DEVICE": "cuda:63"}
    database = f"sqlite:///{folder / 'results.db'}"
    with serving_page(folder / "web.log", database, **surroundings) as url, browsing() as chromium:
        page = opened(chromium, f"{url}/jobs")
        page.get_by_text("Upload", exact=True).click()
        page.locator(".drop input[type=file]").wait_for(state="attached")
        page.wait_for_timeout(3000)
        before, began = resident(url), time.perf_counter()
        page.locator(".drop input[type=file]").set_input_files(film)
        most = 0
        while page.locator(".drop progress").count() or not page.locator(".drop li").count():
            most = max(most, resident(url))
            page.wait_for_timeout(50)
        took_s = time.perf_counter() - began
        print(f"upload of {UPLOAD_BYTES / 1e9:.1f} GB: {(most - before) / 1e6:.1f} MB of memory, {took_s:.1f} s")


def shown(picture: Path, analyser: Analyser, models: ModelSet) -> None:
    """What the page Analyse does with a new picture."""
    with picture.open("rb") as file:
        found = analysed(file, picture.name, analyser)
    faces = found.faces_from(0.4)
    drawn(found, faces)
    "".join(face_table(face, models) for face in faces)


def boxed(watch: Watch, frame: Image) -> None:
    """What the page Live does with a frame between the decoder and the encoder."""
    annotate(frame, watch.look(frame) or [])


def measure(name: str, work: Callable[[], object]) -> None:
    """Prints how long it takes."""
    for _ in range(WARM_UP):
        work()
    took, used = [], time.process_time()
    for _ in range(TIMES):
        began = time.perf_counter()
        work()
        took.append(1000 * (time.perf_counter() - began))
    used = 1000 * (time.process_time() - used) / TIMES
    print(
        f"{name:32s} p50 {np.median(took):6.1f}  p95 {np.quantile(took, 0.95):6.1f}  processor {used:6.1f}", flush=True
    )


if __name__ == "__main__":
    main()

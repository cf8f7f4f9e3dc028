"""How long the page takes for a picture and for a webcam's frame, without the browser: `python -m benchmarks.web`.

Prints, for each, the median and the 95th percentile of the time, and the processor time, in milliseconds. The frames of
the webcam are 640x480, the picture is 1280x720; both show two faces.
"""

import io
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from fer_model.analysis.analyser import Analyser
from fer_model.engines import load_engine
from fer_model.networks.manifest import ModelSet, read_models
from fer_model.rendering.drawing import annotate
from fer_model.samples import write_samples
from fer_model.sources.images import decode_reduced, read_picture
from fer_model.types import Image
from web.live import Watch
from web.parts.face_table import face_table
from web.parts.pictures import analysed, drawn
from workers.settings import Settings, writable_cache

WARM_UP, TIMES = 5, 60


def main() -> None:
    """Measures and prints."""
    models = read_models()
    engine = load_engine(models, "cpu", writable_cache(Settings().cache_dir))
    with tempfile.TemporaryDirectory() as folder, Analyser(engine, models) as analyser:
        write_samples(Path(folder))
        picture = Path(folder) / "zidane.jpg"
        frame = np.ascontiguousarray(cv2.resize(read_picture(str(picture))[:, 300:1260], (640, 480)), np.uint8)
        jpeg = cv2.imencode(".jpg", frame)[1].tobytes()
        watch = Watch(analyser, 0.4)
        measure("picture, shown on the page", lambda: shown(picture, analyser, models))
        measure("frame over WebRTC, with boxes", lambda: boxed(watch, frame))
        measure("frame as JPEG", lambda: watch.look(decode_reduced(io.BytesIO(jpeg), "frame")[0]))


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

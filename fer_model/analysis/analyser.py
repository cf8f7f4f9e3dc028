"""The analyser: faces of a single picture, of a finite source, and of many live sources at once."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass
from types import TracebackType

from fer_model.analysis.batcher import Batcher
from fer_model.analysis.lookahead import batched, detected
from fer_model.analysis.observing import Follow, Ids, observe
from fer_model.analysis.refining import refiner
from fer_model.engines import Engine
from fer_model.engines.detection import Detections
from fer_model.networks.manifest import ModelSet
from fer_model.sources.sampling import Sampling
from fer_model.types import FaceObservation, Frame, Image

THRESHOLD = 0.4
"""The default detection threshold, 0..1."""

WINDOW_S = 0.025
"""Seconds that a live frame waits for frames of other sources, where the engine works in batches."""

Faces = list[FaceObservation]


@dataclass(eq=False, slots=True)
class SourceState:
    """The state of one source: its detection threshold and its tracker.

    Without `follow` (see `face_tracker`) faces have no track ids.
    """

    threshold: float = THRESHOLD
    follow: Follow | None = None

    def track(self, boxes: Detections, frame: Frame) -> Ids | None:
        """The track ids of a frame's faces."""
        return self.follow(boxes, frame.time_ms) if self.follow else None


class Analyser:
    """Faces with emotions, by an engine with the networks of `models`. Every method may be called by any thread.

    Pictures and live frames go through one batcher. Its thread runs while there is work, at most until `close`.
    """

    def __init__(self, engine: Engine, models: ModelSet) -> None:
        self._engine, self._models = engine, models
        self._batcher: Batcher[tuple[Frame, SourceState], Faces] = Batcher(
            self._launch, engine.at_once, lambda: engine.in_flight
        )

    def image(self, picture: Image, threshold: float = THRESHOLD) -> Faces:
        """The faces of one picture, with what each classifier gave (`FaceObservation.members`).

        Raises what the engine raises, and `RuntimeError` once the analyser is closed.
        """
        frame, source = Frame(0, 0, picture), SourceState(threshold)
        return self._batcher.submit((frame, source), caller=source).result()

    def submit(self, frame: Frame, source: SourceState, timeout: float | None = None) -> Future[Faces]:
        """The faces of a live source's next frame, as `image` gives them, with track ids if the source is tracked.

        Sources are served in turn. While several frames of a source wait, this blocks for at most `timeout` seconds; a
        source that would rather drop a frame than fall behind gives 0. A future can be cancelled until the
        work on it begins; the frame is then missing for the tracker.

        Raises:
            queue.Full: the frame was not taken in time.
            RuntimeError: the analyser is closed.
        """
        # Waiting pays only for an engine that works in batches.
        window_s = WINDOW_S if self._engine.at_once > 1 else 0.0
        return self._batcher.submit((frame, source), caller=source, wait_s=window_s, timeout=timeout)

    def frames(
        self,
        frames: Iterable[Frame],
        source: SourceState,
        detect_on: Sampling | None = None,
        *,
        refine: bool = False,
        keep_members: bool = False,
        on_batch: Callable[[int], None] = lambda frames: None,
    ) -> Generator[tuple[Frame, Faces]]:
        """The faces of each frame of a finite source, in order, read and detected ahead at full speed.

        With `detect_on`, faces are detected in the frames that it keeps, the first and the last, and interpolated in
        the others (see `interpolation`); with `refine`, also in those of the others that need it (see `refining`).
        `keep_members` fills `FaceObservation.members`; `on_batch` is called for each batch with the number of its
        frames that were detected. At most four batches are in memory, and what the engine takes ahead. An exception of
        `frames` is raised here, after the frames before it. At the end, and when this is closed earlier, `frames` is
        closed if it is a generator.
        """
        batches = batched(frames, detect_on or Sampling())
        refined = refiner() if refine else None
        with closing(detected(batches, self._engine, source.threshold, refined)) as ahead:
            for batch, found, count in ahead:
                on_batch(count)
                yield from zip(batch, self._observe(batch, found, [source] * len(batch), keep_members), strict=True)

    def close(self) -> None:
        """Cancels pictures and live frames that have not begun, and waits for those that have."""
        self._batcher.close()

    def __enter__(self) -> "Analyser":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _launch(self, batch: Sequence[tuple[Frame, SourceState]]) -> Callable[[], list[Faces]]:
        frames, sources = zip(*batch, strict=True)
        lowest = min(source.threshold for source in sources)
        detections = self._engine.start([frame.image for frame in frames], lowest)

        def finish() -> list[Faces]:
            # Suppression goes from the best face down, so those below a threshold changed nothing above it.
            found = [faces[faces[:, 4] >= each.threshold] for faces, each in zip(detections(), sources, strict=True)]
            return list(self._observe(frames, found, sources, keep_members=True))

        return finish

    def _observe(
        self, frames: Sequence[Frame], found: Sequence[Detections], sources: Sequence[SourceState], keep_members: bool
    ) -> Iterator[Faces]:
        def track(number: int) -> Ids | None:
            return sources[number].track(found[number], frames[number])

        return observe(frames, found, self._engine, self._models, track, keep_members=keep_members)

"""Everything that pictures can come from, behind one iterator."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from fer_model.sources.files import to_path
from fer_model.sources.sampling import Sampling

if TYPE_CHECKING:
    from fer_model.types import Frame


def open_source(
    uri: str,
    *,
    kind: Literal["image", "video"],
    start_ms: int = 0,
    end_ms: int | None = None,
    start_frame: int = 0,
    sampling: Sampling | None = None,
    threads: int = 0,
) -> Iterator[Frame]:
    """The frames of a photograph (one, index 0, time 0) or of a video or a piece of it (see `read_video`).

    `uri` is a path or a `file://` URI. Close the iterator, or read it to its end, to close the file.

    Raises:
        UnreadableMediaError: with the first frame, if the file cannot be read: one sentence that begins with its path.
        ValueError: the URI names a file on another host.
    """
    # NumPy and the decoders load slowly, and those who only look for files do not need them.
    if kind == "image":
        from fer_model.sources.pictures import read_picture
        from fer_model.types import Frame

        yield Frame(0, 0, read_picture(to_path(uri)))
        return
    from fer_model.sources.video import read_video

    yield from read_video(
        to_path(uri),
        start_ms=start_ms,
        end_ms=end_ms,
        start_frame=start_frame,
        sampling=sampling,
        threads=threads,
    )

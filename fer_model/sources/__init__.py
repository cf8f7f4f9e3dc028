"""All kinds of sources behind one iterator of frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal

from fer_model.sources.identity import UNKNOWN, Identity
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
    ordered: bool = True,
    sampling: Sampling | None = None,
    threads: int = 0,
    roots: Sequence[str] = (),
    expected: Identity = UNKNOWN,
    on_packet: Callable[[], None] = lambda: None,
) -> Iterator[Frame]:
    """The frames of a photograph (one, index 0, time 0) or of a video or a piece of it (see `read_video`).

    Large JPEGs are read at a part of their size (see `read_reduced`).
    `uri` is a path, or a URI that begins with `file:`, `s3:`, `http:` or `https:`; with `roots` it has to lie below one
    of them (see `check_permitted`), and it has to be the `expected` file. Close the iterator, or read it to its end, to
    close the file. `on_packet` is called before each packet of a video, also of skipped ones, and before each read; an
    exception from it ends the reading.

    Raises:
        UnreadableMediaError: if the file cannot or may not be read: one sentence that begins with its path.
        TransientMediaError: the same, where a later attempt may succeed.
    """
    # NumPy and the decoders load slowly, and listing files does not need them.
    if kind == "image":
        from fer_model.sources.images import read_reduced
        from fer_model.types import Frame

        image, size = read_reduced(uri, roots, expected)
        yield Frame(0, 0, image, None if size == (image.shape[1], image.shape[0]) else size)
        return
    from fer_model.sources.video import read_video

    yield from read_video(
        uri,
        start_ms=start_ms,
        end_ms=end_ms,
        start_frame=start_frame,
        ordered=ordered,
        sampling=sampling,
        threads=threads,
        roots=roots,
        expected=expected,
        on_packet=on_packet,
    )

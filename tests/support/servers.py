"""Local servers: one for HTTP, with the faults that a test configures, one that sends any bytes, and one for S3."""

import logging
import re
import socketserver
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class FileServer:
    """Files by path, and faults; `requests` are the requests so far: path and Range header.

    If the path with its query is not among `files`, the query is ignored. `sent` counts the bytes of the responses.
    """

    files: dict[str, bytes]
    ranges: bool = True
    cuts: list[int] = field(default_factory=list)
    """Bytes after which a response breaks off, one number per response."""
    failures: list[int] = field(default_factory=list)
    """Status codes of the next responses."""
    redirects: dict[str, str] = field(default_factory=dict)
    """Path -> Location of a redirect."""
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    authorizations: list[str | None] = field(default_factory=list)
    sent: int = 0
    url: str = ""


@contextmanager
def serving(server: FileServer) -> Iterator[FileServer]:
    """Runs the server; it listens at its `url` until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            content = server.files.get(self.path)
            status = server.failures.pop(0) if server.failures else 404 if content is None else 200
            self.send_response(status)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()

        def do_GET(self) -> None:
            server.requests.append((self.path, self.headers["Range"]))
            server.authorizations.append(self.headers["Authorization"])
            if self.path in server.redirects:
                self.send_response(302)
                self.send_header("Location", server.redirects[self.path])
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            content = server.files.get(self.path, server.files.get(self.path.partition("?")[0]))
            if server.failures or content is None:
                self.send_error(server.failures.pop(0) if server.failures else 404)
                return
            wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers["Range"] or "")
            start = int(wanted[1]) if wanted and server.ranges else 0
            end = min(int(wanted[2]) + 1, len(content)) if wanted and wanted[2] and server.ranges else len(content)
            if wanted and server.ranges and start >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206 if wanted and server.ranges else 200)
            if wanted and server.ranges:
                self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(content)}")
            self.send_header("Content-Length", str(end - start))
            self.end_headers()
            body = content[start:end]
            server.sent += self.wfile.write(body[: server.cuts.pop(0)] if server.cuts else body)

        def log_message(self, format: str, *words: object) -> None:
            pass

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    server.url = f"http://127.0.0.1:{listener.server_address[1]}"
    try:
        yield server
    finally:
        listener.shutdown()
        thread.join()
        listener.server_close()


@contextmanager
def s3_server() -> Iterator[str]:
    """The address of an empty S3 server."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        yield "http://{}:{}".format(*server.get_host_and_port())
    finally:
        server.stop()


@contextmanager
def raw_server(answer: Callable[[bytes], Iterable[bytes]]) -> Iterator[str]:
    """The address of a server that sends what `answer` gives for a request's head, piece by piece, and hangs up."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            head = b"".join(iter(self.rfile.readline, b"\r\n"))
            with suppress(OSError):
                for piece in answer(head):
                    self.wfile.write(piece)

    with listening(Handler) as port:
        yield f"http://127.0.0.1:{port}"


@contextmanager
def listening(handler: type[socketserver.StreamRequestHandler]) -> Iterator[int]:
    """The port of a TCP server that runs until the block ends; it does not wait for handlers that are at work."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as listener:
        listener.daemon_threads = True
        listener.block_on_close = False
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield listener.server_address[1]
        finally:
            listener.shutdown()
            thread.join()

"""A server on this machine that sends files, and misbehaves as it is told.

with Server({"a.zip": data}) as server:
    server.faults += [breaks_off(1000), status(503)]   # of the next two requests
    get(f"{server.url}/a.zip")
"""

import email.utils
import hashlib
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Fault = Callable[["Handler", bytes], None]


class Handler(BaseHTTPRequestHandler):
    """Sends whole files and, if asked for the rest of the same version, parts."""

    server: "_Listener"

    def do_GET(self) -> None:
        owner = self.server.owner
        name = self.path.rpartition("/")[2]
        owner.requests.append({"file": name, "range": self.headers.get("Range")})
        data = owner.files.get(name)
        if owner.faults:
            owner.faults.pop(0)(self, data or b"")
        elif data is None:
            self.send_error(404)
        else:
            self.send_file(data)

    def send_file(self, data: bytes, ranges: bool = True, most: int | None = None) -> None:
        tag = f'"{hashlib.sha256(data).hexdigest()[:8]}"'
        begin = 0
        asked = self.headers.get("Range")
        if asked and ranges and self.headers.get("If-Range") in (tag, self.server.owner.date):
            begin = int(asked.removeprefix("bytes=").removesuffix("-"))
        if begin and begin >= len(data):
            self.send_error(416)
            return
        self.send_response(206 if begin else 200)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
        if self.server.owner.tags:
            self.send_header("ETag", tag)
        if self.server.owner.date:
            self.send_header("Last-Modified", self.server.owner.date)
        self.send_header("Content-Length", str(len(data) - begin))
        self.end_headers()
        self.wfile.write(data[begin : len(data) if most is None else begin + most])

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent."""


class _Listener(ThreadingHTTPServer):
    owner: "Server"


class Server:
    """Serves `files` by name until the block ends; `requests` is what was asked."""

    def __init__(self, files: dict[str, bytes], tags: bool = True, dated: bool = False) -> None:
        self.files = files
        self.tags = tags
        self.date = email.utils.formatdate(1e9, usegmt=True) if dated else None
        self.faults: list[Fault] = []
        self.requests: list[dict[str, str | None]] = []
        self._listener = _Listener(("127.0.0.1", 0), Handler)
        self._listener.owner = self
        self._thread = threading.Thread(target=self._listener.serve_forever, args=(0.01,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.server_address[1]}"

    def __enter__(self) -> "Server":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._listener.shutdown()
        self._thread.join()
        self._listener.server_close()


def breaks_off(after: int) -> Fault:
    return lambda handler, data: handler.send_file(data, most=after)


def stalls(after: int) -> Fault:
    """Send a part, and nothing more until the client goes away."""

    def send(handler: Handler, data: bytes) -> None:
        handler.send_file(data, most=after)
        handler.wfile.flush()
        handler.rfile.read(1)

    return send


def ignores_range(handler: Handler, data: bytes) -> None:
    handler.send_file(data, ranges=False)


def status(code: int) -> Fault:
    return lambda handler, data: handler.send_error(code)


def sends_a_part_from(begin: int, tag: str = '"other"') -> Fault:
    """Send a part whatever the condition was, as some mirrors do."""

    def send(handler: Handler, data: bytes) -> None:
        handler.send_response(206)
        handler.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
        handler.send_header("ETag", tag)
        handler.send_header("Content-Length", str(len(data) - begin))
        handler.end_headers()
        handler.wfile.write(data[begin:])

    return send

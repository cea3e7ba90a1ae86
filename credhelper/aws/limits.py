"""How long a call may take and how much may come back: for the whole call, not for each read.

Time-outs are for one read, so that a server that drips holds a call for ever, and nothing knows a largest answer.
http.client reads everything, be it a status line, headers, chunks, a body or a proxy's answer to CONNECT, through one
file that it makes of the socket. Here that file is ours: before each read it looks at the clock, after it at the
count. Nothing is asked for compressed and nothing is decompressed, so what came is what is held.

Two things have no end here: a name server's silence, which is the resolver's to end; and each further address of a name
has the time-out for connecting to itself.
"""

import contextlib
import functools
import http.client
import io
import time
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

from credhelper.domain.errors import Unavailable


class Allowance:
    """What one call may still use: until ``seconds`` from now, and ``size`` bytes."""

    def __init__(self, seconds: float, size: int) -> None:
        self._end = time.monotonic() + seconds
        self._size = size
        self._left = size

    def within(self, timeout: float | None) -> float:
        """``timeout`` (seconds, None: no end), or what is left where that is less. Raises TimeoutError at the end."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("the call has used its time up")
        return left if timeout is None else min(timeout, left)

    def take(self, size: int) -> None:
        """Counts what came. Raises Unavailable, which is none of the errors that urllib3 makes its own of."""
        self._left -= size
        if self._left < 0:
            raise Unavailable(f"sent more than {self._size // 1024} KiB, not an answer of AWS's")


_allowance: ContextVar[Allowance] = ContextVar("the allowance of the call that this thread makes")


@contextlib.contextmanager
def limited(seconds: float, size: int) -> Iterator[None]:
    """Holds this thread's use of limited connections to ``seconds`` altogether, and to ``size`` bytes received."""
    before = _allowance.set(Allowance(seconds, size))
    try:
        yield
    finally:
        _allowance.reset(before)


@functools.cache
def limited_pool(kind: type[Any]) -> type[Any]:
    """A class of urllib3 connection pools, with connections that keep to the limits of whoever uses them."""

    class Connection(kind.ConnectionCls):  # type: ignore[misc, name-defined]  # botocore has no types
        response_class = _Response
        timeout: float | None

        def connect(self) -> None:
            self.timeout = _allowance.get().within(self.timeout)
            super().connect()

    return type(kind.__name__, (kind,), {"ConnectionCls": Connection})


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: Any, *args: Any, **kwargs: Any) -> None:
        readable: Any = _Readable(sock)
        super().__init__(readable, *args, **kwargs)


class _Readable:
    """All that a response asks of its socket."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Metered(self._sock, _allowance.get()))


class _Metered(io.RawIOBase):
    def __init__(self, sock: Any, allowance: Allowance) -> None:
        super().__init__()
        self._sock = sock
        self._file = sock.makefile("rb", buffering=0)  # keeps the socket open when the connection lets go of it
        self._allowance = allowance

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._allowance.within(self._sock.gettimeout()))
        size: int | None = self._file.readinto(buffer)
        self._allowance.take(size or 0)
        return size

    def close(self) -> None:
        self._file.close()
        super().close()

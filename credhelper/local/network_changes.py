"""Tells when this machine's addresses or routes change: whoever waits for the network need not wait out its pause."""

import asyncio
import errno
import logging
import socket
import sys
from collections.abc import Callable

log = logging.getLogger(__name__)

BURST = 0.5  # seconds; a network that comes up changes several addresses and routes

_ADDRESSES_AND_ROUTES = 0x10 | 0x40 | 0x100 | 0x400  # RTMGRP_IPV{4,6}_{IFADDR,ROUTE} of linux/rtnetlink.h
_LARGEST = 65_536  # bytes of one message; what it says is not read


class NetworkChanges:
    """What the kernel says of addresses and routes (Linux); where it says nothing, there are no changes."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._socket: socket.socket | None = None
        self._tell: Callable[[], None] = lambda: None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_told(self) -> bool:
        """Whether the kernel tells us."""
        return self._socket is not None

    def start(self, loop: asyncio.AbstractEventLoop, tell: Callable[[], None]) -> None:
        """From now on ``tell`` is called in ``loop``, once for each burst of changes, half a second after its first.

        Where the kernel cannot be asked (not Linux, a sandbox that forbids it), this does nothing.
        """
        if sys.platform != "linux":
            return
        try:
            self._socket = _listening_socket()
        except OSError as error:
            log.debug("changes of the network will not be noticed: %s", error)
            return
        self._loop, self._tell = loop, tell
        loop.add_reader(self._socket, self._on_change)

    def stop(self) -> None:
        """``tell`` is not called any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._socket is not None and self._loop is not None:
            self._loop.remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    def _on_change(self) -> None:
        if self._timer is None and self._loop is not None:
            self._timer = self._loop.call_later(BURST, self._on_end_of_burst)
        self._drain()

    def _on_end_of_burst(self) -> None:
        self._timer = None
        self._tell()

    def _drain(self) -> None:
        while self._socket is not None:
            try:
                self._socket.recv(_LARGEST)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:  # which is: more changes than there was room for
                    log.debug("changes of the network will not be noticed any more: %s", error)
                    self.stop()


def _listening_socket() -> socket.socket:
    """Raises OSError."""
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
    try:
        opened.bind((0, _ADDRESSES_AND_ROUTES))
    except OSError:
        opened.close()
        raise
    return opened

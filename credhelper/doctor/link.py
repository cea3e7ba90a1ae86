"""One question to the daemon that runs, if one does. It is never started, and nobody waits long for one that hangs."""

import contextlib
import errno
import json
import os
from _socket import AF_UNIX, SOCK_STREAM
from _socket import socket as Socket  # noqa: N812  # as client.py: its limits are the kernel's
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from credhelper import client
from credhelper.domain.text import safe

HELLO_SECONDS = 2  # whole seconds, as the kernel counts them here
ANSWER_SECONDS = 4  # of which a daemon takes three at most to try its endpoints

Json = dict[str, Any]


class Presence(Enum):
    """What is at the socket."""

    RUNNING = "running"
    ABSENT = "absent"
    SILENT = "silent"
    STRANGER = "stranger"
    """Another user answers there."""


@dataclass(frozen=True, slots=True)
class Daemon:
    """What the daemon says of itself. ``error`` is its refusal to tell ``status``, or why it cannot be reached."""

    presence: Presence
    error: str = ""
    hello: Json = field(default_factory=dict)
    """pid, version, protocol."""
    status: Json = field(default_factory=dict)
    """The part ``daemon`` of its status document; empty when it gave none."""

    @property
    def is_running(self) -> bool:
        """Whether one of ours answers."""
        return self.presence is Presence.RUNNING


class Refused(Exception):
    """The daemon answered with an error; the message is its own."""


def meet(socket: Path, environment: Mapping[bytes, bytes]) -> Daemon:
    """Finds out who is at ``socket``, and asks how it does. Never raises for what a daemon may do."""
    try:
        hello = ask(socket, environment, "hello", HELLO_SECONDS)
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
        return Daemon(Presence.ABSENT)
    except PermissionError as error:
        return Daemon(Presence.STRANGER, error.strerror or "permission denied")
    except BlockingIOError:
        return Daemon(Presence.SILENT, f"no answer within {HELLO_SECONDS} s")
    except (OSError, EOFError, ValueError, KeyError, Refused) as error:
        return Daemon(Presence.SILENT, f"its answer makes no sense ({type(error).__name__})")
    try:
        status = ask(socket, environment, "status", HELLO_SECONDS)["status"]["daemon"]
    except (OSError, EOFError, ValueError, LookupError, TypeError) as error:
        return Daemon(Presence.RUNNING, f"it did not tell its status ({type(error).__name__})", hello)
    except Refused as error:
        return Daemon(Presence.RUNNING, str(error), hello)
    return Daemon(Presence.RUNNING, "", hello, status)


def ask(socket: Path, environment: Mapping[bytes, bytes], op: str, seconds: int) -> Json:
    """The document that answers ``op``.

    Raises OSError (BlockingIOError: not in time), EOFError, ValueError, KeyError (no answer of ours), Refused.
    """
    request = {b"v": client.PROTOCOL, b"op": op.encode()} | client.caller(dict(environment))
    with contextlib.closing(Socket(AF_UNIX, SOCK_STREAM)) as connection:
        client.limit(connection, seconds)
        connection.connect(os.fsencode(socket))
        if client.peer_uid(connection) != os.getuid():
            raise PermissionError(errno.EPERM, "another user answers at the daemon's socket")
        connection.sendall(client.frame(request))
        answer = client.receive(connection)
    if int(answer[b"status"]):
        raise Refused(safe(answer.get(b"message", b"").decode("utf-8", "replace")) or "it did not say what is wrong")
    document: Json = json.loads(answer[b"out"])
    if not isinstance(document, dict):
        raise ValueError("no JSON object")  # noqa: TRY004  # an answer is wrong, and no argument
    return document

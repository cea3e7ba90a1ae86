"""A process in a network namespace of its own that notices what changes there; prints how often it was told.

Its argument names a scene: ``up``, ``bursts``, ``flood``, ``stopped`` or ``forbidden``.
"""

import asyncio
import logging
import resource
import socket
import subprocess
import sys

from credhelper.local import network_changes
from credhelper.local.network_changes import NetworkChanges

LIMIT = 60  # seconds until something expected must have been told


class Scene:
    """A loop with a counter of what it was told."""

    def __init__(self) -> None:
        network_changes.BURST = 0.05
        self.loop = asyncio.new_event_loop()
        self.changes = NetworkChanges()
        self.told = 0
        self._news = asyncio.Event()

    def start(self) -> None:
        """From now on changes are noticed."""
        self.changes.start(self.loop, self._tell)

    def _tell(self) -> None:
        self.told += 1
        self._news.set()

    def wait(self) -> None:
        """Runs the loop until there is news."""
        self.loop.run_until_complete(asyncio.wait_for(self._news.wait(), LIMIT))
        self._news.clear()

    def run_what_is_ready(self) -> None:
        """Runs the loop for what has happened by now."""
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.run_until_complete(asyncio.sleep(0))


def ip(*commands: str) -> None:
    """Changes the namespace, all done when this returns."""
    subprocess.run(["ip", "-batch", "-"], input="\n".join(commands), text=True, check=True)


def addresses(verb: str, number: int) -> list[str]:
    """Commands that add or delete so many addresses."""
    return [f"addr {verb} 10.0.{each // 250}.{each % 250 + 1}/32 dev lo" for each in range(number)]


def main(name: str) -> None:
    """Plays one scene."""
    logging.basicConfig(level=logging.DEBUG, format="%(name)s %(message)s")
    scene = Scene()
    if name == "forbidden":  # as many descriptors as are open: no more sockets
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
        scene.start()
        scene.changes.stop()
    if name == "up":
        scene.start()
        ip("link set lo up")
        scene.wait()
    if name == "bursts":
        scene.start()
        for verb in ("add", "del"):
            ip(*addresses(verb, 30))
            scene.wait()
    if name == "flood":
        scene.start()
        listening = scene.changes._socket
        assert listening is not None
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)  # the kernel makes it 2 KB
        ip(*addresses("add", 500))
        scene.wait()
    if name == "stopped":
        scene.start()
        ip("link set lo up")
        scene.run_what_is_ready()  # told soon, were it not stopped
        scene.changes.stop()
        scene.changes.stop()
        ip(*addresses("add", 3))
        scene.start()
        ip(*addresses("del", 3))
        scene.wait()
    sys.stdout.write(f"{scene.told}\n")


if __name__ == "__main__":
    main(sys.argv[1])

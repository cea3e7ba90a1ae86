"""Makes the README's pictures. With ``--check`` it only sees that they can be made, and leaves those that are there."""

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from credhelper.sandbox import devices
from credhelper.sandbox.lifetimes import Lifetimes
from credhelper.sandbox.server import Sandbox
from tests.keyring_desk import KeyringDesk
from tests.machine import Machine
from tests.pictures import scenes, steady, svg
from tests.pictures.recording import Recording

PORT = 8642
"""It is in the address that a QR code holds, and a picture is to be the same every time."""
USER_CODE = "BCDF-GHJK"
LARGEST = 60_000  # bytes
LATEST_SECOND = 40  # at which one begins; a busy machine takes 15 for the longest


def main() -> int:
    """Writes each picture."""
    parser = argparse.ArgumentParser(prog="python -m tests.pictures", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write them nowhere")
    parser.add_argument("scene", nargs="*", help="only these")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch) if args.check else Path(__file__).parent
        for scene in scenes.SCENES:
            if not args.scene or scene.name in args.scene:
                picture = made(scene)
                assert len(picture) <= LARGEST, f"{scene.name}: {len(picture)} bytes"
                (place / f"{scene.name}.svg").write_bytes(picture)
                print(f"{scene.name}: {len(picture)} bytes")
    return 0


def made(scene: scenes.Scene) -> bytes:
    """One picture, within one minute of the clock that may be on it."""
    began = datetime.now(UTC)
    if began.second > LATEST_SECOND:
        time.sleep(60 - began.second)
        began = datetime.now(UTC)
    with stage() as machine:
        with Recording(machine.environment, machine.home, columns=scene.columns, rows=scene.rows) as recording:
            scene.play(recording, machine)
        return svg.document(steady.frames(recording.frames, began), scene.title).encode()


@contextlib.contextmanager
def stage() -> Iterator[Machine]:
    """A machine whose person may do many things, and whose sandbox gives the same code every time."""
    ours = devices._new_user_code
    devices._new_user_code = lambda: USER_CODE
    try:
        with (
            Sandbox(port=PORT, directory=scenes.directory(), region="eu-west-1", lifetimes=Lifetimes(interval=0)) as it,
            Machine(it, scenes.CONFIG.format(start_url=it.start_url)) as machine,
            KeyringDesk(machine.root / "desk") as desk,
        ):
            machine.environment["DBUS_SESSION_BUS_ADDRESS"] = desk.environment["DBUS_SESSION_BUS_ADDRESS"]
            machine.put_command("credhelper", f'exec {sys.executable} -Im credhelper "$@"')
            try:
                yield machine
            finally:
                machine.run("daemon", "stop")
    finally:
        devices._new_user_code = ours


if __name__ == "__main__":
    raise SystemExit(main())

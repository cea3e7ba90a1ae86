"""The person's terminal itself: standard input and output may be pipes that hold something else."""

import contextlib
import io
import os
from collections.abc import Iterator

PATH = "/dev/tty"


@contextlib.contextmanager
def opened() -> Iterator[io.TextIOWrapper]:
    """The terminal of this process, to write to and to read from. Raises OSError when there is none."""
    descriptor = os.open(PATH, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    # Unbuffered below: a terminal cannot seek, which a buffered file for both ways has to.
    with io.TextIOWrapper(io.FileIO(descriptor, "r+"), errors="replace", write_through=True) as terminal:
        yield terminal

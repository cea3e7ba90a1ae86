"""A bar on stderr for work that takes a while; nothing where that is no terminal to draw on."""

import sys
from typing import TYPE_CHECKING, Self

from credhelper.cli import terminal

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class ProgressBar:
    """Use as a context manager: at its end, however that comes, the bar is gone and the cursor there again."""

    def __init__(self, title: str, *, least: int = 0) -> None:
        """``least``: how much work is worth a bar; less is there in a moment."""
        self._title = title
        self._least = least
        self._is_wanted = terminal.can_draw(sys.stderr)
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    def show(self, done: int, total: int) -> None:
        """How far the work is; of 0 where nobody knows yet how much it is."""
        if not self._is_wanted or total < self._least:
            return
        if self._progress is None or self._task is None:
            self._progress = _progress()
            self._task = self._progress.add_task(self._title, total=None)
            self._progress.start()
        self._progress.update(self._task, completed=done, total=total or None)


def _progress() -> "Progress":
    """Its cursor stays where it is seen: a signal that ends us would leave the terminal without one."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    class WithCursor(Console):
        def show_cursor(self, show: bool = True) -> bool:  # noqa: ARG002  # as rich has it
            return False

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=WithCursor(stderr=True),
        transient=True,
    )

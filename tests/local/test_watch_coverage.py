"""How the watched files are told apart: by events, by looking every second, or by nobody just now."""

import threading
from pathlib import Path

from credhelper.local.watch import Coverage, Report, Watch

LIMIT = 60.0


class Listener:
    """Waits for a report in which everything is reliable."""

    def __init__(self, paths: set[Path]) -> None:
        self._paths = paths
        self.is_settled = threading.Event()

    def __call__(self, report: Report) -> None:
        if report.reliable >= self._paths:
            self.is_settled.set()


def test_files_count_by_how_their_changes_are_noticed(tmp_path: Path) -> None:
    local, remote = tmp_path / "local", tmp_path / "remote"
    listener = Listener({local, remote / "token"})
    watch = Watch(listener, has_events=lambda path: remote not in (path, *path.parents))
    assert watch.coverage() == Coverage(0, 0, 0)
    watch.add(local)
    watch.add(remote / "token")
    assert watch.coverage() == Coverage(0, 0, 2), "nobody has looked yet"
    watch.start()
    try:
        assert listener.is_settled.wait(LIMIT)
        assert watch.coverage() == Coverage(1, 1, 0)
        watch.discard(local)
        assert watch.coverage() == Coverage(0, 1, 0)
    finally:
        watch.stop()

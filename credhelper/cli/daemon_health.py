"""``credhelper daemon metrics`` and ``credhelper daemon health``: how the daemon is, for programs that watch it."""

import argparse
import json
import sys

from credhelper.cli import daemon_link, speech
from credhelper.domain.errors import CredhelperError, DaemonUnreachable

ANSWER_SECONDS = 15  # the first time the daemon loads a library for it
HEALTH_SECONDS = 5  # who takes longer is not well


def metrics(_: argparse.Namespace) -> int:
    """Prints every metric in Prometheus's text format. Raises DaemonUnreachable; starts nothing."""
    sys.stdout.write(daemon_link.ask("metrics", {}, start=False, seconds=ANSWER_SECONDS))
    return 0


def health(_: argparse.Namespace) -> int:
    """Prints how the daemon is; status 7 unless it is well. Starts nothing."""
    try:
        found = json.loads(daemon_link.ask("health", {}, start=False, seconds=HEALTH_SECONDS))
    except CredhelperError as error:
        from credhelper.agent.health import without_daemon

        found = without_daemon(error.message)
    speech.result(json.dumps(found))
    return 0 if found["healthy"] else DaemonUnreachable.status

"""``credhelper doctor``: the whole chain looked at, each finding with its remedy."""

import argparse
import json
import os
import sys
from collections import Counter
from typing import TYPE_CHECKING

from credhelper.cli import browser, options, speech
from credhelper.domain.errors import DoneInPart
from credhelper.local import places

if TYPE_CHECKING:  # `credhelper --help` knows the command without them
    from credhelper.doctor.checkup import Group
    from credhelper.doctor.findings import Finding

_SIGNS = {"ok": "✓", "warning": "!", "problem": "✗"}
_COLOURS = {"ok": "green", "warning": "yellow", "problem": "red"}


def add(commands: options.Commands, summary: str) -> None:
    """Adds the command."""
    parser = commands.add_parser(
        "doctor",
        help=summary,
        description="Looks at the daemon, the AWS configuration, files, environment, network and machine, and says of"
        " everything that is wrong how to mend it. Changes nothing, starts no daemon and takes five seconds at most."
        " AWS's endpoints are tried by the daemon where one runs, for it is its environment that counts."
        " Exit status 8 when there is a problem.",
    )
    options.add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Looks, and prints what was found; the exit status says whether there is a problem."""
    from credhelper.doctor import checkup
    from credhelper.doctor.scene import Scene

    environment = {os.fsdecode(name): os.fsdecode(value) for name, value in places.environment().items()}
    scene = Scene(environment, cwd=_directory(), find_browser=browser.command, headless_reason=browser.headless_reason)
    groups = checkup.examine(scene)
    findings = [finding for group in groups for finding in group.findings]
    if args.json:
        speech.result(json.dumps({"checks": [finding.document() for finding in findings]}))
    else:
        _show(groups, findings)
    return DoneInPart.status if any(finding.state == "problem" for finding in findings) else 0


def _directory() -> str:
    try:
        return os.getcwd()
    except OSError:
        return "/"


def _show(groups: "list[Group]", findings: "list[Finding]") -> None:
    for group in groups:
        speech.result(group.title)
        for finding in group.findings:
            speech.result(f"  {_sign(finding.state)} {finding.detail}")
            if finding.remedy:
                speech.result(f"      {finding.remedy}")
    speech.result("")
    speech.result(_summary(Counter(finding.state.value for finding in findings)))


def _sign(state: str) -> str:
    """How bad it is, in a character where the terminal can show it, else in a word."""
    sign = _SIGNS[state]
    try:
        sign.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        sign = f"{state}:"
    return speech.paint(sign, _COLOURS[state])


def _summary(counts: Counter[str]) -> str:
    told = [
        f"{count} {word}{'' if count == 1 else 's'}"
        for word in ("problem", "warning")
        if (count := counts.get(word, 0))
    ]
    return ", ".join(told) if told else "Nothing is wrong."

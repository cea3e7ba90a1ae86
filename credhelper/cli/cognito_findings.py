"""What a look at a policy found, for people and as ``cognito lint --json``."""

import json
from collections import Counter
from collections.abc import Sequence

from credhelper.cli import speech
from credhelper.domain.errors import DoneInPart
from credhelper.domain.text import safe
from credhelper.identity_pools.findings import Finding, Level

_COLOURS: dict[Level, str] = {"error": "red", "warning": "yellow"}


def tell(findings: Sequence[Finding], *, as_json: bool) -> int:
    """Prints them; the exit status, which says whether one is an error."""
    if as_json:
        speech.result(json.dumps({"findings": [finding.document() for finding in findings]}))
    else:
        _show(findings)
    return DoneInPart.status if any(finding.level == "error" for finding in findings) else 0


def _show(findings: Sequence[Finding]) -> None:
    for finding in findings:
        level = speech.paint(finding.level, _COLOURS[finding.level])
        speech.result(f"{level} {finding.rule}  {safe(finding.place)}")
        speech.result(f"    {safe(finding.reason)}")
        speech.result(f"    instead: {safe(finding.fix)}")
    counts = Counter(finding.level for finding in findings)
    told = [f"{counts[level]} {level}{'' if counts[level] == 1 else 's'}" for level in _COLOURS if counts[level]]
    speech.result(", ".join(told) or "Nothing is wrong with it.")

"""``credhelper cognito whoami``: who a profile is to its identity pool, and by which claims. Never a token."""

import argparse
import json
from typing import Any

from credhelper.cli import asking, options, speech
from credhelper.domain.text import safe

WAIT = 20  # seconds; the credentials may take a refresh, an identity id and a call to STS

Json = dict[str, Any]

_ROWS = (
    ("Profile", "profile"),
    ("Pool", "identity_pool_id"),
    ("Identity", "identity_id"),
    ("Kind", "kind"),
    ("Login", "cognito_login"),
    ("Provider", "provider"),
    ("Flow", "flow"),
    ("Asked for", "custom_role_arn"),
    ("Account", "account_id"),
    ("Role", "role_name"),
)


def add(parts: options.Commands) -> None:
    """Adds ``whoami``."""
    parser = parts.add_parser(
        "whoami",
        help="show a profile's pool, identity, role, and the claims that choose it",
        description="Shows who a Cognito profile is: the pool, the identity's id, guest or signed in and with what, the"
        " role and when its credentials expire, and the claims of the ID token by which a pool's rules can choose a"
        " role. Tokens and keys are never shown.",
    )
    options.add_profile(parser)
    options.add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Prints the identity."""
    answer = asking.ask("identity", options.profile_fields(args), seconds=WAIT)
    if args.json:
        speech.result(answer)
    else:
        _show(json.loads(answer))
    return 0


def _show(found: Json) -> None:
    for title, key in _ROWS:
        if found[key] is not None:
            speech.result(f"{title:<9} {safe(found[key])}")
    speech.result(f"{'Expires':<9} {speech.moment(found['expires_at'])}")
    for name, value in found["claims"].items():
        shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        speech.result(f"{'Claim':<9} {safe(name)}: {safe(shown)}")

"""``--admin-profile``: the credentials with which identity pools and roles are read and changed, and where.

They are those of a profile that credhelper serves, got from its own daemon like anybody's: botocore is asked for none,
as it would look into the environment and the files for whatever it finds first. The calls are made by this process and
go where the daemon's go: endpoints, proxies and CA bundle are the daemon's environment's, whatever this shell has, so
that no variable of a caller's redirects a session token.
"""

import argparse
import json
import os
from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING

from credhelper import client
from credhelper.domain.errors import UsageError
from credhelper.domain.text import safe

if TYPE_CHECKING:
    from credhelper.aws.cognito_admin import Admin

ENDPOINTS = "AWS_ENDPOINT_URL"
WAY = frozenset(
    {
        *("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"),
        *("NO_PROXY", "no_proxy"),
    }
)
"""What decides, beside the endpoints, how AWS is reached."""
OUR_OWN = frozenset({"AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"})
"""What says where the caller's files are. The transport reads neither."""


def add(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """``--admin-profile``."""
    parser.add_argument(
        "--admin-profile",
        metavar="NAME",
        required=required,
        help="the profile of ~/.aws/config whose role may do this, such as one of IAM Identity Center",
    )


def connect(args: argparse.Namespace) -> "Admin":
    """The chosen profile's role, ready to make calls. Raises as ``credhelper get``."""
    from credhelper.aws.cognito_admin import Admin
    from credhelper.aws.server_time import ServerTime
    from credhelper.aws.transport import Transport
    from credhelper.cli import asking, daemon_link
    from credhelper.local.clock import SystemClock

    profile: str = args.admin_profile
    if not profile:
        raise UsageError("--admin-profile needs a name")
    found = json.loads(asking.ask("get", {"profile": profile}, seconds=client.DEADLINE))
    go_the_way_of(json.loads(daemon_link.ask("way", {})), os.environ)
    clock = SystemClock()
    keys = {
        "aws_access_key_id": found["AccessKeyId"],
        "aws_secret_access_key": found["SecretAccessKey"],
        "aws_session_token": found["SessionToken"],
    }
    return Admin(Transport(clock, ServerTime(clock)), keys, profile=profile, account_id=found.get("AccountId") or "")


def go_the_way_of(daemon: Mapping[str, str], environment: MutableMapping[str, str]) -> None:
    """Makes ``environment``, our own, lead to AWS as the daemon's does.

    What else botocore would heed of it goes: keys of the shell's, a profile, an opt-in to other endpoints.
    """
    for name in list(environment):
        if (name.startswith("AWS_") and name not in OUR_OWN) or name in WAY:
            del environment[name]
    environment.update({name: value for name, value in daemon.items() if name.startswith(ENDPOINTS) or name in WAY})


def account(admin: "Admin") -> str:
    """The account whose pools and roles these are. Raises UsageError where the daemon cannot say."""
    if not admin.account_id:
        raise UsageError(f"the account of profile “{safe(admin.profile)}” is not known")
    return admin.account_id

"""``credhelper lease``: doors of one role for containers, other machines and agents, which end by themselves."""

import argparse
import json
import os
from typing import Any

from credhelper.cli import asking, daemon_link, options, spans, speech
from credhelper.domain.errors import CredhelperError, UsageError
from credhelper.domain.text import safe

Json = dict[str, Any]

CREATE_SECONDS = 20  # the role's credentials have 9, and files a few
SHAPE = ("id", "profile", "expires_at", "socket", "uri", "token_file")
"""The keys of the contract's document, of which each lease has some."""


def add(commands: options.Commands, summary: str) -> None:
    """Adds the commands."""
    parser = commands.add_parser(
        "lease",
        help=summary,
        description="A lease is a door to one role, for who must not have the others: a container, a machine at the"
        " other end of ssh -R, an agent that writes code.",
    )
    parts = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_create(parts)
    list_parser = parts.add_parser(
        "list", help="show the leases that are open", description="Shows the leases that are open, oldest first."
    )
    options.add_json(list_parser)
    list_parser.set_defaults(run=run_list)
    revoke_parser = parts.add_parser(
        "revoke",
        help="end a lease",
        description="Ends a lease: its socket or token file is removed. Credentials handed out through it before stay"
        " valid at AWS until they expire. Exit status 2 when there is no such lease, or no longer.",
    )
    revoke_parser.add_argument("id", metavar="ID", help="as `credhelper lease list` shows it")
    options.add_json(revoke_parser)
    revoke_parser.set_defaults(run=run_revoke)


def _add_create(parts: options.Commands) -> None:
    parser = parts.add_parser(
        "create",
        help="open a lease of one role",
        description="Opens a door to one role, and to nothing else: a socket at which credhelper's client works with"
        " CREDHELPER_SOCKET, or a token file for every AWS SDK. It ends at its time, at `credhelper lease revoke` and"
        " at a logout; a restart of the daemon it outlives. Without --socket and --token-file, it is a socket beside"
        " the daemon's own.",
    )
    options.add_role(parser)
    parser.add_argument(
        "--ttl", metavar="TIME", help="when it ends by itself, such as 30m, 8h or 2d (else at a revoke or a logout)"
    )
    parser.add_argument("--socket", metavar="PATH", help="where to make the socket, in a directory of your own")
    parser.add_argument(
        "--token-file", metavar="PATH", help="instead, a token for the container credentials endpoint in this file"
    )
    parser.add_argument(
        "--uid",
        metavar="N",
        action="append",
        default=[],
        help="another user that may use the socket, by its number on this machine (0 for the root of most containers);"
        " may be given several times",
    )
    options.add_json(parser)
    parser.set_defaults(run=run_create)


def run_create(args: argparse.Namespace) -> int:
    """Opens a lease and tells where."""
    fields = options.role_fields(args)
    if args.ttl is not None:
        fields["ttl"] = str(spans.seconds(args.ttl, "--ttl"))
    if args.uid:
        if "" in args.uid:
            raise UsageError("--uid needs a value")
        fields["uid"] = ",".join(args.uid)
    for name, path in (("socket", args.socket), ("token_file", args.token_file)):
        if path is not None:
            fields[name] = _absolute(path)
    made: Json = json.loads(asking.ask("lease_create", fields, seconds=CREATE_SECONDS))
    _refuse_unseen(made)
    if args.json:
        speech.result(json.dumps(_in_shape(made)))
    else:
        _show_new(made, uids=args.uid)
    return 0


def run_list(args: argparse.Namespace) -> int:
    """Prints the open leases."""
    found: Json = json.loads(daemon_link.ask("lease_list", {}))
    leases = [_in_shape(lease) for lease in found["leases"]]
    if args.json:
        speech.result(json.dumps({"leases": leases}))
    elif not leases:
        speech.result("There are no leases (credhelper lease create --profile NAME --ttl 30m makes one).")
    else:
        _show(leases, found["labels"])
    return 0


def _show(leases: list[Json], labels: dict[str, str]) -> None:
    rows = ((lease["id"], labels[lease["id"]], speech.end_of_lease(lease), _place(lease)) for lease in leases)
    speech.aligned([("LEASE", "FOR", "ENDS", "SOCKET OR TOKEN FILE"), *rows])


def run_revoke(args: argparse.Namespace) -> int:
    """Ends a lease."""
    answer = daemon_link.ask("lease_revoke", {"id": args.id})
    speech.result(answer if args.json else f"Lease {safe(args.id)} has ended.")
    return 0


def _absolute(path: str) -> str:
    if not path:
        raise UsageError("a path is missing")
    if not path.isprintable():
        raise UsageError(f"“{safe(path)}” holds a character that cannot be shown, and the path must be")
    return os.path.abspath(path)


def _refuse_unseen(made: Json) -> None:
    """Ends a lease whose door is where nobody else sees it. Raises CredhelperError.

    The service has a /tmp of its own (PrivateTmp=).
    """
    path = _place(made)
    if os.path.lexists(path):
        return
    daemon_link.ask("lease_revoke", {"id": made["id"]})
    raise CredhelperError(
        f"the daemon made {path}, but not where you could see it: as a service it has a /tmp of its own",
        hint="choose a path below $XDG_RUNTIME_DIR, or leave it out",
    )


def _in_shape(lease: Json) -> Json:
    return {name: lease[name] for name in SHAPE if name in lease}


def _place(lease: Json) -> str:
    place: str = lease["socket"] if "socket" in lease else lease["token_file"]
    return place


def _show_new(lease: Json, uids: list[str]) -> None:
    until = f"until {speech.moment(lease['expires_at'])}" if lease["expires_at"] else "until it is revoked"
    speech.result(f"Lease {lease['id']} for {safe(lease['label'])}, {until}, or until you log out.")
    if "uri" in lease:
        speech.result("For every AWS SDK and the AWS CLI, with these in their environment:")
        speech.result(f"  AWS_CONTAINER_CREDENTIALS_FULL_URI={lease['uri']}")
        speech.result(f"  AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE={safe(lease['token_file'])}")
    else:
        speech.result("For credhelper's client, where it is mounted or forwarded under any name:")
        speech.result(f"  CREDHELPER_SOCKET={safe(lease['socket'])}")
        if uids:
            speech.result(f"  CREDHELPER_SERVER_UID={os.getuid()}")
    speech.result(f"To end it: credhelper lease revoke {lease['id']}")

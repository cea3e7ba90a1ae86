"""``credhelper cognito policy``: a least-privilege access policy for the role of an identity pool."""

import argparse
import json

from credhelper.cli import options, speech
from credhelper.domain.errors import UsageError

_METAVARS = {"account_id": "ID", "api_id": "ID", "path": "API-PATH"}  # PATH would be one of the shell's


def add(commands: options.Commands) -> None:
    """Adds the command."""
    from credhelper.identity_pools import templates

    parser = commands.add_parser(
        "policy",
        help="print a least-privilege access policy for a role",
        description="Prints the access policy that a role needs for one purpose, made for your own names and nothing"
        " more. In a key, a folder or a stage, wildcards and variables are written so that they are none.",
    )
    parser.add_argument("template", metavar="TEMPLATE", nargs="?", help="what the role is for (--list shows them)")
    parser.add_argument("--list", action="store_true", help="list the templates, and what each needs")
    for name, parameter in templates.PARAMETERS.items():
        option = f"--{name.replace('_', '-')}"
        metavar = _METAVARS.get(name, name.upper())
        parser.add_argument(option, metavar=metavar, help=f"{parameter.meaning}, such as {parameter.example}")
    parser.add_argument(
        "--partition",
        metavar="PARTITION",
        choices=templates.PARTITIONS,
        help=f"{', '.join(templates.PARTITIONS)} (else that of the region)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Prints the document, or the list."""
    from credhelper.identity_pools import templates

    if args.list == (args.template is not None):
        raise UsageError("name a template, or list them", hint="credhelper cognito policy --list")
    if args.list:
        _list()
        return 0
    names = [*templates.PARAMETERS, "partition"]
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    speech.result(json.dumps(templates.document(args.template, given), indent=2))
    remark = templates.TEMPLATES[args.template].remark
    if remark is not None:
        speech.note(remark)
    return 0


def _list() -> None:
    from credhelper.identity_pools import templates

    rows: list[tuple[str, ...]] = [("TEMPLATE", "WHAT THE ROLE MAY DO", "OPTIONS")]
    for name, template in templates.TEMPLATES.items():
        words = []
        for key in template.parameters:
            option = f"--{key.replace('_', '-')}"
            words.append(option if templates.PARAMETERS[key].default is None else f"[{option}]")
        rows.append((name, template.summary, " ".join(words)))
    speech.aligned(rows)

"""``credhelper cognito pool update``: read, changed, shown, agreed to, read again, written."""

import argparse
import json
from typing import TYPE_CHECKING

from credhelper.cli import policy_files, speech
from credhelper.cli.pools import admin, agreement, commands, reading
from credhelper.domain.errors import ConfigError, CredhelperError, DoneInPart, Unavailable, UsageError
from credhelper.domain.text import safe
from credhelper.identity_pools import pool_changes
from credhelper.identity_pools.pool_changes import PoolState, Wishes

if TYPE_CHECKING:
    from credhelper.aws.cognito_admin import Admin

Json = reading.Json


def run(args: argparse.Namespace) -> int:
    """Changes the pool once the person agrees."""
    pool_id, wishes = commands.pool_id_of(args), wishes_of(args)
    if wishes == Wishes():
        raise UsageError("nothing is to be changed", hint="credhelper cognito pool update --help")
    return update(admin.connect(args), pool_id, wishes, args)


def wishes_of(args: argparse.Namespace) -> Wishes:
    """What the command line asks for. Raises UsageError and ConfigError."""
    tags = {provider: _tags(path) for provider, path in commands.pairs(args.principal_tags, "--principal-tags").items()}
    defaults = {provider: {"UseDefaults": True, "PrincipalTags": {}} for provider in args.default_principal_tags}
    if twice := {*tags} & {*defaults}:
        raise UsageError(f"principal tags for “{safe(twice.pop())}” are asked for in two ways")
    mappings = commands.pairs(args.role_mapping, "--role-mapping")
    return Wishes(
        name=args.name,
        allows_guests=_flag(args.guests),
        classic_flow=_flag(args.classic_flow),
        server_side_token_check=_flag(args.server_side_token_check),
        developer_provider=args.developer_provider,
        add_providers=tuple(args.add_provider),
        remove_providers=tuple(args.remove_provider),
        authenticated_role=args.authenticated_role,
        guest_role=args.guest_role,
        set_mappings={provider: _mapping(provider, path) for provider, path in mappings.items()},
        remove_mappings=tuple(args.remove_role_mapping),
        set_tags=tags | defaults,
        remove_tags=tuple(args.remove_principal_tags),
        pool_tags=commands.pairs(args.tag, "--tag"),
        remove_pool_tags=tuple(args.remove_tag),
    )


def _flag(word: str | None) -> bool | None:
    return None if word is None else word == "on"


def _mapping(provider: str, path: str) -> Json:
    mapping, name = policy_files.answer(path)
    try:
        pool_changes.check_mapping(provider, dict(mapping))
    except ConfigError as error:
        raise ConfigError(f"{safe(name)}: {error.message}") from None
    return dict(mapping)


def _tags(path: str) -> Json:
    tags, name = policy_files.answer(path)
    try:
        pool_changes.check_tags(tags)
    except ConfigError as error:
        raise ConfigError(f"{safe(name)}: {error.message}") from None
    return {"UseDefaults": False, "PrincipalTags": dict(tags)}


def update(asked: "Admin", pool_id: str, wishes: Wishes, args: argparse.Namespace) -> int:
    """The same with an administrator's calls."""
    before = reading.state(asked, pool_id)
    after = pool_changes.changed(before, wishes)
    shown = pool_changes.difference(before, after)
    if not args.json:
        agreement.show(shown)
    if not shown:
        speech.note(f"{pool_id} is as you want it already.")
    else:
        agreement.warn(pool_changes.warnings(before, after))
    is_written = bool(shown) and not args.diff
    if is_written:
        agreement.agree(args, f"Change {before.name}?")
        _write(asked, before, wishes)
        speech.note(f"Changed {safe(after.name)}, {pool_id}.")
    if args.json:
        speech.result(json.dumps({"identity_pool_id": pool_id, "changed": is_written, "difference": shown}))
    return 0


def _write(asked: "Admin", shown: PoolState, wishes: Wishes) -> None:
    """Makes the calls, each from the pool as it is at that moment; a concurrent change is met a second time only.

    Raises Unavailable when the pool is no longer what the person has agreed to change; DoneInPart when a call fails
    after others have been made.
    """
    wanted = pool_changes.changed(shown, wishes)
    done: list[str] = []
    for request in pool_changes.requests(shown, wanted):
        try:
            _call_twice(asked, shown, request)
        except CredhelperError as error:
            if not done:
                raise
            raise DoneInPart(
                f"{', '.join(done)} is done, and {request.operation} is not: {error.message}",
                hint="the same command again does the rest",
            ) from error
        done.append(request.operation)


def _call_twice(asked: "Admin", shown: PoolState, request: pool_changes.Request) -> None:
    from credhelper.aws import cognito_admin

    for is_last in (False, True):
        _refuse_if_changed(asked, shown, request)
        try:
            asked.of_pools(shown.pool_id, request.operation, request.fields)
            return
        except CredhelperError as error:
            if is_last or not cognito_admin.is_concurrent(error):
                raise


def _refuse_if_changed(asked: "Admin", shown: PoolState, request: pool_changes.Request) -> None:
    """Looks at the part that a call replaces: what somebody else has put there since must not be lost."""
    pool_id = shown.pool_id
    if request.operation == "update_identity_pool":
        is_same = pool_changes.state_of(asked.pool(pool_id), {}, {}).settings == shown.settings
    elif request.operation == "set_identity_pool_roles":
        now = pool_changes.state_of({}, asked.pool_roles(pool_id), {})
        is_same = (now.roles, now.mappings) == (shown.roles, shown.mappings)
    else:
        provider = request.fields["IdentityProviderName"]
        tags = pool_changes.state_of({}, {}, {provider: asked.principal_tags(pool_id, provider)}).tags
        is_same = tags.get(provider) == shown.tags.get(provider)
    if not is_same:
        raise Unavailable(
            f"somebody else has changed {pool_id} meanwhile, and nothing of it was overwritten",
            hint="the same command again shows the difference to what it is now",
        )

"""``credhelper cognito pool delete``: what goes with it said, its name typed out, and what is kept here cleared."""

import argparse
import json
from typing import TYPE_CHECKING

from credhelper.cli import callers_files, speech
from credhelper.cli.pools import admin, agreement, commands
from credhelper.domain.model import PoolRole
from credhelper.domain.text import safe
from credhelper.local import identity_ids, places

if TYPE_CHECKING:
    from credhelper.aws.cognito_admin import Admin

MOST_COUNTED = 10
"""Pages of identities: AWS takes few such questions a second."""


def run(args: argparse.Namespace) -> int:
    """Deletes the pool once its name has been typed out."""
    pool_id = commands.pool_id_of(args)
    return delete(admin.connect(args), pool_id, args)


def delete(asked: "Admin", pool_id: str, args: argparse.Namespace) -> int:
    """The same with an administrator's calls."""
    name = str(asked.pool(pool_id).get("IdentityPoolName") or "")
    count, has_more = _count(asked, pool_id)
    profiles = profiles_of(pool_id)
    identities = f"{'more than ' if has_more else ''}{count} {'identity' if count == 1 else 'identities'}"
    speech.note(f"{safe(name)} ({pool_id}) has {identities}: who they belong to loses them for good.")
    if profiles:
        speech.note(f"Profiles here that use it: {safe(', '.join(profiles))}")
    agreement.typed_out(name, args.pool_name, what="pool's name", option="--pool-name")
    state = places.state_directory(places.environment())
    asked.of_pools(pool_id, "delete_identity_pool")
    forgotten = [str(path) for path in identity_ids.forget(state, None, pool_id)]
    if args.json:
        about = {"identity_pool_id": pool_id, "deleted": True, "identities": None if has_more else count}
        speech.result(json.dumps(about | {"profiles": profiles, "forgotten": forgotten}))
    else:
        speech.result(f"Deleted {pool_id}.")
    return 0


def _count(asked: "Admin", pool_id: str) -> tuple[int, bool]:
    """How many identities there are, and whether there are more than were counted."""
    count, after = 0, None
    for _ in range(MOST_COUNTED):
        page, after = asked.identities(pool_id, 60, after)
        count += len(page)
        if after is None:
            return count, False
    return count, True


def profiles_of(pool_id: str) -> list[str]:
    """The caller's profiles that use a pool."""
    configuration, _ = callers_files.load_what_can_be()
    return [
        name for name, role in configuration.roles().items() if isinstance(role, PoolRole) and role.pool_id == pool_id
    ]

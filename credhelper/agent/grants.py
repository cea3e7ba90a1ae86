"""What ``credhelper exec`` asks for: a door over HTTP for a program and all that it starts, until it ends."""

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from credhelper.agent.gate import Wanted
from credhelper.agent.openings import Kind, Opening, hash_of, identity_of, new_id, new_token
from credhelper.agent.status import optional_timestamp
from credhelper.domain.errors import AccessRefused
from credhelper.domain.model import Door
from credhelper.local.process_ends import Process

if TYPE_CHECKING:
    from credhelper.agent.agent import Agent

Json = dict[str, Any]


async def grant(agent: "Agent", wanted: Wanted, owner: Process | None, ttl: timedelta | None) -> Json:
    """Opens it for the role that is wanted, whose credentials are there by then; where it is, and its token.

    It ends with the process ``owner``, and after ``ttl`` if that is sooner. Raises like ``Agent.hand_out``, and what
    ``Openings.open`` raises.
    """
    if owner is None:
        raise AccessRefused(
            "a grant ends with the program that it was made for, and the daemon cannot see who asks",
            hint="credhelper lease create",
        )
    wanted = replace(wanted, door=Door.EXEC)
    if agent.hand_out_at_once(wanted) is None:
        await agent.hand_out(wanted)
    role, profile = agent.role_behind(wanted)
    token, now = new_token(), agent.openings.now()
    opening = Opening(
        id=new_id(),
        kind=Kind.EXEC,
        fields=wanted.fields,
        profile=profile,
        session_key=role.session.cache_key,
        account_id=role.account_id,
        role_name=role.role_name,
        caller=wanted.caller,
        opened_at=now,
        expires_at=None if ttl is None else now + ttl,
        token_hash=hash_of(token.encode()),
        owner=owner,
        leads_to=identity_of(role),
    )
    await agent.openings.open(opening)
    return {
        "id": opening.id,
        "uri": agent.openings.uri(opening),
        "token": token,
        "expires_at": optional_timestamp(opening.expires_at),
        "account_id": opening.account_id,
        "role_name": opening.role_name,
        "profile": profile,
        "region": agent.choices.region(wanted.fields),
    }

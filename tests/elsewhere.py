"""Other programs of the same user: they log in by themselves and write token files, each in its own way."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from credhelper.domain import documents
from credhelper.sandbox.server import Sandbox
from tests.sandbox.clients import Clients


def in_place(path: Path, content: bytes) -> None:
    """As the AWS CLI and botocore write: the file is emptied, and filled again."""
    path.write_bytes(content)


def atomically(path: Path, content: bytes) -> None:
    """As other SDKs write: another file is given the name."""
    temporary = path.with_name("other-program.tmp")
    temporary.write_bytes(content)
    temporary.replace(path)


WAYS = (in_place, atomically)


def token_of_new_login(sandbox: Sandbox, clients: Clients, *, left: float, person: str = "alice") -> bytes:
    """The token file of a new login, which says that it has ``left`` seconds; it can be refreshed."""
    registration, issued = clients.log_in(person)
    return json.dumps(
        {
            "startUrl": sandbox.start_url,
            "region": "us-east-1",
            "accessToken": issued["accessToken"],
            "expiresAt": documents.timestamp(datetime.now(UTC) + timedelta(seconds=left)),
            **registration,
            "registrationExpiresAt": "2099-01-01T00:00:00Z",
            "refreshToken": issued["refreshToken"],
        }
    ).encode()


def with_end(content: bytes, moment: datetime) -> tuple[bytes, str]:
    """The same token file with another end, which no other one has had; and that end as it is written."""
    document: dict[str, Any] = json.loads(content)
    document["expiresAt"] = documents.timestamp(moment)
    return json.dumps(document).encode(), document["expiresAt"]

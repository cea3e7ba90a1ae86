"""botocore's clients of Cognito for one sandbox, and what tests ask them again and again."""

import contextlib
import re
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from credhelper.sandbox.cognito_directory import CLIENT_ID, USER_POOL_ID, USERS_POOL_ID

from .clients import Clients

PROVIDER = f"cognito-idp.us-east-1.amazonaws.com/{USER_POOL_ID}"
ROLE = "arn:aws:iam::111122223333:role/{}".format


class PoolClients:
    """Unsigned, as all calls here are."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self.sandbox = clients.sandbox
        self.identities = clients.make("cognito-identity")
        self.users = clients.make("cognito-idp")
        self.sts = clients.make("sts")

    def logins(self, name: str = "alice", client_id: str = CLIENT_ID) -> dict[str, Any]:
        """The argument `Logins` for a user who has just signed in."""
        return {"Logins": {PROVIDER: self.sandbox.cognito.log_in(name, client_id).id_token}}

    def identity(self, pool_id: str = USERS_POOL_ID, **logins: Any) -> str:
        """GetId."""
        return str(self.identities.get_id(IdentityPoolId=pool_id, **logins)["IdentityId"])

    def caller(self, credentials: dict[str, Any]) -> str:
        """The ARN of whoever has these credentials, of either flow."""
        keys = {
            "aws_access_key_id": credentials["AccessKeyId"],
            "aws_secret_access_key": credentials.get("SecretKey") or credentials["SecretAccessKey"],
            "aws_session_token": credentials["SessionToken"],
        }
        return str(self._clients.make("sts", **keys).get_caller_identity()["Arn"])

    def role(self, identity_id: str, **given: Any) -> str:
        """The name of the role that the enhanced flow gives."""
        credentials = self.identities.get_credentials_for_identity(IdentityId=identity_id, **given)["Credentials"]
        return self.caller(credentials).split("/")[1]


@contextlib.contextmanager
def refused(error: str, message: str = "") -> Iterator[None]:
    """The block's call is answered with this error, and with a message that holds the pattern."""
    with pytest.raises(ClientError) as caught:
        yield
    told = caught.value.response["Error"]
    assert told["Code"] == error, told
    assert re.search(message, told["Message"]), told

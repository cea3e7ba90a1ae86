"""ministack: Cognito, IAM and STS of other people's making, on loopback, with its checks of who asks switched on."""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from . import clients

REGION = "us-east-1"
SERVICES = "cognito-identity,cognito-idp,iam,sts"
ROOT = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
"""Whoever comes with these is the account itself."""

Json = dict[str, Any]


class Ministack:
    """A running ministack, with nothing in it. Leaving the `with` block ends it."""

    def __init__(self, command: list[str], scratch: Path) -> None:
        self._command = command
        self._scratch = scratch
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def __enter__(self) -> Self:
        with socket.socket() as probe:  # it takes no socket that is open already
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        quiet = {name: value for name, value in os.environ.items() if not name.startswith(clients.NOT_INHERITED)}
        told = {"AUTH": "true", "BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "SERVICES": SERVICES}
        # Its broker would listen on a port that everyone's has, and its process file would lie in /tmp.
        told |= {"IOT_MTLS_ENABLED": "0", "TMPDIR": str(self._scratch), "HOME": str(self._scratch)}
        with (self._scratch / "log").open("wb") as log:
            self._process = subprocess.Popen(
                self._command,
                env=quiet | told,
                cwd=self._scratch,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            clients.until(self._is_ready, what="ministack")
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def client(self, service: str, *, unsigned: bool = False) -> Any:
        """boto3's client of a service, with the account's own keys or none."""
        no_retry = {"max_attempts": 0}
        if unsigned:
            config = Config(signature_version=UNSIGNED, retries=no_retry, proxies={})
            return boto3.client(service, endpoint_url=self.url, region_name=REGION, config=config)
        config = Config(retries=no_retry, proxies={})
        return boto3.client(service, endpoint_url=self.url, region_name=REGION, config=config, **ROOT)

    def environment(self) -> dict[str, str]:
        """What points the AWS CLI, the SDKs and credhelper here."""
        services = ("COGNITO_IDENTITY", "COGNITO_IDENTITY_PROVIDER", "IAM", "STS")
        return {f"AWS_ENDPOINT_URL_{service}": self.url for service in services}

    def _is_ready(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"ministack ended:\n{(self._scratch / 'log').read_text()}")
        try:
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(f"{self.url}/_ministack/health", timeout=5) as answer:
                return bool(json.load(answer)["auth"] == "enabled")
        except (urllib.error.URLError, OSError):
            return False

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


class Pool:
    """An identity pool that lets guests in, with a user pool and a user in it."""

    def __init__(self, ministack: Ministack, name: str) -> None:
        users = ministack.client("cognito-idp")
        user_pool = users.create_user_pool(PoolName=name)["UserPool"]["Id"]
        client = users.create_user_pool_client(
            UserPoolId=user_pool, ClientName=name, ExplicitAuthFlows=["ALLOW_USER_PASSWORD_AUTH"]
        )["UserPoolClient"]["ClientId"]
        self.provider = f"cognito-idp.{REGION}.amazonaws.com/{user_pool}"
        self._identities = ministack.client("cognito-identity", unsigned=True)
        self.pool_id: str = ministack.client("cognito-identity").create_identity_pool(
            IdentityPoolName=name,
            AllowUnauthenticatedIdentities=True,
            CognitoIdentityProviders=[{"ProviderName": self.provider, "ClientId": client}],
        )["IdentityPoolId"]
        person: Json = {"UserPoolId": user_pool, "Username": "ana"}
        users.admin_create_user(**person, MessageAction="SUPPRESS")
        users.admin_set_user_password(**person, Password="Correct-horse-1", Permanent=True)
        signed_in = ministack.client("cognito-idp", unsigned=True).initiate_auth(
            ClientId=client,
            AuthFlow="USER_PASSWORD_AUTH",
            AuthParameters={"USERNAME": "ana", "PASSWORD": "Correct-horse-1"},
        )
        self._logins = {self.provider: signed_in["AuthenticationResult"]["IdToken"]}

    def token_of_guest(self) -> str:
        """A token of a new guest."""
        return self._token({})

    def token_of_user(self) -> str:
        """A token of the user."""
        return self._token({"Logins": self._logins})

    def _token(self, logins: Json) -> str:
        identity = self._identities.get_id(IdentityPoolId=self.pool_id, **logins)["IdentityId"]
        token: str = self._identities.get_open_id_token(IdentityId=identity, **logins)["Token"]
        return token


class Role:
    """A role whose trust policy is changed from question to question."""

    def __init__(self, ministack: Ministack) -> None:
        self._iam = ministack.client("iam")
        self._sts = ministack.client("sts", unsigned=True)
        nobody = {"Effect": "Deny", "Principal": "*", "Action": "sts:*"}
        self._arn = self._iam.create_role(
            RoleName="role", AssumeRolePolicyDocument=json.dumps({"Statement": [nobody]})
        )["Role"]["Arn"]

    def trust(self, document: Json) -> None:
        """Gives it a trust policy."""
        self._iam.update_assume_role_policy(RoleName="role", PolicyDocument=json.dumps(document))

    def accepts(self, token: str) -> bool:
        """Whether STS gives the role's credentials for a token."""
        try:
            self._sts.assume_role_with_web_identity(RoleArn=self._arn, RoleSessionName="grid", WebIdentityToken=token)
        except ClientError as error:
            if error.response["Error"]["Code"] != "AccessDenied":
                raise
            return False
        return True


def claims_of(token: str) -> Json:
    """What a token says."""
    payload = token.split(".")[1]
    claims: Json = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims


def unsigned_token(claims: Json) -> str:
    """A token that says so. This STS looks at no identity pool's signature, so that any can be tried."""
    parts = ({"alg": "none"}, claims)
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts) + "."

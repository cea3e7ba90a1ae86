"""Amazon Cognito as people set it up, in ministack; and a machine whose profiles get credentials from there."""

from __future__ import annotations

import base64
import hmac
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from credhelper.identity_pools import trust_policies
from credhelper.identity_pools.trust_policies import Kind, Trust
from credhelper.sandbox.server import Sandbox
from tests.machine import CONFIG, Run
from tests.program.pools import free_port

from .clients import BrowserStub
from .desk import QUIET, Desk
from .ministack import REGION, Ministack

USER, PASSWORD = "ana", "Correct-horse-1"
ROLE_POLICY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": ["iam:ListAccountAliases", "sts:GetCallerIdentity"], "Resource": "*"}],
}

WHO_BY_BOTO3 = """
import json, sys, boto3
session = boto3.Session(profile_name=sys.argv[1])
keys = session.get_credentials().get_frozen_credentials()
print(json.dumps([session.client("sts").get_caller_identity()["Arn"], keys.access_key]))
"""

IDENTITIES_BY_JS = """
const {fromCognitoIdentityPool} = require("@aws-sdk/credential-providers");
const [identityPoolId, endpoint, provider, token] = process.argv.slice(1);
(async () => {
  const logins = token ? {[provider]: token} : undefined;
  const clientConfig = {region: "us-east-1", endpoint};
  const credentials = await fromCognitoIdentityPool({identityPoolId, logins, clientConfig})();
  console.log(JSON.stringify({
    identity: credentials.identityId, seconds: (credentials.expiration - new Date()) / 1000,
  }));
})().catch(error => { console.error(error.message); process.exitCode = 1; });
"""


class PoolScene:
    """A user pool with ana in it, an identity pool for its users and for guests, and their two roles."""

    def __init__(self, ministack: Ministack, name: str) -> None:
        self.port = free_port()
        self._ministack = ministack
        self._users = ministack.client("cognito-idp")
        self.user_pool_id: str = self._users.create_user_pool(PoolName=name)["UserPool"]["Id"]
        self.client_id: str = self._users.create_user_pool_client(
            UserPoolId=self.user_pool_id,
            ClientName=name,
            ExplicitAuthFlows=["ALLOW_USER_SRP_AUTH", "ALLOW_REFRESH_TOKEN_AUTH", "ALLOW_USER_PASSWORD_AUTH"],
            SupportedIdentityProviders=["COGNITO"],
            CallbackURLs=[f"http://127.0.0.1:{self.port}/callback"],
            AllowedOAuthFlows=["code"],
            AllowedOAuthFlowsUserPoolClient=True,
            AllowedOAuthScopes=["openid", "email", "profile", "aws.cognito.signin.user.admin"],
        )["UserPoolClient"]["ClientId"]
        self.add_user(USER, PASSWORD)
        self.provider = f"cognito-idp.{REGION}.amazonaws.com/{self.user_pool_id}"
        identities = ministack.client("cognito-identity")
        self.pool_id: str = identities.create_identity_pool(
            IdentityPoolName=name,
            AllowUnauthenticatedIdentities=True,
            AllowClassicFlow=True,
            CognitoIdentityProviders=[{"ProviderName": self.provider, "ClientId": self.client_id}],
        )["IdentityPoolId"]
        self.guest_role = self._role(f"{name}-guest", Kind.GUEST)
        self.user_role = self._role(f"{name}-user", Kind.AUTHENTICATED)
        identities.set_identity_pool_roles(
            IdentityPoolId=self.pool_id, Roles={"unauthenticated": self.guest_role, "authenticated": self.user_role}
        )

    def _role(self, name: str, kind: Kind) -> str:
        """A role with the trust policy that `credhelper cognito trust-policy` makes."""
        iam = self._ministack.client("iam")
        trust = trust_policies.document(Trust([self.pool_id], kind))
        arn = str(iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"])
        iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=json.dumps(ROLE_POLICY))
        return arn

    def add_user(self, name: str, password: str, *, permanent: bool = True) -> None:
        """A user; `permanent`: the password need not be changed at the first sign-in."""
        person = {"UserPoolId": self.user_pool_id, "Username": name}
        self._users.admin_create_user(**person, MessageAction="SUPPRESS", TemporaryPassword=password)
        if permanent:
            self._users.admin_set_user_password(**person, Password=password, Permanent=True)

    def enrol_totp(self, name: str, password: str) -> str:
        """Gives a user an authenticator, which every sign-in asks for from now on; returns its secret."""
        self._users.set_user_pool_mfa_config(
            UserPoolId=self.user_pool_id, SoftwareTokenMfaConfiguration={"Enabled": True}, MfaConfiguration="OPTIONAL"
        )
        access = self.tokens(name, password)["AccessToken"]
        secret = str(self._users.associate_software_token(AccessToken=access)["SecretCode"])
        assert self._users.verify_software_token(AccessToken=access, UserCode=totp(secret))["Status"] == "SUCCESS"
        return secret

    def set_life(self, seconds: int) -> None:
        """How long ID tokens live from now on."""
        self._users.update_user_pool_client(
            UserPoolId=self.user_pool_id,
            ClientId=self.client_id,
            IdTokenValidity=seconds,
            TokenValidityUnits={"IdToken": "seconds"},
        )

    def tokens(self, name: str = USER, password: str = PASSWORD) -> dict[str, Any]:
        """What signing in gives, by a way that credhelper does not take."""
        answer = self._ministack.client("cognito-idp", unsigned=True).initiate_auth(
            ClientId=self.client_id,
            AuthFlow="USER_PASSWORD_AUTH",
            AuthParameters={"USERNAME": name, "PASSWORD": password},
        )
        result: dict[str, Any] = answer["AuthenticationResult"]
        return result

    def identity_of(self, token: str) -> str:
        """The identity of whoever has an ID token."""
        client = self._ministack.client("cognito-identity", unsigned=True)
        return str(client.get_id(IdentityPoolId=self.pool_id, Logins={self.provider: token})["IdentityId"])

    def profiles(self) -> dict[str, dict[str, str]]:
        """By name: guests and users, by both flows."""
        guest = {"credhelper_identity_pool_id": self.pool_id, "credhelper_guest": "true"}
        user = {"credhelper_identity_pool_id": self.pool_id, "credhelper_cognito_login": "notes"}
        basic = {"credhelper_flow": "basic", "credhelper_duration_seconds": "1800"}
        return {
            "guest": guest,
            "user": user,
            "guest-basic": guest | basic | {"credhelper_role_arn": self.guest_role},
            "user-basic": user | basic | {"credhelper_role_arn": self.user_role},
        }

    def login_table(self, method: str = "browser", token: Path = Path("/dev/null")) -> str:
        """How users sign in, for `config.toml`. `token`: what a command prints."""
        lines = [f'method = "{method}"', f'user_pool_id = "{self.user_pool_id}"', f'client_id = "{self.client_id}"']
        if method == "command":
            lines.append(f'token_command = ["/bin/cat", "{token}"]')
        if method == "browser":
            lines += [f"redirect_port = {self.port}", 'scopes = ["openid", "aws.cognito.signin.user.admin"]']
        return "\n".join(["[cognito_login.notes]", *lines, ""])


class PoolDesk(Desk):
    """A machine whose profiles are all adopted, and whose Cognito and STS are ministack's."""

    def __init__(self, sandbox: Sandbox, ministack: Ministack, scene: PoolScene, method: str = "browser") -> None:
        super().__init__(sandbox)
        self.environment |= ministack.environment()
        self.scene = scene
        self.token = self.root / "token"
        """What the program of the method `command` prints."""
        settings = self.home / ".config" / "credhelper" / "config.toml"
        settings.parent.mkdir(parents=True)
        settings.write_text(scene.login_table(method, self.token))
        self.write_config(CONFIG.format(start_url=sandbox.start_url) + "".join(self._sections(scene)))

    def _sections(self, scene: PoolScene) -> list[str]:
        """A section for each profile, with the line that the SDKs run."""
        found = []
        for name, keys in scene.profiles().items():
            line = self.run("configure", "command", f"--profile={name}").out.strip()
            every = {"region": REGION, **keys, "credential_process": line}
            found.append(f"\n[profile {name}]\n" + "".join(f"{key} = {value}\n" for key, value in every.items()))
        return found

    def browser(self) -> BrowserStub:
        """Ana behind `BROWSER`."""
        return BrowserStub(Path(tempfile.mkdtemp(dir=self.root)), USER, PASSWORD, "allow")

    def who_by_aws(self, aws_cli: Path, profile: str) -> str:
        """The ARN that the AWS CLI works under."""
        done = self.aws(aws_cli, "sts", "get-caller-identity", f"--profile={profile}")
        assert done.status == 0, done.err
        return str(done.json()["Arn"])

    def who_by_boto3(self, python: str, profile: str) -> tuple[str, str]:
        """The ARN that boto3 works under, and its access key's id."""
        done = self.run_program([python, "-c", WHO_BY_BOTO3, profile], **QUIET)
        assert done.status == 0, done.err
        arn, key = done.json()
        return str(arn), str(key)

    def identity_by_js(self, js_sdk: Path, *login: str) -> Any:
        """What the JavaScript SDK's own provider finds: `identity`, and `seconds` for which its credentials live."""
        url = self.environment["AWS_ENDPOINT_URL_COGNITO_IDENTITY"]
        command = ["node", "-e", IDENTITIES_BY_JS, self.scene.pool_id, url, *login]
        done: Run = self.run_program(command, NODE_PATH=str(js_sdk / "node_modules"), **QUIET)
        assert done.status == 0, done.err
        return done.json()

    def identity(self, profile: str) -> str:
        """The identity that credhelper has for a profile."""
        done = self.run("cognito", "whoami", "--json", f"--profile={profile}")
        assert done.status == 0, done.err
        return str(done.json()["identity_id"])


def totp(secret: str) -> str:
    """What an authenticator with this secret shows now (RFC 6238)."""
    step = int(time.time()) // 30
    digest = hmac.digest(base64.b32decode(secret), step.to_bytes(8, "big"), "sha1")
    offset = digest[-1] & 0x0F
    return f"{(int.from_bytes(digest[offset : offset + 4], 'big') & 0x7FFFFFFF) % 10**6:06}"

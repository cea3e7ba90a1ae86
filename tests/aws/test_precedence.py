"""What would hide the container credentials endpoint from an SDK goes, and nothing else."""

import tempfile
from pathlib import Path
from typing import Any

import pytest
from botocore.configloader import load_config
from hypothesis import given
from hypothesis import strategies as st

from credhelper.aws.precedence import drop_variables, without_default_credentials

CREDENTIALS = {
    "keys": "aws_access_key_id = A\naws_secret_access_key = B\naws_session_token = C\naws_account_id = 1\n",
    "a session": "sso_session = corp\nsso_account_id = 111122223333\nsso_role_name = R\n",
    "a start URL": "sso_start_url = https://x\nsso_region = us-east-1\nSSO_Role_Name = R\n",
    "an adopted profile": "credential_process = /p -IS c default\ncredhelper_sso_session = corp\n",
    "a chained role": "role_arn = arn:aws:iam::1:role/R\nsource_profile = dev\n",
    "a role of the machine": "role_arn : arn:aws:iam::1:role/R\ncredential_source:Ec2InstanceMetadata\n",
    "web identity": "role_arn=arn:aws:iam::1:role/R\nweb_identity_token_file=/t\n",
    "a console login": "login_session = arn:aws:iam::1:user/u\n",
    "a continued line": "credential_process = /p\n  -c\n\n  # a remark\n\tx\n",
    "an indented key": "region = eu-west-1\n   aws_access_key_id = A\n",
}
HEADERS = [
    "[default]",
    "[profile default]",
    '[profile "default"]',
    "[profile  'default' ]",
    "[ default ]",
    "  [default]",
    "[default] ; mine",
    "\ufeff[default]",
    "[DEFAULT]",
]
OTHERS = """\
# my own
[profile dev]
sso_session = corp
aws_access_key_id = A

[default-eu]
role_arn = arn

[sso-session default]
sso_region = us-east-1

[services default]
s3 =
  endpoint_url = http://x
"""


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("kind", CREDENTIALS)
def test_credentials_of_a_default_profile_go_and_the_rest_stays_byte_for_byte(header: str, kind: str) -> None:
    hiding = f"; first\n{header}\nregion = eu-west-1\n{CREDENTIALS[kind]}output=json\n{OTHERS}"
    left = without_default_credentials(hiding.encode()).decode()
    remark = "\n  # a remark\n" if kind == "a continued line" else ""
    again = "region = eu-west-1\n" if kind == "an indented key" else ""
    assert left == f"; first\n{header}\nregion = eu-west-1\n{again}{remark}output=json\n{OTHERS}"


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_whatever_ends_its_lines(ending: str) -> None:
    hiding = ending.join(["[default]", "region = a", "role_arn = b", "  c", "[x]", "role_arn = d"]).encode()
    assert without_default_credentials(hiding) == hiding.replace(f"role_arn = b{ending}  c{ending}".encode(), b"")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        OTHERS.encode(),
        b"[default]\nregion = eu-west-1\nduration_seconds = 900\nassociate = x\n",
        b"[default]\ns3 =\n  max_concurrent_requests = 20\n[profile x]\nsso_session = y\n",
        b"no section\nsso_session = x\n",
        b"[]\n[profile]\n]\n[\nsso_session = \xff\xfe\n",
    ],
)
def test_a_file_that_hides_nothing_stays_as_it_is(content: bytes) -> None:
    assert without_default_credentials(content) == content


keys = st.sampled_from(
    ["region", "output", "sso_session", "SSO_ROLE_NAME", "role_arn", "credential_process", "aws_access_key_id", "s3"]
)
lines = st.one_of(
    st.builds("{}{} {} {}".format, st.sampled_from(["", "  "]), keys, st.sampled_from("=:"), st.sampled_from("xyz")),
    st.sampled_from(["", "# r", "  ; r", "  more", "[default]", "[profile default]", "[profile dev]", "[other]"]),
)
CREDENTIAL_KEYS = {"sso_session", "sso_role_name", "role_arn", "credential_process", "aws_access_key_id"}


@given(st.lists(lines, max_size=25), st.sampled_from(["\n", "\r\n"]))
def test_no_default_profile_gives_botocore_credentials_and_the_others_give_what_they_gave(
    found: list[str], ending: str
) -> None:
    content = "".join(line + ending for line in found).encode()
    before, after = as_botocore_reads(content), as_botocore_reads(without_default_credentials(content))
    if before is not None:
        assert after is not None
        assert not CREDENTIAL_KEYS & after.pop("default", {}).keys()
        before.pop("default", None)
        assert after == before


def as_botocore_reads(content: bytes) -> dict[str, dict[str, Any]] | None:
    """The profiles; None for a file that it cannot read at all."""
    from botocore.exceptions import ConfigParseError

    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "config")
        path.write_bytes(content)
        try:
            profiles: dict[str, dict[str, Any]] = load_config(str(path))["profiles"]
        except ConfigParseError:
            return None
    return profiles


def test_what_is_left_is_left_again() -> None:
    once = without_default_credentials(f"[default]\n{''.join(CREDENTIALS.values())}".encode())
    assert without_default_credentials(once) == once


def test_variables_that_hold_or_choose_credentials_go_and_other_ones_of_aws_stay() -> None:
    stays = {
        "AWS_CONFIG_FILE": "c",
        "AWS_ENDPOINT_URL": "u",
        "AWS_REGION": "r",
        "AWS_DEFAULT_OUTPUT": "json",
        "AWS_EC2_METADATA_DISABLED": "true",
        "PATH": "/bin",
    }
    goes = {
        "AWS_PROFILE": "p",
        "AWS_DEFAULT_PROFILE": "p",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SESSION_TOKEN": "t",
        "AWS_WEB_IDENTITY_TOKEN_FILE": "f",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/r",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "f",
        "AWS_BEARER_TOKEN_BEDROCK": "k",
        "AWS_CREDENTIAL_FILE": "f",
    }
    environment = stays | goes
    drop_variables(environment)
    assert environment == stays

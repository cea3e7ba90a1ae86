"""Names of generated profiles: what a template makes, of characters that every SDK takes."""

import re

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from credhelper.domain.profile_names import USUAL, Template, WrongTemplate

FIELDS = {
    "account_name": "Sandbox 7 (US)",
    "account_id": "111122223333",
    "role_name": "Power=User",
    "sso_session": "corp",
}


@pytest.mark.parametrize(
    ("template", "name"),
    [
        (USUAL, "Sandbox-7-US-Power-User"),
        ("{account_name:lower}/{role_name}", "sandbox-7-us/Power-User"),
        ("{sso_session}.{account_id}.{role_name:lower}", "corp.111122223333.power-user"),
        ("{account_id}", "111122223333"),
        ("-{role_name}-", "Power-User"),
        ("aws+{account_id}@x_{role_name}", "aws+111122223333@x_Power-User"),
    ],
)
def test_a_template_is_filled_in(template: str, name: str) -> None:
    assert Template.parse(template).fill(FIELDS) == name


@pytest.mark.parametrize(
    ("account", "name"),
    [
        ("Büro Zürich · Abrechnung", "Buro-Zurich-Abrechnung-R"),
        ("a\x1b[31mb\u202ec", "a-31mb-c-R"),
        ("東京", "111122223333-R"),
        ("", "111122223333-R"),
        ("[x]\n[profile y]", "x-profile-y-R"),
    ],
)
def test_what_an_account_is_called_does_no_harm(account: str, name: str) -> None:
    assert Template.parse(USUAL).fill(FIELDS | {"account_name": account, "role_name": "R"}) == name


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("", "names neither the account nor the role"),
        ("{sso_session}", "names neither"),
        (
            "{account}-{role_name}",
            "has the field {account}; there are {account_name}, {account_id}, {role_name}, {sso_s",
        ),
        ("{}{role_name}", "has the field {}"),
        ("{role_name.x}", "has the field {role_name.x}"),
        ("{role_name!r}", "has the field {role_name!r}"),
        ("{role_name:upper}", "has the field {role_name:upper}"),
        ("{role_name:{x}}", "has the field"),
        ("{role_name", "has a brace without its other one"),
        ("role_name}", "has a brace without its other one"),
        ("{{{role_name}}}", "has “{”"),
        ("a b{role_name}", "has “ ”"),
        ("[{role_name}]\n", "has “[”"),
        ("x" * 201, "is longer than 200 characters"),
    ],
)
def test_a_template_that_cannot_be_is_refused_with_the_reason(template: str, words: str) -> None:
    with pytest.raises(WrongTemplate) as caught:
        Template.parse(template)
    assert str(caught.value).startswith(words)
    assert str(caught.value).isprintable()


@hypothesis_settings(max_examples=150)
@given(st.text(max_size=12), st.text(max_size=6))
def test_every_name_is_one_that_every_sdk_takes(account: str, role: str) -> None:
    name = Template.parse("{account_name}{role_name}").fill(FIELDS | {"account_name": account, "role_name": role})
    assert re.fullmatch(r"[A-Za-z0-9_.@/+][A-Za-z0-9_.@/+-]*", name)

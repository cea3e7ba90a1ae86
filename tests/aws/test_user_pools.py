"""The user pools' API: what is sent, and what each refusal means for a person. The password's further steps too."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from credhelper.agent.cognito_password import Passwords
from credhelper.agent.cognito_questions import Question
from credhelper.aws.identity_center import IdentityCenter
from credhelper.aws.user_pools import Challenge, Tokens, UserPools
from credhelper.domain.errors import AccessRefused, ConfigError, CredhelperError, LoginRequired, Refused, Unavailable
from credhelper.domain.model import CognitoLogin, LoginMethod
from tests.aws.recorded import Recorded, Said, json_ok, json_refusal
from tests.clocks import HandClock

POOL = "us-east-1_Recorded1"
SECRET = "CANARYsecretOfTheAppClient"
LOGIN = CognitoLogin(
    "typed", LoginMethod.SRP, f"cognito-idp.us-east-1.amazonaws.com/{POOL}", POOL, "client1", username="ana"
)
TOKENS = json_ok(
    AuthenticationResult={"IdToken": "CANARY-id", "AccessToken": "CANARY-access", "RefreshToken": "CANARY-refresh"}
)
ALIAS = "0d8d7a9c-user-id"
VERIFIER = json_ok(
    ChallengeName="PASSWORD_VERIFIER",
    Session="s" * 20,
    ChallengeParameters={"USER_ID_FOR_SRP": ALIAS, "SALT": "aa", "SRP_B": "abcdef", "SECRET_BLOCK": "YmxvY2s="},
)


@pytest.fixture(scope="module")
def server() -> Iterator[Recorded]:
    with Recorded() as running, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER", running.url)
        yield running


@pytest.fixture(scope="module")
def shared(server: Recorded) -> UserPools:
    """Clients are dear to make."""
    clock = HandClock()
    return UserPools(IdentityCenter(clock).transport, clock)


@pytest.fixture
def aws(server: Recorded) -> Recorded:
    server.forget()
    return server


def asked_for(name: str, **parameters: str) -> Said:
    return json_ok(ChallengeName=name, Session="t" * 20, ChallengeParameters=parameters)


async def log_in(pools: UserPools, *answers: str, login: CognitoLogin = LOGIN) -> tuple[Tokens, list[Question]]:
    left, asked = list(answers), list[Question]()

    async def ask(question: Question, prompt: str, *, choices: tuple[str, ...] = ()) -> str:
        assert prompt.isprintable()
        asked.append(question)
        return left.pop(0)

    async def call(work: Callable[[], Challenge | Tokens]) -> Challenge | Tokens:
        return work()

    return await Passwords(pools, HandClock(), call, ask).log_in(login), asked


def responses(aws: Recorded, number: int = -1) -> dict[str, Any]:
    found: dict[str, Any] = [one for one in aws.asked if one.operation == "RespondToAuthChallenge"][number].fields
    return found


async def test_the_proof_is_sent_in_the_name_that_the_user_pool_has_for_the_person(
    shared: UserPools, aws: Recorded
) -> None:
    aws.says("InitiateAuth", VERIFIER)
    aws.says("RespondToAuthChallenge", TOKENS)
    found, asked = await log_in(shared, "CANARY-password")
    assert (found.id_token, asked) == ("CANARY-id", [Question.PASSWORD])
    begun = aws.asked[0].fields
    assert begun["AuthFlow"] == "USER_SRP_AUTH"
    assert begun["AuthParameters"].keys() == {"USERNAME", "SRP_A"}
    assert responses(aws)["ChallengeResponses"]["USERNAME"] == ALIAS
    assert "CANARY-password" not in str([one.fields for one in aws.asked])
    assert "authorization" not in aws.asked[0].headers


async def test_the_second_factor_is_chosen_and_its_code_asked_for(shared: UserPools, aws: Recorded) -> None:
    aws.says("InitiateAuth", VERIFIER)
    aws.says(
        "RespondToAuthChallenge",
        asked_for("SELECT_MFA_TYPE", MFAS_CAN_CHOOSE='["SMS_MFA","SOFTWARE_TOKEN_MFA"]'),
        asked_for("SMS_MFA", CODE_DELIVERY_DESTINATION="+*******\x1b[31m99"),
        json_refusal("CodeMismatchException", "Invalid code received for user"),
        TOKENS,
    )
    _, asked = await log_in(shared, "password", "text message", "000000", "123456")
    assert asked == [Question.PASSWORD, Question.CHOICE, Question.CODE, Question.CODE]
    assert responses(aws, 1)["ChallengeResponses"]["ANSWER"] == "SMS_MFA"
    assert responses(aws)["ChallengeResponses"]["SMS_MFA_CODE"] == "123456"


async def test_a_new_password_is_asked_for_with_what_else_the_user_pool_wants(shared: UserPools, aws: Recorded) -> None:
    aws.says("InitiateAuth", VERIFIER)
    wanted = asked_for("NEW_PASSWORD_REQUIRED", requiredAttributes='["userAttributes.email"]', userAttributes="{}")
    aws.says(
        "RespondToAuthChallenge",
        wanted,
        json_refusal("InvalidPasswordException", "Password did not conform with policy"),
        TOKENS,
    )
    await log_in(shared, "old", "weak", "ana@example.com", "Strong-1-password", "ana@example.com")
    sent = responses(aws)["ChallengeResponses"]
    assert (sent["NEW_PASSWORD"], sent["userAttributes.email"]) == ("Strong-1-password", "ana@example.com")


async def test_after_three_wrong_codes_nobody_is_asked_again(shared: UserPools, aws: Recorded) -> None:
    aws.says("InitiateAuth", VERIFIER)
    mismatch = json_refusal("CodeMismatchException", "Invalid code received for user")
    aws.says("RespondToAuthChallenge", asked_for("EMAIL_OTP"), mismatch)
    with pytest.raises(AccessRefused, match="the code is wrong"):
        await log_in(shared, "password", "1", "2", "3")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("MFA_SETUP", "second factor set up first"),
        ("CUSTOM_CHALLENGE", "questions of its own"),
        ("DEVICE_SRP_AUTH", "remembered device"),
        ("SOMETHING_NEW", "not for a terminal: SOMETHING_NEW"),
    ],
)
async def test_what_a_terminal_cannot_do_is_said_with_what_can(
    shared: UserPools, aws: Recorded, name: str, said: str
) -> None:
    aws.says("InitiateAuth", VERIFIER)
    aws.says("RespondToAuthChallenge", asked_for(name))
    with pytest.raises(AccessRefused, match=said) as refused:
        await log_in(shared, "password")
    assert refused.value.hint == 'use method = "browser" in [cognito_login.typed] of config.toml'


async def test_a_user_pool_that_asks_without_end_is_left(shared: UserPools, aws: Recorded) -> None:
    aws.says("InitiateAuth", VERIFIER)
    aws.says("RespondToAuthChallenge", asked_for("SMS_MFA"))
    with pytest.raises(Unavailable, match="without end"):
        await log_in(shared, "password", *("1" for _ in range(8)))


async def test_numbers_that_would_give_the_password_away_are_not_answered(shared: UserPools, aws: Recorded) -> None:
    aws.says("InitiateAuth", asked_for("PASSWORD_VERIFIER", SRP_B="0", SALT="aa", SECRET_BLOCK="", USER_ID_FOR_SRP="a"))
    with pytest.raises(Unavailable, match="does not speak SRP"):
        await log_in(shared, "password")
    assert aws.operations == ["InitiateAuth"]


async def test_a_secret_is_sent_as_a_hash_at_login_and_as_it_is_at_a_refresh(shared: UserPools, aws: Recorded) -> None:
    aws.says("InitiateAuth", VERIFIER)
    aws.says("RespondToAuthChallenge", TOKENS)
    aws.says("GetTokensFromRefreshToken", TOKENS)
    confidential = CognitoLogin(
        *("typed", LoginMethod.SRP, LOGIN.provider, POOL, "client1"),
        username="ana",
        client_secret_command=("/bin/echo", SECRET),
    )
    await log_in(shared, "password", login=confidential)
    hashes = [
        aws.asked[0].fields["AuthParameters"]["SECRET_HASH"],
        responses(aws)["ChallengeResponses"]["SECRET_HASH"],
    ]
    assert hashes[0] != hashes[1], "it is of the name that goes with it"
    assert SECRET not in str([one.fields for one in aws.asked])
    shared.refresh(confidential, "CANARY-refresh", SECRET)
    assert aws.asked[-1].fields["ClientSecret"] == SECRET


@pytest.mark.parametrize(
    ("reason", "message", "kind", "said"),
    [
        ("NotAuthorizedException", "Incorrect username or password.", AccessRefused, "password is wrong"),
        ("UserNotFoundException", "User does not exist.", AccessRefused, "password is wrong"),
        ("NotAuthorizedException", "Password attempts exceeded", AccessRefused, "no more attempts"),
        ("NotAuthorizedException", "Invalid session for the user.", LoginRequired, "took too long"),
        (
            "NotAuthorizedException",
            "Client c is configured for secret but secret was not received",
            ConfigError,
            "secret",
        ),
        ("NotAuthorizedException", "Unable to verify secret hash for client c", ConfigError, "client_secret_command"),
        ("UserNotConfirmedException", "User is not confirmed.", AccessRefused, "has not confirmed"),
        ("PasswordResetRequiredException", "Password reset required", AccessRefused, "password reset"),
        ("ResourceNotFoundException", "User pool client c does not exist.", ConfigError, "no app client client1"),
        (
            "InvalidParameterException",
            "USER_SRP_AUTH is not enabled for the client.",
            ConfigError,
            "ALLOW_USER_SRP_AUTH",
        ),
        ("ForbiddenException", "Request not allowed due to WAF block.", AccessRefused, "firewall"),
        ("OperationNotEnabledException", "no", Refused, "does not offer"),
        ("InternalErrorException", "CANARY", Refused, "InternalErrorException"),
    ],
)
async def test_each_refusal_is_one_sentence_for_a_person(
    shared: UserPools, aws: Recorded, reason: str, message: str, kind: type[CredhelperError], said: str
) -> None:
    aws.says("InitiateAuth", json_refusal(reason, message))
    with pytest.raises(CredhelperError, match=said) as refused:
        await log_in(shared, "password")
    assert type(refused.value) is kind
    assert "CANARY" not in refused.value.message


@pytest.mark.parametrize(
    "answer",
    [json_ok(), json_ok(AuthenticationResult={}), json_ok(AuthenticationResult={"AccessToken": "a"})],
)
async def test_an_answer_without_an_id_token_is_not_aws_s(shared: UserPools, aws: Recorded, answer: Said) -> None:
    aws.says("GetTokensFromRefreshToken", answer)
    with pytest.raises(Unavailable):
        shared.refresh(LOGIN, "CANARY-refresh", None)


def test_nothing_secret_shows() -> None:
    assert "CANARY" not in repr(Tokens("CANARY", "CANARY", "CANARY"))
    assert "CANARY" not in repr(Challenge("SMS_MFA", "CANARY", {"X": "CANARY"}))

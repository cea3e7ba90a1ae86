"""What stands in AWS's answers, read without believing it: what lacks a member or has it wrong is not AWS's.

What is wrong raises Unavailable, which names who answered and the member, never what stood there.
"""

from collections.abc import Mapping
from datetime import UTC, datetime

from credhelper.aws.transport import Answer
from credhelper.domain import documents
from credhelper.domain.errors import Unavailable, UpstreamError
from credhelper.domain.model import RoleCredentials


def part(answer: Answer, key: str) -> Answer:
    """A member that holds others; an empty one where AWS would have one."""
    found = answer.get(key)
    return Answer(found if isinstance(found, Mapping) else {}, answer.place)


def items(answer: Answer, key: str) -> list[Answer]:
    """The members of a list, each of which holds others."""
    found = answer.get(key)
    if not isinstance(found, list) or not all(isinstance(each, Mapping) for each in found):
        raise not_aws(answer, key)
    return [Answer(each, answer.place) for each in found]


def text(answer: Answer, key: str) -> str:
    """A member that is text, and not empty."""
    value = answer.get(key)
    if not isinstance(value, str) or not value:
        raise not_aws(answer, key)
    return value


def optional_text(answer: Answer, key: str) -> str | None:
    """The same of one that may be missing."""
    return text(answer, key) if answer.get(key) else None


def number(answer: Answer, key: str) -> float:
    """A member that is a number."""
    value = answer.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise not_aws(answer, key)
    return value


def moment(answer: Answer, key: str, *, parts_of_a_second: int = 1) -> datetime:
    """A time that is told in seconds since the epoch, or in such parts of them."""
    try:
        return documents.moment_from_epoch(number(answer, key) // parts_of_a_second)
    except documents.MalformedDocument as error:
        raise Unavailable(f"{answer.place} answered with {error}") from None


def end(answer: Answer, key: str) -> datetime:
    """A time that botocore has read already; one without a zone is AWS's, in UTC."""
    found = answer.get(key)
    if not isinstance(found, datetime):
        raise not_aws(answer, key)
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def good(credentials: RoleCredentials, place: str) -> RoleCredentials:
    """The credentials, where they have not expired already."""
    if credentials.expires_at <= credentials.obtained_at:
        raise Unavailable(f"{place} answered with credentials that have already expired")
    return credentials


def not_aws(answer: Answer, key: str) -> UpstreamError:
    """The error of an answer whose member is missing or wrong."""
    return Unavailable(
        f"{answer.place} gave an answer without {key}, not AWS's: is a captive portal or a proxy in the way?"
    )

"""The role with which Cognito writes the log of a user-pool import to CloudWatch Logs.

Trust and permissions are those of the Cognito developer guide ("Creating the CloudWatch Logs IAM role"), and beyond it
the conditions that AWS recommends wherever a service assumes a role (IAM user guide, "The confused deputy problem"):
without them Cognito could be made to use the role for a user pool of another account's.
"""

import re
from dataclasses import dataclass
from typing import Any

from credhelper.domain.errors import UsageError
from credhelper.domain.text import safe
from credhelper.identity_pools.templates import partition_of

SERVICE = "cognito-idp.amazonaws.com"
ACTIONS = ("logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents")
POLICY_NAME = "WriteImportLogs"

_USER_POOL = re.compile(r"(?P<region>[a-z]{2,4}(?:-[a-z]+)+-\d{1,2})_[0-9A-Za-z]{1,55}", re.ASCII)

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ImportRole:
    """What the role is for."""

    account_id: str
    region: str
    user_pool_id: str | None = None
    """The only user pool that it is for; None: any of the account's in the region."""
    is_conditional: bool = True
    """Whether the trust names account and user pool; without that it is the developer guide's to the letter."""

    def trust(self) -> Json:
        """Who may assume it."""
        statement: Json = {"Effect": "Allow", "Principal": {"Service": SERVICE}, "Action": "sts:AssumeRole"}
        if self.is_conditional:
            arn = f"arn:{partition_of(self.region)}:cognito-idp:{self.region}:{self.account_id}:userpool/"
            statement["Condition"] = {
                "StringEquals": {"aws:SourceAccount": self.account_id},
                "ArnLike": {"aws:SourceArn": arn + (self.user_pool_id or "*")},
            }
        return {"Version": "2012-10-17", "Statement": [statement]}

    def permissions(self) -> Json:
        """What it may do."""
        groups = f"arn:{partition_of(self.region)}:logs:{self.region}:{self.account_id}:log-group:/aws/cognito/*"
        statement = {"Effect": "Allow", "Action": list(ACTIONS), "Resource": [groups]}
        return {"Version": "2012-10-17", "Statement": [statement]}


def region_of_user_pool(user_pool_id: str) -> str:
    """The region that a user pool's id begins with. Raises UsageError for what is no such id."""
    found = _USER_POOL.fullmatch(user_pool_id)
    if found is None:
        raise UsageError(f"--user-pool-id: “{safe(user_pool_id)}” is not a user pool's id, such as eu-west-1_AbCdEf123")
    return found["region"]


def provider_of_user_pool(user_pool_id: str) -> str:
    """A user pool's name as an identity provider: the key of Logins maps. Raises UsageError for what is no such id."""
    region = region_of_user_pool(user_pool_id)
    suffix = "amazonaws.com.cn" if partition_of(region) == "aws-cn" else "amazonaws.com"
    return f"cognito-idp.{region}.{suffix}/{user_pool_id}"

"""Least-privilege access policies for the roles of identity pools, made for one's own names.

The six examples of the Cognito developer guide ("IAM roles", access policy examples), and the policy of a notes
application with uploads and an API, granting what such an application uses instead of whole services.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from credhelper.domain.errors import UsageError
from credhelper.domain.text import safe
from credhelper.identity_pools import pools

Json = dict[str, Any]
Values = Mapping[str, str]

_PARTITIONS = {
    "cn-": "aws-cn",
    "us-gov-": "aws-us-gov",
    "us-iso-": "aws-iso",
    "us-isob-": "aws-iso-b",
    "us-isof-": "aws-iso-f",
    "eu-isoe-": "aws-iso-e",
    "eusc-": "aws-eusc",
}
"""By the beginning of a region's name; all others are in ``aws``."""

PARTITIONS = ("aws", *_PARTITIONS.values())

DYNAMODB_ITEM_ACTIONS = (
    *("GetItem", "BatchGetItem", "Query"),
    *("PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem"),
)


@dataclass(frozen=True, slots=True)
class Parameter:
    """A name that goes into a policy."""

    meaning: str
    form: str
    """A regular expression for the whole of it."""
    example: str
    default: str | None = None
    """None: it must be given, where a template needs it."""


PARAMETERS = {
    "region": Parameter("the region of the pool and the resources", r"[a-z]{2,4}(-[a-z]+)+-\d{1,2}", "eu-west-1"),
    "account_id": Parameter("the account of the resources", r"\d{12}", "111122223333"),
    "bucket": Parameter("an S3 bucket", r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", "my-bucket"),
    "key": Parameter("an object's key", r"[^/\x00-\x1f\x7f][^\x00-\x1f\x7f]{0,1023}", "assets/picture.jpg"),
    "prefix": Parameter(
        "the folder in which each identity has its own, none by default",
        r"([^/\x00-\x1f\x7f]+/)*[^/\x00-\x1f\x7f]*",
        "uploads",
        default="",
    ),
    "table": Parameter("a DynamoDB table", r"[A-Za-z0-9_.-]{3,255}", "MyTable"),
    "function": Parameter("a Lambda function", r"[A-Za-z0-9_-]{1,64}", "MyFunction"),
    "stream": Parameter("a Kinesis data stream", r"[A-Za-z0-9_.-]{1,128}", "my-stream"),
    "api_id": Parameter("an API of API Gateway", r"[a-z0-9]{1,40}", "a1b2c3d4e5"),
    "stage": Parameter("the API's stage", r"\$default|[A-Za-z0-9_-]{1,128}", "prod"),
    "method": Parameter(
        "the HTTP method, all by default", r"\*|GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS", "POST", default="*"
    ),
    "path": Parameter("the API's paths, all by default", r"[A-Za-z0-9/._~{}*+-]{1,500}", "notes/*", default="*"),
}
"""By the name of the option, with ``_`` for ``-``."""


@dataclass(frozen=True, slots=True)
class Template:
    """One kind of policy."""

    summary: str
    parameters: tuple[str, ...]
    statements: Callable[[Values], list[Json]]
    needs_identity: bool = False
    """Whether the policy says ``sub`` or ``aud`` of the identity's token, whose names differ between partitions."""
    remark: str | None = None
    """Something to know before it is used."""


def partition_of(region: str) -> str:
    """The partition that a region belongs to, by its name."""
    return next((partition for start, partition in _PARTITIONS.items() if region.startswith(start)), "aws")


def document(name: str, given: Values) -> Json:
    """The policy of template ``name`` for these parameters and, optionally, ``partition`` and ``region``.

    Raises UsageError for a template that there is not, a parameter that is missing, does not belong to the template,
    or cannot be what it should be.
    """
    template = TEMPLATES.get(name)
    if template is None:
        raise UsageError(f"there is no template “{safe(name)}”", hint="credhelper cognito policy --list")
    values = _checked(name, template, given)
    return {"Version": "2012-10-17", "Statement": template.statements(values)}


def _checked(name: str, template: Template, given: Values) -> dict[str, str]:
    values: dict[str, str] = {}
    for key, text in given.items():
        if key != "partition" and key not in {*template.parameters, "region"}:
            raise UsageError(f"{_option(key)} has no place in {name}, which takes {_options(template.parameters)}")
        if key in PARAMETERS and not re.fullmatch(PARAMETERS[key].form, text, re.ASCII):
            raise UsageError(
                f"{_option(key)}: “{safe(text)}” is not {PARAMETERS[key].meaning}, such as {PARAMETERS[key].example}"
            )
        values[key] = text
    missing = []
    for key in template.parameters:
        default = PARAMETERS[key].default
        if key not in values and default is None:
            missing.append(key)
        values.setdefault(key, default or "")
    if missing:
        raise UsageError(f"{name} needs {_options(missing)}", hint="credhelper cognito policy --list")
    return _placed(template, values)


def _placed(template: Template, values: dict[str, str]) -> dict[str, str]:
    """With the partition, and the name by which policies of the region speak of an identity's token."""
    region = values.get("region")
    partition = values.get("partition")
    if region is not None and partition is not None and partition_of(region) != partition:
        raise UsageError(f"--region {region} is in {partition_of(region)}, not in {safe(partition)}")
    partition = partition or partition_of(region or "")
    if partition not in PARTITIONS:
        raise UsageError(f"--partition: “{safe(partition)}” is none of {', '.join(PARTITIONS)}")
    if template.needs_identity:
        if region is None and partition != "aws":
            raise UsageError("identities have a name of their own in each region there: --region says which")
        values["token"] = pools.PROVIDER if region is None else pools.provider_in(region)
    return {**values, "partition": partition}


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _options(names: Sequence[str]) -> str:
    return ", ".join(map(_option, names))


def plain(text: str) -> str:
    """``text`` as a policy must write it so that nothing in it is a wildcard or a variable."""
    return re.sub(r"[*?$]", lambda match: f"${{{match[0]}}}", text)


def _sub(values: Values) -> str:
    return f"${{{values['token']}:sub}}"


def _arn(values: Values, service: str, resource: str) -> str:
    return f"arn:{values['partition']}:{service}:{values['region']}:{values['account_id']}:{resource}"


def _bucket(values: Values) -> str:
    return f"arn:{values['partition']}:s3:::{values['bucket']}"


def _folder(values: Values) -> str:
    """Each identity's own folder in the bucket, without the slash at its end."""
    prefix = values["prefix"].strip("/")
    return f"{plain(prefix)}/{_sub(values)}" if prefix else _sub(values)


def _s3_object(values: Values) -> list[Json]:
    return [
        {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": [f"{_bucket(values)}/{plain(values['key'])}"]},
    ]


def _s3_folder(values: Values) -> list[Json]:
    return [
        {
            "Effect": "Allow",
            "Action": ["s3:ListBucket"],
            "Resource": [_bucket(values)],
            "Condition": {"StringLike": {"s3:prefix": [f"{_folder(values)}/*"]}},
        },
        {
            "Effect": "Allow",
            "Action": ["s3:GetObject", "s3:PutObject"],
            "Resource": [f"{_bucket(values)}/{_folder(values)}/*"],
        },
    ]


def _dynamodb_items(values: Values) -> list[Json]:
    return [
        {
            "Effect": "Allow",
            "Action": [f"dynamodb:{action}" for action in DYNAMODB_ITEM_ACTIONS],
            "Resource": [_arn(values, "dynamodb", f"table/{values['table']}")],
            "Condition": {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": [_sub(values)]}},
        },
    ]


def _lambda_invoke(values: Values) -> list[Json]:
    function = _arn(values, "lambda", f"function:{values['function']}")
    return [{"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": [function]}]


def _kinesis_put(values: Values) -> list[Json]:
    stream = _arn(values, "kinesis", f"stream/{values['stream']}")
    return [{"Effect": "Allow", "Action": "kinesis:PutRecord", "Resource": [stream]}]


def _sync_own_data(values: Values) -> list[Json]:
    identity = f"identitypool/${{{values['token']}:aud}}/identity/{_sub(values)}/*"
    return [{"Effect": "Allow", "Action": "cognito-sync:*", "Resource": [_arn(values, "cognito-sync", identity)]}]


def _notes_app(values: Values) -> list[Json]:
    stage = plain(values["stage"])
    api = _arn(values, "execute-api", f"{values['api_id']}/{stage}/{values['method']}/{values['path'].lstrip('/')}")
    return [
        {
            "Effect": "Allow",
            "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"],
            "Resource": [f"{_bucket(values)}/private/{_sub(values)}/*"],
        },
        {"Effect": "Allow", "Action": ["execute-api:Invoke"], "Resource": [api]},
    ]


_PLACE = ("region", "account_id")

TEMPLATES = {
    "s3-object": Template("read one object of an S3 bucket", ("bucket", "key"), _s3_object),
    "s3-folder": Template(
        "list, read and write a folder of one's own in an S3 bucket",
        ("bucket", "prefix"),
        _s3_folder,
        needs_identity=True,
    ),
    "dynamodb-items": Template(
        "read and write the items of a DynamoDB table whose partition key is one's identity id",
        (*_PLACE, "table"),
        _dynamodb_items,
        needs_identity=True,
    ),
    "lambda-invoke": Template("invoke one Lambda function", (*_PLACE, "function"), _lambda_invoke),
    "kinesis-put": Template("put records into one Kinesis data stream", (*_PLACE, "stream"), _kinesis_put),
    "sync-own-data": Template(
        "read and write one's own data in Cognito Sync",
        _PLACE,
        _sync_own_data,
        needs_identity=True,
        remark="The developer guide gives this example, and says too that Cognito refuses calls to Cognito Sync with an"
        " identity pool's credentials: try it before you rely on it.",
    ),
    "notes-app": Template(
        "files of one's own under private/ in an S3 bucket, and one API of API Gateway",
        (*_PLACE, "bucket", "api_id", "stage", "method", "path"),
        _notes_app,
        needs_identity=True,
    ),
}
"""By name, in the order in which they are listed."""

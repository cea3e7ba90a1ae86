"""The access policies of the source documents, verbatim: the developer guide's IAM roles, and the notes application."""

import json
from typing import Any

SUB = "${cognito-identity.amazonaws.com:sub}"


def _one(text: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(text)
    return document


ONE_OBJECT = _one(
    """{ "Version": "2012-10-17", "Statement": [ { "Action": [ "s3:GetObject" ], "Effect": "Allow", "Resource":
    ["arn:aws:s3:::mybucket/assets/my_picture.jpg"] } ] }"""
)
OWN_FOLDER = _one(
    """{ "Version": "2012-10-17", "Statement": [ { "Action": ["s3:ListBucket"], "Effect": "Allow", "Resource":
    ["arn:aws:s3:::mybucket"], "Condition": {"StringLike": {"s3:prefix": ["${cognito-identity.amazonaws.com:sub}/*"]}}
    }, { "Action": [ "s3:GetObject", "s3:PutObject" ], "Effect": "Allow", "Resource":
    ["arn:aws:s3:::mybucket/${cognito-identity.amazonaws.com:sub}/*"] } ] }"""
)
OWN_ITEMS = _one(
    """{ "Version": "2012-10-17", "Statement": [ { "Effect": "Allow", "Action": [ "dynamodb:GetItem",
    "dynamodb:BatchGetItem", "dynamodb:Query", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem",
    "dynamodb:BatchWriteItem" ], "Resource": [ "arn:aws:dynamodb:us-west-2:123456789012:table/MyTable" ],
    "Condition": { "ForAllValues:StringEquals": { "dynamodb:LeadingKeys": ["${cognito-identity.amazonaws.com:sub}"] } }
    } ] }"""
)
ONE_FUNCTION = _one(
    """{ "Version": "2012-10-17", "Statement": [ { "Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": [
    "arn:aws:lambda:us-west-2:123456789012:function:MyFunction" ] } ] }"""
)
ONE_STREAM = _one(
    """{ "Version": "2012-10-17", "Statement": [ { "Effect": "Allow", "Action": "kinesis:PutRecord", "Resource": [
    "arn:aws:kinesis:us-east-1:111122223333:stream/stream1" ] } ] }"""
)
OWN_SYNC_DATA = _one(
    """{ "Version": "2012-10-17", "Statement":[{ "Effect":"Allow", "Action":"cognito-sync:*", "Resource":
    ["arn:aws:cognito-sync:us-east-1:123456789012:identitypool/${cognito-identity.amazonaws.com:aud}/identity/${cognito-identity.amazonaws.com:sub}/*"]
    }] }"""
)

NOTES_APPLICATION = """\
{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Effect": "Allow",
      "Action": [
        "mobileanalytics:PutEvents",
        "cognito-sync:*",
        "cognito-identity:*"
      ],
      "Resource": [
        "*"
      ]
    },
    {
      "Effect": "Allow",
      "Action": [
        "s3:*"
      ],
      "Resource": [
        "arn:aws:s3:::notes-app-uploads/private/${cognito-identity.amazonaws.com:sub}/*"
      ]
    },
    {
      "Effect": "Allow",
      "Action": [
        "execute-api:Invoke"
      ],
      "Resource": [
        "arn:aws:execute-api:us-east-1:*:ly55wbovq4/*/*/*"
      ]
    }
  ]
}
"""
"""With the names that the document itself puts in."""

EXAMPLES = {
    "one object": ONE_OBJECT,
    "own folder": OWN_FOLDER,
    "own items": OWN_ITEMS,
    "one function": ONE_FUNCTION,
    "one stream": ONE_STREAM,
    "own sync data": OWN_SYNC_DATA,
    "notes application": _one(NOTES_APPLICATION),
}

"""Requests and answers checked against botocore's own service models.

The model says which members travel in the query, a header or the JSON body, their types and which must be
there. Values never appear in a complaint: they may be secret.
"""

import functools
import json
from collections.abc import Iterator, Mapping
from typing import Any

from botocore.loaders import Loader
from botocore.model import ListShape, MapShape, OperationModel, ServiceModel, Shape, StructureShape

from credhelper.sandbox.errors import ApiError
from credhelper.sandbox.messages import Request

_RANGES = {"integer": 2**31, "long": 2**63}
_PLAIN = {"boolean": (bool,), "timestamp": (int, float)}


@functools.cache
def _model(service: str) -> ServiceModel:
    """Read once, when somebody calls the service: Cognito's take a fifth of a second."""
    loader = Loader(
        extra_search_paths=[Loader.BUILTIN_DATA_PATH],
        include_default_search_paths=False,  # a person's own ~/.aws/models have no say here
    )
    return ServiceModel(loader.load_service_model(service, "service-2"), service)


class Shapes:
    def operation(self, service: str, name: str) -> OperationModel:
        return _model(service).operation_model(name)

    def error_status(self, service: str, error: str) -> int | None:
        """The HTTP status of a modelled exception; None where the service has no such exception."""
        shapes = {shape.name: shape for shape in _model(service).error_shapes}
        if error not in shapes:
            return None
        return int(shapes[error].metadata["error"]["httpStatusCode"])


def read_request(operation: OperationModel, request: Request) -> dict[str, Any]:
    """The operation's input by member names. Raises InvalidRequestException for what the model forbids."""
    shape = operation.input_shape
    values = {
        **_query_members(shape, request.query),
        **_header_members(shape, request.headers),
        **_body_members(shape, request),
    }
    for problem in _problems(shape, values, "the request"):
        raise ApiError("InvalidRequestException", problem)
    return values


def write_output(operation: OperationModel, output: Mapping[str, Any]) -> bytes:
    """The JSON body of an answer. Raises ValueError if it is not what the model promises to clients."""
    for problem in _problems(operation.output_shape, output, "the answer"):
        raise ValueError(f"{operation.name}: {problem}")
    return json.dumps(output).encode()


def _query_members(shape: StructureShape, query: list[tuple[str, str]]) -> dict[str, Any]:
    members = {
        member.serialization.get("name", name): (name, member)
        for name, member in shape.members.items()
        if member.serialization.get("location") == "querystring"
    }
    values: dict[str, Any] = {}
    for key, text in query:
        if key not in members:
            raise ApiError("InvalidRequestException", "The query has a parameter the operation does not know.")
        name, member = members[key]
        if name in values:
            raise ApiError("InvalidRequestException", f"{name} is given twice.")
        values[name] = _number(name, text) if member.type_name in _RANGES else text
    return values


def _header_members(shape: StructureShape, headers: Mapping[str, str]) -> dict[str, str]:
    return {
        name: headers[member.serialization["name"]]
        for name, member in shape.members.items()
        if member.serialization.get("location") == "header" and member.serialization["name"] in headers
    }


def _body_members(shape: StructureShape, request: Request) -> dict[str, Any]:
    takes_body = any("location" not in member.serialization for member in shape.members.values())
    if not takes_body:
        if request.body not in {b"", b"{}"}:
            raise ApiError("InvalidRequestException", "The operation takes no body.")
        return {}
    if request.content_type not in {"application/json", "application/x-amz-json-1.1"}:
        raise ApiError("InvalidRequestException", "The body must be declared as application/json.")
    try:
        body = json.loads(request.body.decode("utf-8"), object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError) as error:
        raise ApiError("InvalidRequestException", "The body is not JSON.") from error
    if not isinstance(body, dict):
        raise ApiError("InvalidRequestException", "The body must be a JSON object.")
    return body


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is repeated")
    return members


def _number(name: str, text: str) -> int:
    if not text.isascii() or not text.removeprefix("-").isdigit() or len(text) > 20:
        raise ApiError("InvalidRequestException", f"{name} must be a number.")
    return int(text)


def _problems(shape: Shape, value: Any, where: str) -> Iterator[str]:
    """What is wrong with the value, in words; nothing if it fits."""
    if isinstance(shape, StructureShape):
        yield from _structure_problems(shape, value, where)
    elif isinstance(shape, ListShape):
        yield from _list_problems(shape, value, where)
    elif isinstance(shape, MapShape):
        yield from _map_problems(shape, value, where)
    elif shape.type_name in _RANGES:
        yield from _number_problems(shape, value, where)
    elif shape.type_name in _PLAIN:
        if type(value) not in _PLAIN[shape.type_name]:
            yield f"{where} must be a {shape.type_name}."
    elif not isinstance(value, str) or not _is_text(value):
        yield f"{where} must be a string of Unicode text."
    elif not shape.metadata.get("min", 0) <= len(value) <= shape.metadata.get("max", len(value)):
        yield f"{where} has a length outside the permitted range."


def _list_problems(shape: ListShape, value: Any, where: str) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"{where} must be a list."
        return
    for item in value:
        yield from _problems(shape.member, item, f"an item of {where}")


def _structure_problems(shape: StructureShape, value: Any, where: str) -> Iterator[str]:
    if not isinstance(value, Mapping):
        yield f"{where} must be an object."
        return
    for name in shape.required_members:
        if name not in value:
            yield f"{where} lacks {name}."
    for name, member in value.items():
        if name not in shape.members:
            yield f"{where} has a member the operation does not know."
        else:
            yield from _problems(shape.members[name], member, name)


def _map_problems(shape: MapShape, value: Any, where: str) -> Iterator[str]:
    if not isinstance(value, Mapping):
        yield f"{where} must be an object."
        return
    if not shape.metadata.get("min", 0) <= len(value) <= shape.metadata.get("max", len(value)):
        yield f"{where} has a number of members outside the permitted range."
    for name, member in value.items():
        yield from _problems(shape.key, name, f"a key of {where}")
        yield from _problems(shape.value, member, f"a value of {where}")


def _is_text(value: str) -> bool:
    """JSON can spell half a surrogate pair, which is no text and has no UTF-8."""
    return not any("\ud800" <= character <= "\udfff" for character in value)


def _number_problems(shape: Shape, value: Any, where: str) -> Iterator[str]:
    if not isinstance(value, int) or isinstance(value, bool):
        yield f"{where} must be a number."
        return
    limit = _RANGES[shape.type_name]
    if not shape.metadata.get("min", -limit) <= value <= shape.metadata.get("max", limit - 1):
        yield f"{where} is outside the permitted range."

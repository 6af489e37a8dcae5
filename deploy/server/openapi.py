"""The OpenAPI document of a flow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .scorer import Field


def build_document(
    name: str,
    version: str,
    inputs: Mapping[str, Field],
    outputs: Mapping[str, Field],
    keyed: bool = False,
) -> dict[str, Any]:
    """Return the OpenAPI 3.0 document of the flow `name`, for `/swagger.json`.

    `keyed` is true if clients need a key.
    """
    return {
        **(_KEY_SECURITY if keyed else {}),
        "openapi": "3.0.3",
        "info": {"title": name, "version": version},
        "paths": {
            "/score": {
                "post": {
                    "operationId": "score",
                    "summary": f"Run the flow {name}",
                    "requestBody": {
                        "required": bool(inputs),
                        "content": {"application/json": {"schema": _object(inputs, request=True)}},
                    },
                    "responses": {
                        "200": {
                            "description": "The flow's outputs",
                            "content": {
                                "application/json": {"schema": _object(outputs, request=False)},
                                "text/event-stream": {"schema": {"type": "string"}},
                            },
                        },
                        "400": _describe_error("The inputs are not valid; `inputs` lists them"),
                        **(
                            {"401": _describe_error("The key is missing, or wrong")}
                            if keyed
                            else {}
                        ),
                        "406": _describe_error(
                            "The Accept header allows none of the types that the flow can return"
                        ),
                        "408": _describe_error("The body did not arrive in time"),
                        "413": _describe_error("The body is larger than the limit"),
                        "500": _describe_error("The flow failed"),
                        "502": _describe_error("The model cannot be reached, or failed"),
                        "503": _describe_error(
                            "The model or the server is busy, or the server is stopping"
                        ),
                        "504": _describe_error("The model or the flow did not answer in time"),
                    },
                }
            },
            "/health": {
                "get": {
                    **_describe_operation("200 when the flow can score", "health"),
                    **_NO_SECURITY,
                }
            },
            "/version": {
                "get": _describe_operation("The flow, its content tag and its commit", "version")
            },
        },
    }


# All paths except /health require the key ("OpenAPI Specification", Security Requirement Object).
_KEY_SECURITY = {
    "components": {"securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
    "security": [{"key": []}],
}
_NO_SECURITY: dict[str, Any] = {"security": []}


def _object(fields: Mapping[str, Field], *, request: bool) -> dict[str, Any]:
    if not request and not fields:
        # A prompty without declared outputs returns text, or an object in its JSON mode.
        return {}
    if not request and set(fields) == {"output"}:
        # A flow that returns a single value responds with the value itself, not with an object.
        return {"anyOf": [_schema(fields["output"]), {"type": "object"}]}
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {name: _schema(spec) for name, spec in fields.items()},
    }
    required = [name for name, spec in fields.items() if spec.required]
    if request and required:
        schema["required"] = required
    return schema


def _schema(spec: Field) -> dict[str, Any]:
    schema: dict[str, Any] = {} if spec.type == "any" else {"type": spec.type}
    if spec.type == "array":
        schema["items"] = {}
    if spec.description:
        schema["description"] = spec.description
    if spec.default is not None:
        schema["default"] = spec.default
    return schema


def _describe_error(description: str) -> dict[str, Any]:
    error = {
        "type": "object",
        "required": ["code", "message"],
        "properties": {
            "code": {"type": "string"},
            "message": {"type": "string"},
            "inputs": {"type": "array", "items": {"type": "string"}},
        },
    }
    schema = {"type": "object", "required": ["error"], "properties": {"error": error}}
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _describe_operation(summary: str, operation: str) -> dict[str, Any]:
    content = {"application/json": {"schema": {"type": "object"}}}
    return {
        "operationId": operation,
        "summary": summary,
        "responses": {"200": {"description": summary, "content": content}},
    }

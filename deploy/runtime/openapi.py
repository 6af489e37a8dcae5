"""Describe a flow as an OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .scorer import Field


def document(
    name: str,
    version: str,
    inputs: Mapping[str, Field],
    outputs: Mapping[str, Field],
    keyed: bool = False,
) -> dict[str, Any]:
    """Return the OpenAPI 3.0 document of the flow `name`, for `/swagger.json`.

    `keyed` tells that callers need a key.
    """
    return {
        **(_KEYED if keyed else {}),
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
                        "400": _error("The inputs do not fit; `inputs` names them"),
                        **({"401": _error("The key is missing, or wrong")} if keyed else {}),
                        "406": _error("The Accept header allows no type that the flow can give"),
                        "408": _error("The body did not arrive in time"),
                        "413": _error("The body is larger than the limit"),
                        "500": _error("The flow failed"),
                        "502": _error("The model cannot be reached, or failed"),
                        "503": _error("The model or the server is busy, or the server stops"),
                        "504": _error("The model or the flow did not answer in time"),
                    },
                }
            },
            "/health": {"get": {**_plain("200 when the flow can score", "health"), **_OPEN}},
            "/version": {"get": _plain("The flow, its content tag and its commit", "version")},
        },
    }


# Every path but /health needs the key ("OpenAPI Specification", Security Requirement Object).
_KEYED = {
    "components": {"securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
    "security": [{"key": []}],
}
_OPEN: dict[str, Any] = {"security": []}


def _object(fields: Mapping[str, Field], *, request: bool) -> dict[str, Any]:
    if not request and not fields:
        # A prompty that declares no outputs answers with a text, or with what its JSON mode gives.
        return {}
    if not request and set(fields) == {"output"}:
        # A flow that returns one bare value answers with that value, not with an object around it.
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


def _error(description: str) -> dict[str, Any]:
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


def _plain(summary: str, operation: str) -> dict[str, Any]:
    content = {"application/json": {"schema": {"type": "object"}}}
    return {
        "operationId": operation,
        "summary": summary,
        "responses": {"200": {"description": summary, "content": content}},
    }

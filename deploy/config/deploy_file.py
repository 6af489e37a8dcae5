"""The model of a flow's deploy.yaml, except the settings of targets.

Docstrings of models are descriptions in the published JSON Schema.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, create_model
from pydantic_core import PydanticKnownError

from deploy.config import entropy, secret_patterns
from deploy.config.evaluation import EvaluationModel
from deploy.config.strict_model import StrictModel, VariableName
from deploy.server.connections import (
    CONNECTION_TYPES,
    KEY_AUTH,
    MANAGED_IDENTITY,
    ConnectionType,
)

ValueType = Literal["string", "integer", "number", "boolean", "list", "object"]
ExpectedOutput = ValueType | dict[str, ValueType]
"""What a good answer looks like: the type of each output, or of the answer itself."""


# Debian Policy 5.6.7 and 5.6.12: names of source and binary packages, and versions.
SYSTEM_PACKAGE_PATTERN = r"^[a-z0-9][a-z0-9+.-]+(=[A-Za-z0-9][A-Za-z0-9.+:~-]*)?$"


def _check_system_package(value: str) -> str:
    if not re.match(SYSTEM_PACKAGE_PATTERN, value):
        raise ValueError(
            "the name of a Debian package is expected, such as poppler-utils, or ‹name›=‹version›"
        )
    return value


SystemPackage = Annotated[
    str,
    AfterValidator(_check_system_package),
    Field(json_schema_extra={"pattern": SYSTEM_PACKAGE_PATTERN}),
]


class ImageModel(StrictModel):
    """How the flow's image is built."""

    python: Literal["3.10", "3.11", "3.12", "3.13"] = "3.11"
    platform: Literal["linux/amd64", "linux/arm64"] = "linux/amd64"
    base: str | None = Field(
        None, description="A base image with Python; by default, the official slim image."
    )
    system_packages: list[SystemPackage] = Field(
        [],
        description="Debian packages beside Python packages, such as poppler-utils.",
        examples=[["poppler-utils"]],
    )
    max_size: Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)? ?[MG]B$")] | None = Field(
        None, description="The maximum size that the image adds to its base, such as `500 MB`."
    )

    @property
    def max_bytes(self) -> int | None:
        """`max_size` in bytes."""
        if self.max_size is None:
            return None
        number, unit = self.max_size[:-2], self.max_size[-2:]
        return int(float(number) * {"MB": 1e6, "GB": 1e9}[unit])


# A host, optionally with http:// and a port. It is compared as written.
PICTURE_HOST_PATTERN = r"^(http://)?[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?$"


class PicturesModel(StrictModel):
    """Sources of pictures in requests, beside the request itself."""

    urls: list[Annotated[str, Field(pattern=PICTURE_HOST_PATTERN)]] = Field(
        [],
        description="Hosts from which pictures are fetched; with HTTPS, except for those with http://.",
        examples=[["images.example.com"]],
    )
    private: bool = Field(
        False,
        description="The hosts may have addresses of private networks, such as private endpoints.",
    )


class CustomConnection(StrictModel):
    """A connection with fields of the team's own.

    `custom_type` is `module:Class` of a custom strong type.
    """

    type: Literal["custom"]
    configs: dict[str, VariableName] = Field({})
    secrets: dict[str, VariableName] = Field({})
    custom_type: Annotated[str, Field(pattern=r"^[\w.]+:\w+$")] | None = None


def _connection_model(name: str, kind: ConnectionType) -> type[StrictModel]:
    fields: dict[str, Any] = {"type": (Literal[name], ...)}
    for field in kind.endpoint:
        optional = field in kind.optional
        fields[field] = (VariableName | None, None) if optional else (VariableName, ...)
    for field in kind.plain:
        fields[field] = (str | None, None)
    if kind.identity:
        fields["auth"] = (Literal[KEY_AUTH, MANAGED_IDENTITY] | None, None)
    if kind.secret:
        fields[kind.secret] = (VariableName | None, None) if kind.identity else (VariableName, ...)
    return create_model(name, __base__=StrictModel, **fields)


CONNECTION_MODELS: dict[str, type[StrictModel]] = {
    "custom": CustomConnection,
    **{
        name: _connection_model(name, kind)
        for name, kind in CONNECTION_TYPES.items()
        if name != "custom"
    },
}


def _check_secret_rule(value: str) -> str:
    if value not in SECRET_RULES:
        expected = ", ".join(f"'{rule}'" for rule in SECRET_RULES)
        raise PydanticKnownError("literal_error", {"expected": expected})
    return value


def _require_text(value: str) -> str:
    if not value.strip():
        raise ValueError("this is empty: write a reason")
    return value


SECRET_RULES = (*secret_patterns.RULES, *secret_patterns.WHOLE_VALUE_PATTERNS, entropy.RULE_NAME)
"""The rules by which the secret scan recognizes a secret from its pattern."""

NonEmptyText = Annotated[
    str, AfterValidator(_require_text), Field(json_schema_extra={"pattern": r"\S"})
]
SecretRule = Annotated[
    str, AfterValidator(_check_secret_rule), Field(json_schema_extra={"enum": list(SECRET_RULES)})
]


class AllowedSecretModel(StrictModel):
    """Text that looks like a secret and is not one, so that it may be in an image."""

    file: NonEmptyText = Field(description="A path in the image, such as app/flow/docs/*.md.")
    rule: SecretRule
    reason: NonEmptyText = Field(description="Why this is not a secret.")


class DeployFile(StrictModel):
    """flows/<flow>/deploy.yaml: the flow, and its target in each environment."""

    sample: str = "sample.json"
    expect: ExpectedOutput = "object"
    connections: dict[str, dict[str, Any]] = Field({})
    init: dict[str, Any] = Field({})
    image: ImageModel = ImageModel()
    pictures: PicturesModel = PicturesModel()
    allow_secrets: list[AllowedSecretModel] = Field([])
    evaluation: EvaluationModel | None = None
    environments: dict[str, dict[str, Any]] = Field(min_length=1)

"""The models of deploy.yaml and environments.yaml.

The published JSON Schemas are generated from them; docstrings of models are descriptions there.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    create_model,
    model_validator,
)
from pydantic_core import PydanticKnownError

from deploy.config import entropy, secret_patterns
from deploy.config.evaluation import EvaluationModel
from deploy.core.errors import DeployError
from deploy.server.connections import (
    CONNECTION_TYPES,
    KEY_AUTH,
    MANAGED_IDENTITY,
    ConnectionType,
    is_variable_name,
)


class StrictModel(BaseModel):
    """A mapping that rejects unknown keys and does not convert values."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _check_variable_name(value: str) -> str:
    # The message must not quote the value: often the secret itself is here by mistake.
    if not is_variable_name(value):
        raise ValueError(
            "the name of an environment variable is expected, such as AZURE_OPENAI_API_KEY"
        )
    return value


VariableName = Annotated[
    str,
    AfterValidator(_check_variable_name),
    Field(json_schema_extra={"pattern": "^[A-Z][A-Z0-9_]*$"}),
]
"""The name of an environment variable, never its value."""

# A host or host:port, optionally with folders: no scheme, no tag, no upper case.
REGISTRY_PATTERN = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?(/[a-z0-9]+([._-][a-z0-9]+)*)*$"

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
    """How the flow's image is made."""

    python: Literal["3.10", "3.11", "3.12", "3.13"] = "3.11"
    platform: Literal["linux/amd64", "linux/arm64"] = "linux/amd64"
    base: str | None = Field(
        None, description="A base image with Python; the official slim image without it."
    )
    system_packages: list[SystemPackage] = Field(
        [],
        description="Debian packages that the flow needs besides Python's, such as poppler-utils.",
        examples=[["poppler-utils"]],
    )
    max_size: Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)? ?[MG]B$")] | None = Field(
        None, description="The most that the image may add to its base, such as `500 MB`."
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
    """Where pictures in requests may come from, besides the request itself."""

    urls: list[Annotated[str, Field(pattern=PICTURE_HOST_PATTERN)]] = Field(
        [],
        description="Hosts from which pictures are fetched; by HTTPS, but for those with http://.",
        examples=[["images.example.com"]],
    )
    private: bool = Field(
        False,
        description="The hosts may have addresses of private networks, such as private endpoints.",
    )


class EnvModel(StrictModel):
    """Variables of the container: written out, or taken from the environment of whoever deploys."""

    clear: dict[str, str] = {}
    secret: list[VariableName] = []


class CloudModel(StrictModel):
    """The addresses of an Azure that is none of the known ones, such as Azure Stack Hub's."""

    resource_manager: Annotated[str, Field(pattern="^https://")]
    authority: Annotated[str, Field(pattern="^https://")] | None = None
    registry_suffix: Annotated[str, Field(pattern=r"^\.")] = ".azurecr.io"
    vault_suffix: str = ".vault.azure.net"
    polling: Annotated[float, Field(gt=0, strict=False)] | None = Field(
        None, description="Seconds between two looks at a long operation."
    )


EmailAddress = Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$")]
NamePart = Annotated[str, Field(pattern=r"^[a-z0-9]{2,8}$")]
"""A part of names in Azure."""


class GitHubModel(StrictModel):
    """The repository whose workflow deploys, as `owner/name`.

    The ids are for one that was made or renamed since 2026-07-15: its tokens carry them (GitHub,
    "OpenID Connect reference").
    """

    repository: Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")]
    owner_id: Annotated[str, Field(pattern=r"^\d+$")] | None = None
    repository_id: Annotated[str, Field(pattern=r"^\d+$")] | None = None
    drift: bool = Field(
        False, description="Jobs of the GitHub environment ‹environment›-drift log in, too."
    )

    @model_validator(mode="after")
    def _check_ids(self) -> GitHubModel:
        if (self.owner_id is None) != (self.repository_id is None):
            raise ValueError("owner_id and repository_id go together")
        return self


class AzureDevOpsModel(StrictModel):
    """Issuer and subject, copied from the service connection that Azure DevOps has made."""

    issuer: Annotated[str, Field(pattern="^https://")]
    subject: Annotated[str, Field(min_length=1)]


class BudgetModel(StrictModel):
    """An amount a month, in the currency of the bill, from the first of a month on."""

    amount: Annotated[int, Field(ge=1)]
    start: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-01$")]


class ModelModel(StrictModel):
    """A deployment of a model of Azure OpenAI; `capacity` in thousands of tokens a minute."""

    name: Annotated[str, Field(pattern=r"^[\w.-]{2,64}$")]
    model: str
    version: str
    sku: str = "GlobalStandard"
    capacity: Annotated[int, Field(ge=1)] = 10


class PlanModel(StrictModel):
    """The size of the App Service plan, and between how many instances it scales."""

    sku: Annotated[str, Field(pattern=r"^(S[123]|P[0-9]m?v[234])$")] = "P0v3"
    min: Annotated[int, Field(ge=1, le=30)] = 1
    max: Annotated[int, Field(ge=1, le=30)] = 3

    @model_validator(mode="after")
    def _check_order(self) -> PlanModel:
        if self.min > self.max:
            raise ValueError("min may not be above max")
        return self


class InfraModel(StrictModel):
    """What the environment's infrastructure is to be like (docs/infrastructure.md)."""

    workload: Annotated[str, Field(pattern=r"^[a-z][a-z0-9]{1,9}$")] = Field(
        "flows", description="What the names of all resources begin with, after their kind."
    )
    unique: NamePart | None = Field(
        None, description="The end of names that must be unique in Azure; a hash without it."
    )
    names: dict[str, str] = Field({}, description="Names that differ from the convention.")
    location: Annotated[str, Field(pattern=r"^[a-z0-9]+$")] | None = None
    owner: str | None = None
    cost_center: str | None = None
    contacts: list[EmailAddress] = Field([], description="Who is told of alerts and of spending.")
    budget: BudgetModel | None = None
    private: bool = Field(False, description="Everything behind private endpoints.")
    addresses: Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+\.\d+/(1[6-9]|2[0-4])$")] = Field(
        "10.20.0.0/24", description="The virtual network's, where private."
    )
    zone_redundant: bool = False
    log_days: Annotated[int, Field(ge=30, le=730)] = 30
    github: GitHubModel | None = None
    azure_devops: AzureDevOpsModel | None = None
    publishes: bool = Field(True, description="CI publishes or promotes to this registry.")
    promote_from: str | None = Field(
        None, description="The environment whose images are promoted to this one."
    )
    models: list[ModelModel] = Field([], description="Deployments of Azure OpenAI to make.")
    plan: PlanModel = PlanModel()

    @model_validator(mode="after")
    def _check_zones(self) -> InfraModel:
        # "Reliability in Azure App Service": zones need a Premium plan.
        if self.zone_redundant and self.plan.sku.startswith("S"):
            raise ValueError("zone_redundant needs a Premium plan: plan.sku P0v3 or larger")
        return self


class PlaceModel(StrictModel):
    """The keys of an environment in environments.yaml for all targets; each target adds its own."""

    registry: Annotated[str, Field(pattern=REGISTRY_PATTERN)] | None = Field(
        None,
        description="Host, port and folder of a registry, without https:// and in lower case.",
        examples=["crchatprod.azurecr.io"],
    )
    registry_login: Literal["azure", "docker"] | None = Field(
        None,
        description="Who logs in: Entra, or docker's credentials; without it the name tells.",
    )
    cloud: Literal["public", "usgovernment", "china"] | CloudModel = "public"
    subscription: str | None = None
    infra: InfraModel | None = Field(
        None,
        description="For inv infra: what is made once, before a deploy (docs/infrastructure.md).",
    )


class TargetSettings(StrictModel):
    """The settings that every target has; each target adds its own."""

    target: str
    env: EnvModel = EnvModel()

    @property
    def secret_names(self) -> tuple[str, ...]:
        """The variables whose values come from the deploying process, and are never displayed."""
        return tuple(self.env.secret)


class CustomConnection(StrictModel):
    """A connection with fields of the team's own.

    `custom_type` is `module:Class` of a custom strong type.
    """

    type: Literal["custom"]
    configs: dict[str, VariableName] = {}
    secrets: dict[str, VariableName] = {}
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
        raise ValueError("this is empty; say in a few words")
    return value


SECRET_RULES = (*secret_patterns.RULES, *secret_patterns.WHOLE_VALUE_PATTERNS, entropy.RULE_NAME)
"""The kinds of secret that the gate before a push knows by their shape."""

NonEmptyText = Annotated[
    str, AfterValidator(_require_text), Field(json_schema_extra={"pattern": r"\S"})
]
SecretRule = Annotated[
    str, AfterValidator(_check_secret_rule), Field(json_schema_extra={"enum": list(SECRET_RULES)})
]


class AllowedSecretModel(StrictModel):
    """What looks like a secret and is none, so that it may be in an image."""

    file: NonEmptyText = Field(description="A path in the image, such as app/flow/docs/*.md.")
    rule: SecretRule
    reason: NonEmptyText = Field(description="Why this is no secret.")


class DeployFile(StrictModel):
    """flows/<flow>/deploy.yaml: what the flow is, and which target where."""

    sample: str = "sample.json"
    expect: ExpectedOutput = "object"
    connections: dict[str, dict[str, Any]] = {}
    init: dict[str, Any] = {}
    image: ImageModel = ImageModel()
    pictures: PicturesModel = PicturesModel()
    allow_secrets: list[AllowedSecretModel] = []
    evaluation: EvaluationModel | None = None
    environments: dict[str, dict[str, Any]] = Field(min_length=1)


def deploy_schema(settings: dict[str, type[TargetSettings]]) -> dict[str, Any]:
    """Return the JSON Schema of deploy.yaml, with the settings of each target."""
    schema = DeployFile.model_json_schema()
    connections = [model.model_json_schema() for model in CONNECTION_MODELS.values()]
    schema["properties"]["connections"]["additionalProperties"] = {"oneOf": connections}
    schema["properties"]["environments"]["additionalProperties"] = {
        "oneOf": [_target_schema(name, model) for name, model in settings.items()]
    }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_hoist_definitions(schema)}


def environments_schema(places: dict[str, type[PlaceModel]]) -> dict[str, Any]:
    """Return the JSON Schema of environments.yaml: the keys of all targets."""
    properties: dict[str, Any] = {}
    definitions: dict[str, Any] = {}
    for model in places.values():
        schema = model.model_json_schema()
        properties.update(schema["properties"])
        definitions.update(schema.get("$defs") or {})
    environment = {
        "type": ["object", "null"],
        "properties": properties,
        "additionalProperties": False,
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "environments.yaml",
        "type": "object",
        "additionalProperties": environment,
        "$defs": definitions,
    }


def _target_schema(name: str, model: type[TargetSettings]) -> dict[str, Any]:
    schema = model.model_json_schema()
    schema["properties"]["target"] = {"const": name}
    return schema


def _hoist_definitions(schema: dict[str, Any]) -> dict[str, Any]:
    """Move the definitions of embedded schemas to the top, where their references point."""
    definitions: dict[str, Any] = {}

    def collect(node: Any) -> None:
        if isinstance(node, dict):
            for name, model in node.pop("$defs", {}).items():
                if definitions.setdefault(name, model) != model:
                    message = f"two different models of targets are called {name}"
                    raise DeployError("the schema", message, "rename the extension's")
            for value in node.values():
                collect(value)
        elif isinstance(node, list):
            for value in node:
                collect(value)

    collect(schema)
    for definition in list(definitions.values()):
        collect(definition)
    return {**schema, "$defs": definitions}

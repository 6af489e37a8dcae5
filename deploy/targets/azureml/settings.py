"""Settings of the target `azureml` in deploy.yaml and environments.yaml."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from deploy.azure.settings import AzurePlace
from deploy.config.schema import CloudSettings, EnvModel
from deploy.config.strict_model import StrictModel, VariableName
from deploy.core.entities import Plan, Spec

# "Manage and increase quotas": 3 to 32 letters, digits and single hyphens, a letter first.
NAME_PATTERN = r"^[A-Za-z](-?[A-Za-z0-9]){2,31}$"
MAX_NAME_LENGTH = 32
# References of secret injection ("Access secrets from online deployment using secret injection"),
# without the surrounding braces. A Key Vault secret needs its version.
CONNECTION_PATTERN = (
    r"azureml://connections/[\w.-]+(/credentials/[\w.-]+|/metadata/[\w.-]+|/target)?"
)
VAULT_PATTERN = r"keyvault:https://[\w-]+\.vault\.[\w.]+/secrets/[\w-]+/\w+"
REFERENCE_PATTERN = rf"^({CONNECTION_PATTERN}|{VAULT_PATTERN})$"
# "Managed online endpoints SKU list": two cores and 8 GiB, in a series that is not being retired.
DEFAULT_INSTANCE_TYPE = "Standard_D2as_v4"


def _validate_name(value: str) -> str:
    if not re.match(NAME_PATTERN, value) or len(value) > MAX_NAME_LENGTH:
        raise ValueError(
            "3 to 32 letters, digits and single hyphens are expected, starting with a letter and "
            "not ending with a hyphen"
        )
    return value


def _validate_reference(value: str) -> str:
    if not re.match(REFERENCE_PATTERN, value):
        raise ValueError(
            "a reference is expected: azureml://connections/‹name›/credentials/‹key›, or "
            "keyvault:https://‹vault›.vault.azure.net/secrets/‹name›/‹version›"
        )
    return value


def _validate_rollout(value: list[int]) -> list[int]:
    if value != sorted(set(value)) or not value or value[0] < 1 or value[-1] != 100:
        raise ValueError("rising percentages from 1 to 100 are expected, the last of them 100")
    return value


Name = Annotated[
    str, AfterValidator(_validate_name), Field(json_schema_extra={"pattern": NAME_PATTERN})
]
Reference = Annotated[
    str,
    AfterValidator(_validate_reference),
    Field(json_schema_extra={"pattern": REFERENCE_PATTERN}),
]
Rollout = Annotated[
    list[int],
    AfterValidator(_validate_rollout),
    Field(json_schema_extra={"minItems": 1, "items": {"type": "integer", "maximum": 100}}),
]


class Env(EnvModel):
    """Variables of the container.

    `secret_refs` are fetched by the endpoint's identity when the container starts: a credential of
    a workspace connection, or a secret in a vault.
    """

    secret_refs: dict[VariableName, Reference] = Field(default_factory=dict)


class Probe(StrictModel):
    """How the service checks the container's /health: times in seconds, and thresholds."""

    initial_delay: Annotated[int, Field(ge=1, le=3600)] = 10
    period: Annotated[int, Field(ge=1, le=3600)] = 10
    timeout: Annotated[int, Field(ge=1, le=240)] = 5
    success_threshold: Annotated[int, Field(ge=1, le=30)] = 1
    failure_threshold: Annotated[int, Field(ge=1, le=240)] = 30


class Probes(StrictModel):
    """A failed liveness probe restarts a container; readiness lets requests reach it."""

    liveness: Probe = Probe()
    readiness: Probe = Probe(initial_delay=5, period=5)


class Guards(StrictModel):
    """When a rollout is rolled back: measured with the sample, `probes` times in each step."""

    error_rate: Annotated[float, Field(ge=0, le=1, strict=False, allow_inf_nan=False)] = 0.0
    p95_ms: Annotated[int, Field(ge=1)] | None = None
    probes: Annotated[int, Field(ge=1, le=1000)] = 5


class Autoscale(StrictModel):
    """The number of instances, set by Azure Monitor.

    It depends on the mean processor load (`cpu`, in percent) or on the requests per minute and
    instance (`requests`): one of the two.
    """

    min: Annotated[int, Field(ge=1, le=50)] = 1
    max: Annotated[int, Field(ge=1, le=50)]
    cpu: Annotated[int, Field(ge=2, le=99)] | None = None
    requests: Annotated[int, Field(ge=2)] | None = None

    @model_validator(mode="after")
    def _one_rule(self) -> Autoscale:
        if (self.cpu is None) == (self.requests is None):
            raise ValueError("exactly one of cpu and requests is expected")
        if self.min > self.max:
            raise ValueError("min may not be greater than max")
        return self


class Settings(CloudSettings):
    """How a flow runs on a managed online endpoint."""

    endpoint: Name | None = Field(
        None,
        description="The endpoint's name; derived from flow, environment and workspace by default.",
    )
    instance_type: Annotated[str, Field(pattern=r"^Standard_\w+$")] = Field(
        DEFAULT_INSTANCE_TYPE, examples=[DEFAULT_INSTANCE_TYPE]
    )
    instance_count: Annotated[int, Field(ge=1, le=50)] = 1
    allow_retiring: bool = Field(
        False, description="Accept an instance type that Azure is going to retire."
    )
    auth: Literal["key", "entra"] = Field("key", description="How clients authenticate.")
    rollout: Rollout = Field(
        [10, 50, 100], description="Traffic of the new version in percent, step by step."
    )
    soak: Annotated[int, Field(ge=0, le=86400)] = Field(
        60, description="Seconds for which each step of the rollout is watched."
    )
    guards: Guards = Guards()
    mirror: Annotated[int, Field(ge=0, le=50)] = Field(
        0,
        description="Percentage of requests to mirror to the new version before the rollout.",
    )
    keep_previous: Annotated[int, Field(ge=0, le=5)] = Field(
        1, description="Previous versions that keep running, at a cost, for a fast `inv rollback`."
    )
    request_timeout: Annotated[int, Field(ge=1, le=180)] = 180
    max_concurrent_requests_per_instance: Annotated[int, Field(ge=1, le=10000)] = 100
    probes: Probes = Probes()
    app_insights: bool = False
    autoscale: Autoscale | None = None
    plain_secrets: bool = Field(
        False, description="Accept secrets as plain text in the deployment's variables."
    )
    env: Env = Env()


class Place(AzurePlace):
    """The workspace, and the user-assigned identity of the endpoint."""

    workspace: Annotated[str, Field(min_length=1)]


EndpointSpec = Spec[Settings, Place]
EndpointPlan = Plan[Settings, Place]

"""Settings of the target `appservice` in deploy.yaml and environments.yaml."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from deploy.azure.settings import AzurePlace, Identity, VaultEnv
from deploy.config.schema import CloudSettings
from deploy.config.strict_model import VariableName
from deploy.core.entities import Plan, Spec

# "Naming rules and restrictions for Azure resources": Microsoft.Web/sites.
NAME_PATTERN = r"^[A-Za-z0-9]([A-Za-z0-9-]{0,58}[A-Za-z0-9])?$"
APP_PATTERN = r"^[A-Za-z0-9{}-]{2,60}$"
# The placeholder for the flow's name in the pattern of site names.
FLOW_PLACEHOLDER = "{flow}"
GUID_PATTERN = r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"
# "Azure App Service FAQ": the load balancer ends a request that is idle for this many seconds.
MAX_REQUEST_SECONDS = 230


def _validate_request_timeout(value: int) -> int:
    if not 1 <= value <= MAX_REQUEST_SECONDS:
        raise ValueError(
            f"App Service ends a request after {MAX_REQUEST_SECONDS} s: a number from 1 to "
            f"{MAX_REQUEST_SECONDS} is expected"
        )
    return value


def _validate_source(value: str) -> str:
    """Return a network in CIDR notation, or a service tag, which starts with a capital letter."""
    if re.match(r"^[A-Z][A-Za-z0-9.]+$", value):
        return value
    try:
        # The service stores a single address as a network of one address.
        return str(ipaddress.ip_network(value))
    except ValueError:
        raise ValueError(
            "a network such as 203.0.113.0/24 or a service tag such as AzureFrontDoor.Backend is "
            "expected"
        ) from None


Name = Annotated[str, Field(pattern=NAME_PATTERN)]
RequestTimeout = Annotated[
    int,
    AfterValidator(_validate_request_timeout),
    Field(json_schema_extra={"minimum": 1, "maximum": MAX_REQUEST_SECONDS}),
]
Source = Annotated[str, AfterValidator(_validate_source)]


class SiteEnv(VaultEnv):
    """Variables of the container, which are application settings of the site.

    `secret_refs` are secrets in a vault, which the site's identity reads; `sticky` names variables
    that stay with the slot when slots are swapped.
    """

    sticky: list[VariableName] = Field(default_factory=list)


class Settings(CloudSettings):
    """How a flow runs on App Service."""

    app: Name | None = Field(
        None, description="The site's name; `app` in environments.yaml by default."
    )
    auth: Literal["entra", "key", "public"] = Field(
        description="How clients authenticate; `public` accepts every client."
    )
    slot: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{2,59}$")] | None = Field(
        None, description="The slot on which a new version is verified; without it, in place."
    )
    always_on: bool = True
    request_timeout: RequestTimeout = 220
    start_time_limit: Annotated[int, Field(ge=1, le=1800)] = Field(
        230, description="Seconds within which a container must start."
    )
    allow: list[Source] = Field(
        [], description="Networks and service tags that may send requests; by default, all."
    )
    public_network: bool = Field(
        True, description="False: only reachable through a private endpoint."
    )
    plain_secrets: bool = Field(
        False, description="Accept secrets as plain text in the application settings."
    )
    env: SiteEnv = SiteEnv()


class Place(AzurePlace):
    """The location of sites, their identities, and the vault with the clients' keys."""

    app: Annotated[str, Field(pattern=APP_PATTERN)] | None = Field(
        None, description="The pattern of the sites' names; {flow} is replaced by the flow's name."
    )
    slot_identity: Identity | None = Field(
        None, description="The identity of the slot, as for `identity`."
    )
    key_vault: Annotated[str, Field(pattern=r"^https://[^/]+$")] | None = Field(
        None, description="The vault with the clients' keys for `auth: key`."
    )
    auth_client: Annotated[str, Field(pattern=GUID_PATTERN)] | None = Field(
        None, description="For `auth: entra`: the client ID of the app registration."
    )


SiteSpec = Spec[Settings, Place]
SitePlan = Plan[Settings, Place]

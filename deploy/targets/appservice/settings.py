"""What deploy.yaml and environments.yaml say for a site of App Service."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal, cast

from pydantic import AfterValidator, Field

from deploy.arm.settings import AzurePlace, Identity, VaultEnv
from deploy.model import Spec
from deploy.schema import TargetSettings, Variable

# "Naming rules and restrictions for Azure resources": Microsoft.Web/sites.
NAME = r"^[A-Za-z0-9]([A-Za-z0-9-]{0,58}[A-Za-z0-9])?$"
PATTERN = r"^[A-Za-z0-9{}-]{2,60}$"
# What stands in a pattern for the name of the flow.
FLOW = "{flow}"
GUID = r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"
# "Azure App Service FAQ": the load balancer ends a request that is idle for so long.
LONGEST_REQUEST = 230


def _request_timeout(value: int) -> int:
    if not 1 <= value <= LONGEST_REQUEST:
        raise ValueError(
            f"App Service ends a request after {LONGEST_REQUEST} s: a number from 1 to "
            f"{LONGEST_REQUEST} is expected"
        )
    return value


def _source(value: str) -> str:
    """Addresses as CIDR, or a service tag, which begins with a capital letter."""
    if re.match(r"^[A-Z][A-Za-z0-9.]+$", value):
        return value
    try:
        # The service knows a single address as a network of one.
        return str(ipaddress.ip_network(value))
    except ValueError:
        raise ValueError(
            "addresses as 203.0.113.0/24, or a service tag such as AzureFrontDoor.Backend, are "
            "expected"
        ) from None


Name = Annotated[str, Field(pattern=NAME)]
RequestTimeout = Annotated[
    int,
    AfterValidator(_request_timeout),
    Field(json_schema_extra={"minimum": 1, "maximum": LONGEST_REQUEST}),
]
Source = Annotated[str, AfterValidator(_source)]


class SiteEnv(VaultEnv):
    """Variables of the container, which are application settings of the site.

    `secret_refs` are secrets in a vault, which the site's identity reads; `sticky` names variables
    that stay with the slot when slots are swapped.
    """

    sticky: list[Variable] = Field(default_factory=list)


class Settings(TargetSettings):
    """How a flow runs on App Service."""

    app: Name | None = Field(
        None, description="The site's name; from `app` in environments.yaml without it."
    )
    auth: Literal["entra", "key", "public"] = Field(
        description="How callers are let in; `public` is everybody."
    )
    slot: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{2,59}$")] | None = Field(
        None, description="The slot that a new version is proved on; in place without it."
    )
    always_on: bool = True
    request_timeout: RequestTimeout = 220
    start_time_limit: Annotated[int, Field(ge=1, le=1800)] = Field(
        230, description="Seconds within which a container must start."
    )
    allow: list[Source] = Field(
        [], description="From where requests are let in: addresses, service tags; all without it."
    )
    public_network: bool = Field(True, description="False: reached by a private endpoint alone.")
    plain_secrets: bool = Field(
        False, description="Accept secrets as plain text in the application settings."
    )
    env: SiteEnv = SiteEnv()


class Place(AzurePlace):
    """Where sites are, which identities they have, and the vault with the callers' keys."""

    app: Annotated[str, Field(pattern=PATTERN)] | None = Field(
        None, description="The sites' names, with {flow} in the place of the flow's."
    )
    slot_identity: Identity | None = Field(None, description="The same of its slot.")
    key_vault: Annotated[str, Field(pattern=r"^https://[^/]+$")] | None = Field(
        None, description="The vault with the keys of `auth: key`."
    )
    auth_client: Annotated[str, Field(pattern=GUID)] | None = Field(
        None, description="For `auth: entra`: the app registration that callers ask tokens for."
    )


def settings_of(spec: Spec) -> Settings:
    return cast(Settings, spec.settings)


def place_of(spec: Spec) -> Place:
    return cast(Place, spec.place)

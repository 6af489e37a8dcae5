"""What a target needs of an environment's infrastructure: its attribute `infrastructure`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from deploy.config import target_registry
from deploy.core.errors import DeployError
from deploy.infra.entities import NetworkFlow, Quota, Resource, RoleAssignment
from deploy.infra.naming import NamingConvention

if TYPE_CHECKING:
    from deploy.infra.desired import DesiredState, FlowPlacement


class TargetInfrastructure:
    """The needs of one target, beside those of every environment (docs/extending.md).

    A subclass overrides what applies to its target; each default means "nothing".
    """

    # The platform in the Infrastructure Request, such as "App Service".
    title = ""
    # The file in infra/ that creates an environment with this target alone; empty for none.
    entry_point = ""
    # Keys of environments.yaml that name an existing resource, and the key of its name.
    existing_resource_keys: ClassVar[Mapping[str, str]] = {}
    # Ids of Azure's built-in roles that deploy/infra/roles.json does not have, by their names.
    role_ids: ClassVar[Mapping[str, str]] = {}
    # "Azure Private Endpoint private DNS zone values", for the public cloud.
    private_dns_zones: Sequence[str] = ()

    def build_names(self, convention: NamingConvention) -> Mapping[str, str]:
        """Return the names of the target's resources by their keys in `infra.names`."""
        return {}

    def list_resources(self, desired: DesiredState) -> Sequence[Resource]:
        """Return the target's resources, in the order of their creation."""
        return ()

    def list_private_endpoints(self, desired: DesiredState) -> Sequence[tuple[str, str]]:
        """Return resource names and the parts of them that need a private endpoint."""
        return ()

    def list_role_assignments(self, desired: DesiredState) -> Sequence[RoleAssignment]:
        """Return the roles that identities need because of the target."""
        return ()

    def list_network_flows(self, desired: DesiredState) -> Sequence[NetworkFlow]:
        """Return the network flows from and to the target, with names of the public cloud."""
        return ()

    def list_quotas(self, desired: DesiredState) -> Sequence[Quota]:
        """Return the quotas that the target needs at peak size."""
        return ()

    def list_secret_names(self, desired: DesiredState, placement: FlowPlacement) -> Sequence[str]:
        """Return secrets that the target reads for a flow, beside those of its variables."""
        return ()

    def list_questions(self, desired: DesiredState) -> Sequence[str]:
        """Return the questions that the configuration leaves open."""
        return ()

    def build_parameters(self, desired: DesiredState) -> Mapping[str, Any]:
        """Return the parameters of `entry_point` beside those that all entry points have."""
        return {}


def find_infrastructures() -> dict[str, TargetInfrastructure]:
    """Return the infrastructure of each target that has one, by the target's name.

    Raises `DeployError` for one that is not a `TargetInfrastructure`.
    """
    infrastructures = {}
    for name, target in target_registry.all_targets().items():
        infrastructure = getattr(target, "infrastructure", None)
        if infrastructure is None:
            continue
        if not isinstance(infrastructure, TargetInfrastructure):
            what = "its attribute `infrastructure` is not a TargetInfrastructure"
            hint = "derive it from deploy.infra.target.TargetInfrastructure"
            raise DeployError(f"target {name}", what, hint)
        infrastructures[name] = infrastructure
    return infrastructures

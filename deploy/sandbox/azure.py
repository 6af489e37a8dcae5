"""An Azure on this machine: Entra, Resource Manager, registries, vaults, and container platforms.

Registries store real images, and deployments and sites are real containers. Every server listens on
a free port of 127.0.0.1. The code under test does not know about the emulation: it gets environment
variables as CI would set them, and a cloud of its own in environments.yaml. Use it in pytest or in
any other program:

    with Azure(folder) as azure:
        workspace = azure.workspace("mlw-flows", azure.registry("crflows"))
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, Self

from deploy.sandbox.acr import Acr
from deploy.sandbox.acr_tokens import AUDIENCE as REGISTRY_AUDIENCE
from deploy.sandbox.appservice.provider import AppService
from deploy.sandbox.appservice.web_apps import WebApps
from deploy.sandbox.arm import ResourceManager
from deploy.sandbox.arm_autoscale import AutoscaleSettings
from deploy.sandbox.arm_roles import RoleAssignments
from deploy.sandbox.azureml.frontend import AUDIENCE as SCORING_AUDIENCE
from deploy.sandbox.azureml.provider import MachineLearning
from deploy.sandbox.azureml.workspace import Workspace
from deploy.sandbox.certificates import CertificateAuthority
from deploy.sandbox.ci_tokens import CiTokenService
from deploy.sandbox.container_platform import Services
from deploy.sandbox.containerapps.provider import ContainerApps
from deploy.sandbox.containerapps.region import Region as AppsRegion
from deploy.sandbox.engine import Engine
from deploy.sandbox.entra import Entra
from deploy.sandbox.https_server import HOST, HttpsServer
from deploy.sandbox.identities import Directory, Identity
from deploy.sandbox.image_pull import ImagePuller
from deploy.sandbox.vault import AUDIENCE as VAULT_AUDIENCE
from deploy.sandbox.vault import Vault

# Variables that would make a process use a real service or another identity.
CONFLICTING_VARIABLES = (
    "AZURE_CLIENT_SECRET",
    "AZURE_CLIENT_CERTIFICATE_PATH",
    "AZURE_USERNAME",
    "AZURE_TOKEN_CREDENTIALS",
    "IDENTITY_ENDPOINT",
    "IDENTITY_HEADER",
    "MSI_ENDPOINT",
    "ACTIONS_ID_TOKEN_REQUEST_URL",
    "SYSTEM_OIDCREQUESTURI",
)
# Lifetime of a CI job's token: long enough for a session of tests.
FEDERATED_SECONDS = 6 * 3600
# Seconds between two polls of a long-running operation.
POLL_SECONDS = 0.05


class Azure:
    """The emulated Azure. Use it as a context manager; call `reset` between tests."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.authority = CertificateAuthority.load_or_create(folder)
        # An authority that no client trusts.
        self.untrusted_authority = CertificateAuthority(folder, "Another Authority")
        self.directory = Directory(self.authority)
        self.entra = Entra(self.authority, self.directory)
        self.job_tokens = CiTokenService(self.authority, self.directory)
        self.arm = ResourceManager(self.authority, self.directory)
        self._audiences = {REGISTRY_AUDIENCE, SCORING_AUDIENCE, VAULT_AUDIENCE, *self.arm.audiences}
        self.entra.audiences = set(self._audiences)
        self.registries: dict[str, Acr] = {}
        self.vaults: dict[str, Vault] = {}
        self.engine = Engine()
        self.puller = ImagePuller(self.engine, self.authority, self.directory, self.registries)
        self._services = Services(
            self.arm, self.authority, self.directory, self.engine, self.puller, self.vaults
        )
        self._ml = MachineLearning(self.arm)
        self.web = WebApps(self._services)
        self.apps = AppsRegion(self._services)
        self.autoscale = AutoscaleSettings(self.arm)
        self._container_apps = ContainerApps(self.apps, self.authority)
        roles = RoleAssignments(self.arm, self.directory)
        self.arm.providers += [
            roles,
            self._ml,
            self.autoscale,
            AppService(self.arm, self.web),
            self._container_apps,
        ]
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            for server in self._servers:
                server.start()
                stack.callback(server.stop)
            stack.callback(self.engine.stop)
            stack.callback(self.puller.close)
            stack.callback(self.web.reset)
            stack.callback(self.apps.reset)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def _servers(self) -> tuple[HttpsServer, ...]:
        return (
            self.entra.server,
            self.job_tokens.server,
            self.arm.server,
            self._container_apps.stream,
        )

    def registry(self, name: str) -> Acr:
        """Return the registry `name`; create and start it if it does not exist."""
        if name not in self.registries:
            acr = Acr(name, self.authority, self.directory, self._folder / name)
            self._stack.callback(acr.stop)
            acr.start()
            self.arm.add(acr)
            self.registries[name] = acr
        return self.registries[name]

    def workspace(self, name: str, registry: Acr | None = None) -> Workspace:
        """Return the workspace `name` with `registry` as its own; create it if needed."""
        key = name.lower()
        region = self._ml.region
        if key not in region.workspaces:
            workspace = Workspace(name, self._services, region)
            self._stack.callback(workspace.reset)
            region.workspaces[key] = workspace
        region.workspaces[key].registry = registry
        return region.workspaces[key]

    def find_workspace(self, name: str) -> Workspace:
        """Return an existing workspace. Raise `KeyError` if there is none."""
        return self._ml.region.workspaces[name.lower()]

    def vault(self, name: str) -> Vault:
        """Return the vault `name`; create and start it if it does not exist."""
        if name not in self.vaults:
            vault = Vault(name, self.authority, self.directory, self.entra.server.url)
            self._stack.callback(vault.server.stop)
            vault.server.start()
            self.vaults[name] = vault
        return self.vaults[name]

    def application(self, name: str) -> Identity:
        """Return an application that Entra issues tokens for, as for an app that authenticates."""
        application = self.directory.add(name)
        self.entra.audiences |= {application.client_id, f"api://{application.client_id}"}
        return application

    def identity(self, name: str, **roles: list[str]) -> Identity:
        """Return a new identity; `roles` maps scopes to names of roles."""
        identity = self.directory.add(name)
        for scope, names in roles.items():
            identity.assign_roles(scope, *names)
        return identity

    def environment(self, identity: Identity) -> dict[str, str]:
        """Return the variables with which a process acts as `identity`, as a CI sign-in sets them.

        The process must not have any of the `CONFLICTING_VARIABLES`.
        """
        token = self._folder / f"{identity.client_id}.jwt"
        token.write_text(self.directory.issue_federated_token(identity, FEDERATED_SECONDS), "utf-8")
        return {
            "AZURE_CLIENT_ID": identity.client_id,
            "AZURE_TENANT_ID": self.directory.tenant,
            "AZURE_FEDERATED_TOKEN_FILE": str(token),
            **self.trust_variables,
        }

    @property
    def trust_variables(self) -> dict[str, str]:
        """The variables with which a process finds this Entra and trusts all servers."""
        return {
            "AZURE_AUTHORITY_HOST": self.entra.server.url,
            "REQUESTS_CA_BUNDLE": str(self.authority.bundle),
            "NO_PROXY": f"{HOST},localhost",
            "no_proxy": f"{HOST},localhost",
        }

    @property
    def cloud(self) -> dict[str, Any]:
        """The mapping `cloud:` for environments.yaml."""
        return {
            "resource_manager": self.arm.server.url,
            "authority": self.entra.server.url,
            "registry_suffix": ".azurecr.test",
            "vault_suffix": HOST,
            "polling": POLL_SECONDS,
        }

    def place(self, acr: Acr, folder: str = "") -> dict[str, Any]:
        """Return the entry of environments.yaml for an environment that publishes to `acr`."""
        return {
            "registry": f"{acr.login_server}/{folder}".rstrip("/"),
            "registry_login": "azure",
            "subscription": self.arm.subscription,
            "cloud": self.cloud,
        }

    def reset(self) -> None:
        """Remove faults, identities and recorded requests; keep the content of registries."""
        self._ml.region.reset()
        self.web.reset()
        self.apps.reset()
        self._container_apps.stream.reset()
        for vault in self.vaults.values():
            vault.reset()
        self.directory.clear()
        self.entra.audiences = set(self._audiences)
        self.autoscale.settings.clear()
        self.entra.reset()
        self.job_tokens.reset()
        self.arm.reset()
        for acr in self.registries.values():
            acr.reset()

    def problems(self) -> list[str]:
        """Return requests that no client should send, and errors of the emulator itself."""
        servers = list(self._servers)
        servers += [acr.server for acr in self.registries.values()]
        servers += [vault.server for vault in self.vaults.values()]
        problems = [text for server in servers for text in server.unexpected + server.failures]
        for workspace in self._ml.region.workspaces.values():
            problems += workspace.problems()
        return problems + self.web.problems() + self.apps.problems()

"""An Azure on this machine: Entra, Resource Manager, registries, vaults, and where containers run.

What registries hold is real, and so are the containers that deployments and sites are. Every server
listens on a free port of 127.0.0.1. Nothing of it is known to what is tested: that gets environment
variables, as CI would set them, and a cloud of its own in environments.yaml. Use it from pytest or from
anywhere:

    with Azure(folder) as azure:
        workspace = azure.workspace("mlw-flows", azure.registry("crflows"))
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.emulator.acr import Acr
from tests.emulator.acr_tokens import AUDIENCE as REGISTRY_AUDIENCE
from tests.emulator.apps.region import Region as AppsRegion
from tests.emulator.apps.service import ContainerApps
from tests.emulator.arm import ResourceManager
from tests.emulator.arm_autoscale import Autoscale
from tests.emulator.arm_infrastructure import Infrastructure
from tests.emulator.arm_roles import RoleAssignments
from tests.emulator.certificates import Authority
from tests.emulator.engine import Engine
from tests.emulator.entra import Entra
from tests.emulator.identities import Directory, Identity
from tests.emulator.job_tokens import JobTokens
from tests.emulator.ml.front import AUDIENCE as SCORING_AUDIENCE
from tests.emulator.ml.service import MachineLearning
from tests.emulator.ml.workspace import Workspace
from tests.emulator.pull import Puller
from tests.emulator.registry import Registry
from tests.emulator.server import HOST, Server
from tests.emulator.vault import AUDIENCE as VAULT_AUDIENCE
from tests.emulator.vault import Vault
from tests.emulator.web.apps import WebApps
from tests.emulator.web.service import AppService

# What would lead a process past us, or to somebody else's identity.
FOREIGN_VARIABLES = (
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
# Of a job's token in CI; long enough for a session of tests.
FEDERATED_SECONDS = 6 * 3600
# Seconds between two looks at a long operation.
POLLING = 0.05


class Azure:
    """The whole. Use it as a context manager; `reset` between tests."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.authority = Authority.known(folder)
        # Nobody trusts this one.
        self.stranger = Authority(folder, "Somebody Else")
        self.directory = Directory(self.authority)
        self.entra = Entra(self.authority, self.directory)
        self.job_tokens = JobTokens(self.authority, self.directory)
        self.arm = ResourceManager(self.authority, self.directory)
        self._audiences = {REGISTRY_AUDIENCE, SCORING_AUDIENCE, VAULT_AUDIENCE, *self.arm.audiences}
        self.entra.audiences = set(self._audiences)
        self.registries: dict[str, Acr] = {}
        self.engine = Engine()
        self.puller = Puller(self.engine, self.authority, self.directory, self.registries)
        self._ml = MachineLearning(self.arm)
        self.autoscale = Autoscale(self.arm)
        self.vaults: dict[str, Vault] = {}
        self.web = WebApps(
            self.arm, self.authority, self.directory, self.engine, self.puller, self.vaults
        )
        self.apps = AppsRegion(
            self.arm, self.authority, self.directory, self.engine, self.puller, self.vaults
        )
        self._container_apps = ContainerApps(self.apps, self.authority)
        roles = RoleAssignments(self.arm, self.directory)
        self.infrastructure = Infrastructure(self.arm)
        self.arm.providers += [
            self.infrastructure,
            roles,
            self._ml,
            self.autoscale,
            AppService(self.arm, self.web),
            self._container_apps,
        ]
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Azure:
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
    def _servers(self) -> tuple[Server, ...]:
        return (
            self.entra.server,
            self.job_tokens.server,
            self.arm.server,
            self._container_apps.stream,
        )

    def registry(self, name: str) -> Acr:
        """Return the registry `name`, started where it is new."""
        if name not in self.registries:
            acr = Acr(name, self.authority, self.directory, self._folder / name)
            self._stack.callback(acr.stop)
            acr.start()
            self.arm.add(acr)
            self.registries[name] = acr
        return self.registries[name]

    def workspace(self, name: str, registry: Acr | None = None) -> Workspace:
        """Return the workspace `name`, made where it is new, with `registry` as its own."""
        key = name.lower()
        region = self._ml.region
        if key not in region.workspaces:
            made = Workspace(
                name, self.arm, self.authority, self.directory, self.engine, self.puller, region
            )
            self._stack.callback(made.reset)
            region.workspaces[key] = made
        region.workspaces[key].registry = registry
        return region.workspaces[key]

    def find_workspace(self, name: str) -> Workspace:
        """Return a workspace that is there. Raises `KeyError`."""
        return self._ml.region.workspaces[name.lower()]

    def vault(self, name: str) -> Vault:
        """Return the vault `name`, started where it is new."""
        if name not in self.vaults:
            made = Vault(name, self.authority, self.directory, self.entra.server.url)
            self._stack.callback(made.server.stop)
            made.server.start()
            self.vaults[name] = made
        return self.vaults[name]

    def application(self, name: str) -> Identity:
        """Return an application whose tokens anybody gets, as an app that authenticates is one."""
        made = self.directory.add(name)
        self.entra.audiences |= {made.client_id, f"api://{made.client_id}"}
        return made

    def identity(self, name: str, **roles: list[str]) -> Identity:
        """Return a new identity; `roles` are the names of its roles, by scope."""
        made = self.directory.add(name)
        for scope, names in roles.items():
            made.give(scope, *names)
        return made

    def environment(self, identity: Identity) -> dict[str, str]:
        """Return the variables with which a process is `identity`, as the log-in of CI sets them.

        A process must not have the `FOREIGN_VARIABLES`.
        """
        token = self._folder / f"{identity.client_id}.jwt"
        token.write_text(self.directory.federated_token(identity, FEDERATED_SECONDS), "utf-8")
        return {
            "AZURE_CLIENT_ID": identity.client_id,
            "AZURE_TENANT_ID": self.directory.tenant,
            "AZURE_FEDERATED_TOKEN_FILE": str(token),
            **self.trusted,
        }

    @property
    def trusted(self) -> dict[str, str]:
        """The variables with which a process finds Entra here and trusts all servers."""
        return {
            "AZURE_AUTHORITY_HOST": self.entra.server.url,
            "REQUESTS_CA_BUNDLE": str(self.authority.bundle),
            "NO_PROXY": f"{HOST},localhost",
            "no_proxy": f"{HOST},localhost",
        }

    @property
    def cloud(self) -> dict[str, Any]:
        """The mapping `cloud:` of environments.yaml."""
        return {
            "resource_manager": self.arm.server.url,
            "authority": self.entra.server.url,
            "registry_suffix": ".azurecr.test",
            "vault_suffix": HOST,
            "polling": POLLING,
        }

    def place(self, acr: Acr, folder: str = "") -> dict[str, Any]:
        """Return what environments.yaml says of an environment that publishes to `acr`."""
        return {
            "registry": f"{acr.login_server}/{folder}".rstrip("/"),
            "registry_login": "azure",
            "subscription": self.arm.subscription,
            "cloud": self.cloud,
        }

    def reset(self) -> None:
        """Behave well from now on; forget identities, and what was seen. What is stored stays."""
        self._ml.region.reset()
        self.web.reset()
        self.apps.reset()
        self._container_apps.stream.reset()
        for vault in self.vaults.values():
            vault.reset()
        self.directory.clear()
        self.entra.audiences = set(self._audiences)
        self.autoscale.settings.clear()
        self.infrastructure.reset()
        self.entra.reset()
        self.job_tokens.reset()
        self.arm.reset()
        for acr in self.registries.values():
            acr.reset()

    def problems(self) -> list[str]:
        """Return what no client should have asked, and where the emulator itself failed."""
        servers = list(self._servers)
        servers += [acr.server for acr in self.registries.values()]
        servers += [vault.server for vault in self.vaults.values()]
        found = [text for server in servers for text in server.unexpected + server.failures]
        for workspace in self._ml.region.workspaces.values():
            found += workspace.problems()
        return found + self.web.problems() + self.apps.problems()


@contextlib.contextmanager
def plain_registry(folder: Path) -> Iterator[Registry]:
    """Run a registry without TLS, log-in and referrers API inside of the block."""
    with Registry(folder) as registry:
        yield registry

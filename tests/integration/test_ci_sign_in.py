"""Log-in as a job of CI, by its own token: the real SDK, an emulated GitHub, Azure DevOps and Entra."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from deploy.azure import clouds
from deploy.azure.clouds import REGISTRY_AUDIENCE, Cloud
from deploy.core.errors import DeployError
from deploy.sandbox.acr import Acr
from deploy.sandbox.azure import Azure
from deploy.sandbox.identities import Identity
from tests.integration.azure_fixtures import RunAs

SCOPE = f"{REGISTRY_AUDIENCE}/.default"


@pytest.fixture
def job(azure: Azure, acr: Acr) -> Identity:
    """Who may push to the registry."""
    return azure.identity("ci", crflows=["AcrPush"])


@pytest.fixture
def here(azure: Azure) -> Cloud:
    return Cloud(azure.arm.server.url, azure.entra.server.url, ".azurecr.test", 0.05)


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the job cannot log in by itself, try nothing else that takes seconds."""
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "AzureCliCredential")


def failure(here: Cloud) -> str:
    with pytest.raises(DeployError) as caught:
        clouds.get_token(here, SCOPE)
    return str(caught.value)


def test_each_sign_in_requests_a_new_token(
    azure: Azure, job: Identity, run_as: RunAs, here: Cloud
) -> None:
    # Those of Entra hold for no time at all.
    azure.entra.lifetime, azure.job_tokens.lifetime = 0, 60
    run_as(azure.job_tokens.github(job))
    for _ in range(3):
        clouds.get_token(here, SCOPE)
    assert len(azure.job_tokens.server.seen) == 3
    assert [seen.status for seen in azure.entra.server.seen] == [200] * 3


def test_a_busy_service_is_retried(azure: Azure, job: Identity, run_as: RunAs, here: Cloud) -> None:
    run_as(azure.job_tokens.github(job))
    azure.job_tokens.server.faults.answer(503, times=2)
    assert clouds.get_token(here, SCOPE)
    assert [seen.status for seen in azure.job_tokens.server.seen] == [503, 503, 200]


def test_an_unexpected_job_gets_the_claims_of_its_token(
    azure: Azure, job: Identity, run_as: RunAs, here: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = azure.job_tokens.github(job)
    run_as(variables)
    expected = job.subject
    token = azure.directory.issue_federated_token
    monkeypatch.setattr(
        azure.directory,
        "issue_federated_token",
        lambda *given, **claims: token(
            *given, **claims, sub="repo:contoso/flows:ref:refs/heads/main"
        ),
    )
    assert expected == "repo:contoso/flows:environment:prod"
    printed = failure(here)
    assert printed == (
        "Azure: no Azure log-in works: Microsoft Entra ID error '(invalid_client) AADSTS700213: No "
        "matching federated identity record found for presented assertion subject 'repo:contoso/flows:ref:refs/heads/main' and issuer "
        "'https://token.actions.githubusercontent.com'.\n"
        f"  → the identity {job.client_id} needs a federated credential with what this job's token "
        "says: issuer https://token.actions.githubusercontent.com, subject "
        "repo:contoso/flows:ref:refs/heads/main, audience api://AzureADTokenExchange "
        "(docs/ci/reports.md)"
    )
    assert variables["ACTIONS_ID_TOKEN_REQUEST_TOKEN"] not in printed


@pytest.mark.usefixtures("quickly")
@pytest.mark.parametrize(
    ("missing", "hint"),
    [
        (
            ["ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"],
            "give the job `permissions: id-token: write`",
        ),
        (
            ["AZURE_CLIENT_ID", "AZURE_TENANT_ID"],
            "set AZURE_CLIENT_ID and AZURE_TENANT_ID in the job's `env`",
        ),
    ],
)
def test_a_github_job_without_a_requirement_is_an_error(
    missing: list[str], hint: str, azure: Azure, job: Identity, run_as: RunAs, here: Cloud
) -> None:
    run_as({**azure.job_tokens.github(job), **dict.fromkeys(missing, "")})
    assert failure(here).endswith(f"\n  → {hint} (docs/ci/reports.md)")


@pytest.mark.usefixtures("quickly")
@pytest.mark.parametrize(
    ("missing", "hint"),
    [
        (
            "SYSTEM_ACCESSTOKEN",
            "map `SYSTEM_ACCESSTOKEN: $(System.AccessToken)` in the step's `env`",
        ),
        (
            "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID",
            "run the step in the task AzureCLI@2 with your service connection, or set "
            "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID, AZURESUBSCRIPTION_CLIENT_ID and "
            "AZURESUBSCRIPTION_TENANT_ID",
        ),
    ],
)
def test_an_azure_pipelines_step_without_a_requirement_is_an_error(
    missing: str, hint: str, azure: Azure, job: Identity, run_as: RunAs, here: Cloud
) -> None:
    run_as({**azure.job_tokens.azure_pipelines(job), missing: ""})
    assert failure(here).endswith(f"\n  → {hint} (docs/ci/reports.md)")


def test_a_github_job_without_a_token_is_an_error(
    azure: Azure, job: Identity, run_as: RunAs, here: Cloud
) -> None:
    run_as({**azure.job_tokens.github(job), "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "of-yesterday"})
    assert failure(here) == (
        "GitHub's token service: it gives this job no token: 401 Unauthorized\n"
        "  → does the job have `permissions: id-token: write`?"
    )


def test_another_sign_in_can_be_configured(
    azure: Azure, job: Identity, run_as: RunAs, here: Cloud
) -> None:
    chosen = {"AZURE_TOKEN_CREDENTIALS": "AzureCliCredential"}
    run_as({**azure.job_tokens.github(job), **chosen})
    assert "no identity is signed in" in failure(here)
    assert azure.job_tokens.server.seen == []


def test_a_redirect_is_not_followed(
    azure: Azure, job: Identity, run_as: RunAs, here: Cloud
) -> None:
    run_as(azure.job_tokens.github(job))
    azure.job_tokens.redirect = f"{azure.entra.server.url}/elsewhere"
    assert "it gives this job no token: 302" in failure(here)
    assert azure.entra.server.seen == []


def test_the_internet_proxy_is_used(
    azure: Azure, job: Identity, run_as: RunAs, here: Cloud
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        proxy.settimeout(30)
        url = "https://tokens.example.test/idtoken"
        address = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        variables = {"ACTIONS_ID_TOKEN_REQUEST_URL": url, "HTTPS_PROXY": address}
        run_as({**azure.job_tokens.github(job), **variables})
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(_refuse, proxy)
            printed = failure(here)
            assert asked.result().startswith(b"CONNECT tokens.example.test:443 ")
    assert printed.startswith("GitHub's token service: it cannot be reached (")


def _refuse(proxy: socket.socket) -> bytes:
    """Run a proxy that rejects all requests; return the requests."""
    connection, _ = proxy.accept()
    with connection:
        asked = connection.recv(4096)
        connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
    return asked


def test_the_request_goes_to_https_only(
    azure: Azure, job: Identity, run_as: RunAs, here: Cloud
) -> None:
    run_as({**azure.job_tokens.github(job), "ACTIONS_ID_TOKEN_REQUEST_URL": "http://127.0.0.1:9/"})
    assert failure(here) == (
        "ACTIONS_ID_TOKEN_REQUEST_URL: it is not an https address\n  → leave it as GitHub sets it"
    )


def test_a_tenant_that_is_none_is_a_readable_error(
    azure: Azure, job: Identity, run_as: RunAs, here: Cloud
) -> None:
    tenant = {"AZURESUBSCRIPTION_TENANT_ID": "contoso ltd"}
    run_as({**azure.job_tokens.azure_pipelines(job), **tenant})
    printed = failure(here)
    assert printed.startswith("AZURE_TENANT_ID: the identity of this job cannot be used: ")
    assert printed.endswith("\n  → see docs/ci/reports.md")


def test_a_token_is_for_the_cloud_that_it_is_used_in(
    azure: Azure, job: Identity, run_as: RunAs
) -> None:
    run_as(azure.job_tokens.github(job))
    china = Cloud(
        azure.arm.server.url,
        azure.entra.server.url,
        "",
        federation_audience=clouds.CLOUDS["china"].federation_audience,
    )
    assert "AADSTS700212" in failure(china)
    (asked,) = azure.job_tokens.server.seen
    assert asked.path.endswith("?api-version=2.0&audience=api%3A%2F%2FAzureADTokenExchangeChina")

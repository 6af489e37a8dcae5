"""Sign-in to registries, and clouds."""

from __future__ import annotations

from deploy.azure import clouds
from deploy.config.schema import CloudModel
from deploy.registry import login


def test_the_sign_in_follows_the_registry_name_or_the_configuration() -> None:
    public, china = clouds.CLOUDS["public"], clouds.CLOUDS["china"]
    assert isinstance(login.choose_login("x.azurecr.io", None, public), login.AzureLogin)
    assert isinstance(login.choose_login("x.azurecr.cn", None, china), login.AzureLogin)
    assert isinstance(
        login.choose_login("x.azurecr.io.evil.example", None, public), login.DockerLogin
    )
    assert isinstance(login.choose_login("x.azurecr.cn", None, public), login.DockerLogin)
    assert isinstance(login.choose_login("x.azurecr.io", "docker", public), login.DockerLogin)
    assert isinstance(login.choose_login("registry.corp", "azure", public), login.AzureLogin)


def test_credentials_do_not_show_in_a_traceback() -> None:
    known = login.Credentials("user", "hunter2hunter2", "token-of-mine")
    assert "hunter2" not in repr(known)
    assert "token-of-mine" not in repr(known)


def test_a_custom_cloud_is_described() -> None:
    model = CloudModel(resource_manager="https://management.local.example", polling=0.5)
    found = clouds.resolve_cloud(model)
    assert found.scope == "https://management.local.example/.default"
    assert (found.registry_suffix, found.polling_interval) == (".azurecr.io", 0.5)

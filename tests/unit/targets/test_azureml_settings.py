"""What may be written for the target azureml, and what is said of the rest."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from deploy.targets.azureml.settings import Place, Settings


@pytest.mark.parametrize(
    ("settings", "key", "said"),
    [
        ({"endpoint": "1faq"}, "endpoint", "starting with a letter"),
        ({"endpoint": "fa"}, "endpoint", "3 to 32 letters"),
        ({"endpoint": "f" * 33}, "endpoint", "3 to 32 letters"),
        ({"endpoint": "faq-"}, "endpoint", "not ending with a hyphen"),
        ({"endpoint": "faq--dev"}, "endpoint", "single hyphens"),
        ({"instance_type": "D2as_v4"}, "instance_type", "Standard_"),
        ({"instance_count": 0}, "instance_count", "greater than or equal to 1"),
        ({"instance_count": 51}, "instance_count", "less than or equal to 50"),
        ({"rollout": []}, "rollout", "the last of them 100"),
        ({"rollout": [50, 10, 100]}, "rollout", "rising percentages"),
        ({"rollout": [0, 100]}, "rollout", "from 1 to 100"),
        ({"rollout": [10, 50]}, "rollout", "the last of them 100"),
        ({"rollout": [10, 10, 100]}, "rollout", "rising percentages"),
        ({"mirror": 51}, "mirror", "less than or equal to 50"),
        ({"request_timeout": 181}, "request_timeout", "less than or equal to 180"),
        ({"guards": {"error_rate": 1.5}}, "guards.error_rate", "less than or equal to 1"),
        ({"guards": {"error_rate": float("nan")}}, "guards.error_rate", "finite"),
        ({"auth": "token"}, "auth", "'key' or 'entra'"),
        ({"autoscale": {"max": 3}}, "autoscale", "exactly one of cpu and requests"),
        (
            {"autoscale": {"max": 3, "cpu": 70, "requests": 9}},
            "autoscale",
            "exactly one of cpu and requests",
        ),
        (
            {"autoscale": {"min": 4, "max": 3, "cpu": 70}},
            "autoscale",
            "min may not be greater than max",
        ),
        ({"env": {"secret_refs": {"KEY": "hunter2"}}}, "env.secret_refs.KEY", "a reference is"),
        ({"env": {"secret_refs": {"key": "x"}}}, "env.secret_refs.key", "the name of an"),
        ({"colour": "blue"}, "colour", "Extra inputs"),
    ],
)
def test_invalid_settings(settings: dict[str, Any], key: str, said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate({"target": "azureml", **settings})
    errors = caught.value.errors(include_url=False)
    assert any(".".join(str(one) for one in error["loc"]).startswith(key) for error in errors)
    assert any(said in error["msg"] for error in errors)
    assert not any("hunter2" in error["msg"] for error in errors)


@pytest.mark.parametrize(
    "reference",
    [
        "azureml://connections/ai/credentials/key",
        "azureml://connections/ai/metadata/api_version",
        "azureml://connections/ai/target",
        "azureml://connections/ai",
        "keyvault:https://kv-flows.vault.azure.net/secrets/key/0123456789abcdef",
    ],
)
def test_references(reference: str) -> None:
    env = {"secret_refs": {"KEY": reference}}
    made = Settings.model_validate({"target": "azureml", "env": env})
    assert made.env.secret_refs == {"KEY": reference}


@pytest.mark.parametrize(
    "reference",
    [
        "keyvault:https://kv-flows.vault.azure.net/secrets/key",
        "keyvault:http://kv-flows.vault.azure.net/secrets/key/0123",
        "azureml://connections/",
        "${{azureml://connections/ai/credentials/key}}",
    ],
)
def test_invalid_references(reference: str) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate({"target": "azureml", "env": {"secret_refs": {"K": reference}}})


def test_a_place_needs_a_workspace_and_the_id_of_an_identity() -> None:
    whole = {"subscription": "s", "resource_group": "rg", "workspace": "mlw"}
    assert Place.model_validate(whole).workspace == "mlw"
    for missing in whole:
        with pytest.raises(ValidationError, match=missing):
            Place.model_validate({key: one for key, one in whole.items() if key != missing})
    with pytest.raises(ValidationError, match="identity"):
        Place.model_validate({**whole, "identity": "my-identity"})

"""The stand-in for models in CI."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.config import configuration
from deploy.sandbox import model_server, model_stand_in
from deploy.sandbox.model_server import ModelServer
from tests import projects
from tests.unit.ci.workflow_files import MODEL


def test_the_model_stand_in_rejects_other_connections(tmp_path: Path) -> None:
    connections = (
        "  plain: {type: open_ai, base_url: MY_URL, api_key: OTHER_KEY}\n"
        "  fixed: {type: open_ai, api_key: OTHER_KEY}\n"
    )
    made = projects.make(tmp_path, {"flows/hello/deploy.yaml": MODEL + connections})
    model = ModelServer(port=9)
    key = {"MY_KEY": model_server.KEY, "OTHER_KEY": model_server.KEY}
    assert model_stand_in.build_connection_variables(
        configuration.load_flow(made, "hello"), model
    ) == {
        "MY_ENDPOINT": "http://host.docker.internal:9",
        "MY_URL": "http://host.docker.internal:9/v1",
        **key,
    }
    search = MODEL + "  search: {type: serp, api_key: SERP}\n"
    made = projects.make(tmp_path, {"flows/hello/deploy.yaml": search})
    with pytest.raises(SystemExit) as raised:
        model_stand_in.build_connection_variables(configuration.load_flow(made, "hello"), model)
    assert raised.value.code == "hello: no stand-in for the connection search (serp)"

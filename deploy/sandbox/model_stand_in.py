"""A stand-in for a flow's models: `inv ci.try` runs it if connection variables are not set.

It prints the variables that connect flows to it as a line of JSON, and serves until its standard
input ends. It answers as `model` of the case `sample` in tests/cases.yaml says, or else as
`deploy.sandbox.model_server` does: enough for the template's flows.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from deploy.config import cases, configuration
from deploy.core.entities import Flow
from deploy.sandbox import model_server
from deploy.sandbox.model_server import ModelServer
from deploy.server.connections import CONNECTION_TYPES, is_variable_name

ROOT = Path(__file__).parents[2]
# The types of connection that the server supports, and the path in their address.
PATHS = {"azure_open_ai": "", "open_ai": "/v1"}


def build_connection_variables(flow: Flow, model: ModelServer) -> dict[str, str]:
    """Return the variables of a flow's connections. Raise `SystemExit` for unsupported ones."""
    variables: dict[str, str] = {}
    for name, declaration in flow.connections.items():
        if declaration["type"] not in PATHS:
            sys.exit(f"{flow.name}: no stand-in for the connection {name} ({declaration['type']})")
        kind = CONNECTION_TYPES[declaration["type"]]
        address = model.endpoint + PATHS[declaration["type"]]
        values = dict.fromkeys(kind.endpoint, address) | {str(kind.secret): model_server.KEY}
        variables |= {
            declaration[k]: v for k, v in values.items() if is_variable_name(declaration.get(k))
        }
    return variables


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flow", required=True)
    flow = configuration.load_flow(configuration.open_project(ROOT), parser.parse_args().flow)
    with model_server.serve() as model:
        model.answer = cases.load_cases(flow)[0].model
        print(json.dumps(build_connection_variables(flow, model)), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()

"""A stand-in for the models that a flow asks: `inv ci.try` runs it where no variable leads to one.

It prints the variables that lead to it as a line of JSON, and serves until its standard input ends.
The answers are those of `tests.model_server`: enough for the flows of this template.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from deploy import config
from deploy.model import Flow
from deploy.runtime.connections import TYPES, is_variable
from tests import model_server
from tests.model_server import ModelServer

ROOT = Path(__file__).parents[1]
# The wire that the server speaks, and the path of its address there.
PATHS = {"azure_open_ai": "", "open_ai": "/v1"}


def variables_of(flow: Flow, model: ModelServer) -> dict[str, str]:
    """Return the variables of a flow's connections. Raises `SystemExit` for what has no stand-in."""
    found: dict[str, str] = {}
    for name, declared in flow.connections.items():
        if declared["type"] not in PATHS:
            sys.exit(f"{flow.name}: no stand-in for the connection {name} ({declared['type']})")
        kind = TYPES[declared["type"]]
        address = model.endpoint + PATHS[declared["type"]]
        values = dict.fromkeys(kind.endpoint, address) | {str(kind.secret): model_server.KEY}
        found |= {declared[k]: v for k, v in values.items() if is_variable(declared.get(k))}
    return found


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flow", required=True)
    flow = config.load_flow(config.open_project(ROOT), parser.parse_args().flow)
    with model_server.serve() as model:
        print(json.dumps(variables_of(flow, model)), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()

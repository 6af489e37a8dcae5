"""Runs in the container of `pf_server`: pf's own application, with connections from a variable."""

from __future__ import annotations

import json
import os
from typing import Any

from promptflow.core._connection_provider._connection_provider import ConnectionProvider
from promptflow.core._connection_provider._dict_connection_provider import DictConnectionProvider
from promptflow.core._serving.app import create_app


def create() -> Any:
    """Return the application that pf's image serves, as gunicorn asks for it."""
    ConnectionProvider._instance = DictConnectionProvider(json.loads(os.environ["CONNECTIONS"]))
    return create_app(engine="flask")

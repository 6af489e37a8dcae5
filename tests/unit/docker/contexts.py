"""Contexts as the docker command writes them, and the error of an action."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.core.errors import DeployError


def add_context(home: Path, name: str, host: str, skip_verify: bool = False) -> Path:
    """Write a context as `docker context create` does; return the folder of its certificates."""
    identifier = hashlib.sha256(name.encode()).hexdigest()
    meta = home / "contexts/meta" / identifier / "meta.json"
    meta.parent.mkdir(parents=True)
    target = {"Host": host, "SkipTLSVerify": skip_verify}
    meta.write_text(json.dumps({"Name": name, "Metadata": {}, "Endpoints": {"docker": target}}))
    return home / "contexts/tls" / identifier / "docker"


def use(home: Path, name: str) -> None:
    (home / "config.json").write_text(json.dumps({"currentContext": name}))


def refusal(action: Callable[..., object], *arguments: object) -> str:
    with pytest.raises(DeployError) as caught:
        action(*arguments)
    return str(caught.value)

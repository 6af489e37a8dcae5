"""A kind of flow: a folder with a function.py, whose function `flow` answers a request."""

from __future__ import annotations

from pathlib import Path

from deploy.kinds.base import Kind, files_like

KIND = Kind(
    name="function",
    description="function.py",
    entries=files_like("function.py"),
    scorer="function.loading",
    code=Path(__file__).with_name("function"),
)

"""The kind `function`: a folder with a function.py, whose function `flow` answers requests."""

from __future__ import annotations

from pathlib import Path

from deploy.kinds.base import Kind, find_by_pattern

KIND = Kind(
    name="function",
    description="function.py",
    entries=find_by_pattern("function.py"),
    scorer="function.loading",
    code=Path(__file__).with_name("function"),
)

"""The kind of flow that a folder is."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy import kinds


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["flow.dag.yaml", "part.prompty"], ("dag", "flow.dag.yaml")),
        (["flow.flex.yaml", "part.prompty"], ("flex", "flow.flex.yaml")),
        (["only.prompty"], ("prompty", "only.prompty")),
    ],
)
def test_kinds(files: list[str], expected: tuple[str, str], tmp_path: Path) -> None:
    for name in files:
        (tmp_path / name).write_text("", encoding="utf-8")
    assert kinds.detect_kind(tmp_path) == expected

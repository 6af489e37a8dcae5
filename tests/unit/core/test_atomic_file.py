"""A file is written in one step, and its folder holds no drafts."""

from __future__ import annotations

from pathlib import Path

from deploy.core import atomic_file


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_text("old", encoding="utf-8")
    atomic_file.write(path, "new")
    assert path.read_text("utf-8") == "new"
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.iterdir()) == [path]


def test_a_private_file_is_never_readable_by_others(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    atomic_file.write(path, "text", mode=0o600)
    assert path.stat().st_mode & 0o777 == 0o600

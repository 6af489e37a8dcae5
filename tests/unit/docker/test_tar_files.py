"""Archives that are reproducible."""

from __future__ import annotations

import io
from pathlib import Path

from deploy.docker import tar_files


def test_archives_of_equal_content_are_equal(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("same", encoding="utf-8")
    one, two = (tar_files.pack({"it": tmp_path / name}) for name in ("one", "two"))
    assert one == two
    tar_files.unpack(io.BytesIO(one), tmp_path / "out", "packing")
    assert (tmp_path / "out/file").read_text(encoding="utf-8") == "same"

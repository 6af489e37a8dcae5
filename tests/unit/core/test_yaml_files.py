"""YAML with the line of each key."""

from __future__ import annotations

from pathlib import Path

from deploy.core import yaml_files


def test_document_knows_the_line_of_each_key(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("a: 1\nb:\n  c: x\n  d:\n  - one\n  - two\n", encoding="utf-8")
    document = yaml_files.load(path)
    assert document.data == {"a": 1, "b": {"c": "x", "d": ["one", "two"]}}
    assert [document.line(keys) for keys in (("a",), ("b", "c"), ("b", "d", 1))] == [1, 3, 6]
    assert document.line(("b", "absent")) == 2
    assert dict(document.strings()) == {("b", "c"): "x", ("b", "d", 0): "one", ("b", "d", 1): "two"}

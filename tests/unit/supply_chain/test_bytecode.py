"""Bytecode that is compared without loading it."""

from __future__ import annotations

import importlib.util
import marshal
from pathlib import Path

import pytest

from deploy.supply_chain.image_verification import bytecode
from tests.unit.supply_chain.compiled_modules import HEADER, SOURCE, compiled


@pytest.mark.parametrize("version", [2, 3, 4])
def test_the_same_code_in_other_bytes_is_the_same(version: int) -> None:
    ours, theirs = marshal.dumps(compiled()), marshal.dumps(compiled(), version)
    if version == 2:
        # Without a single reference.
        assert ours != theirs
    assert bytecode.is_same_code(HEADER + ours, HEADER + theirs)


def test_every_standard_library_module_is_equal_in_each_bytecode_form() -> None:
    for name in ("ast", "dataclasses", "decimal", "enum", "inspect", "re", "typing"):
        spec = importlib.util.find_spec(name)
        assert spec and spec.origin
        code = compile(Path(spec.origin).read_bytes(), spec.origin, "exec", dont_inherit=True)
        plain = marshal.dumps(code, 2)
        again = marshal.dumps(marshal.loads(plain))  # noqa: S302 (of this very line)
        assert bytecode.is_same_code(HEADER + plain, HEADER + again), name
        assert not bytecode.is_same_code(HEADER + plain, HEADER + marshal.dumps(compiled())), name


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("2.5", "2.25"),
        ("2.5", "2"),
        ("-0.0", "0.0"),
        ("True", "1"),
        ('b"x"', '"x"'),
        ("10**40", "-(10**40)"),
        ('"two"', '"four"'),
        ("question in", "question not in"),
        ("[deep, names]", "[names, deep]"),
        ("*, deep", "deep"),
        ("def inner", "\n    def inner"),
        ('"\\ud800"', '"\\ud801"'),
    ],
)
def test_other_code_is_not_the_same(old: str, new: str) -> None:
    source = SOURCE.replace(old, new)
    assert source != SOURCE
    ours, theirs = marshal.dumps(compiled()), marshal.dumps(compiled(source), 2)
    assert not bytecode.is_same_code(HEADER + ours, HEADER + theirs)


def test_another_header_is_not_the_same() -> None:
    code = marshal.dumps(compiled())
    assert not bytecode.is_same_code(
        HEADER + code, HEADER[:-1] + b"9" + marshal.dumps(compiled(), 2)
    )


# A tuple of a tuple of a tuple …, each twice the one before: 2^40 objects in a kilobyte.
BOMB = b"\xa9\x02NN" + b"".join(
    b"\xa9\x02r" + number.to_bytes(4, "little") + b"r" + number.to_bytes(4, "little")
    for number in range(40)
)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xee",
        b"c",
        marshal.dumps(compiled())[:-1],
        marshal.dumps(compiled()) + b"N",
        # Itself as a part, a reference to nothing, a negative length, a text beyond ASCII.
        b"\xa9\x01r\0\0\0\0",
        b"r\x05\0\0\0",
        b"s\xff\xff\xff\xff",
        b"z\x01\xff",
        # marshal gives these no number: a reader that does would take the next references wrongly.
        b"\xce",
        # Kinds that no compiler writes.
        b"[\0\0\0\0",
        b"{0",
        # As deep as it gets, as many as can be, and both.
        b")\x01" * 100_000 + b"N",
        b"(\xff\xff\xff\x7f",
        b")\x28" + BOMB,
    ],
)
def test_invalid_bytecode_is_different_and_is_not_loaded(content: bytes) -> None:
    assert not bytecode.is_same_code(HEADER + marshal.dumps(compiled()), HEADER + content)

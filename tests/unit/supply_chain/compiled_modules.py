"""Modules that are compiled here."""

from __future__ import annotations

import importlib.util
from types import CodeType

SOURCE = """
names = {"one", "two", "three"}
def answer(question, *, deep=(1, 2.5, 3j, -0.0, 10**40, b"x", None, ..., True)):
    def inner():
        return question in {"a", "ä", "\\ud800"} and [deep, names]
    return inner
"""
HEADER = importlib.util.MAGIC_NUMBER + b"\x01\0\0\0" + b"12345678"


def compiled(source: str = SOURCE) -> CodeType:
    return compile(source, "/app/flow/answer.py", "exec", dont_inherit=True)

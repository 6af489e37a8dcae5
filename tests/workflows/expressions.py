"""Expressions of both CI systems, as far as this repository's files use them; others are an error.

GitHub Docs, "Evaluate expressions in workflows and actions"; Microsoft Learn, "Expressions" (Azure
Pipelines). Names, texts, `==`, `!=`, `&&`, `||`, `!`, calls of given functions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

Functions = Mapping[str, Callable[..., Any]]
TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<sign>==|!=|&&|\|\||[!(),\[\].])|(?P<name>[\w-]+))"
)
WHOLE = re.compile(r"\$\{\{\s*((?:(?!\}\}).)+?)\s*\}\}")


def evaluate(expression: str, names: Mapping[str, Any], functions: Functions) -> Any:
    """Return the value of `expression`. Raises `KeyError` or `ValueError` for what is not known."""
    parser = _Parser(expression, names, functions)
    value = parser.either()
    if parser.rest:
        raise ValueError(f"{expression}: cannot read {parser.rest}")
    return value


def fill(value: Any, names: Mapping[str, Any], functions: Functions) -> Any:
    """Return `value` of a YAML file with every `${{ … }}` in it evaluated."""
    if isinstance(value, dict):
        return {key: fill(one, names, functions) for key, one in value.items()}
    if isinstance(value, list):
        return [fill(one, names, functions) for one in value]
    if not isinstance(value, str):
        return value
    if whole := WHOLE.fullmatch(value):
        return evaluate(whole[1], names, functions)
    return WHOLE.sub(lambda found: str(evaluate(found[1], names, functions)), value)


class _Parser:
    def __init__(self, text: str, names: Mapping[str, Any], functions: Functions) -> None:
        self.rest = _tokens(text)
        self._text, self._names, self._functions = text, names, functions

    def either(self) -> Any:
        value = self._both()
        while self._take("||"):
            other = self._both()
            value = value or other
        return value

    def _both(self) -> Any:
        value = self._compared()
        while self._take("&&"):
            other = self._compared()
            value = value and other
        return value

    def _compared(self) -> Any:
        value = self._single()
        if self._take("=="):
            return value == self._single()
        if self._take("!="):
            return value != self._single()
        return value

    def _single(self) -> Any:
        if self._take("!"):
            return not self._single()
        if self._take("("):
            value = self.either()
            self._need(")")
            return value
        token = self.rest.pop(0) if self.rest else ""
        if token.startswith("'"):
            return token[1:-1].replace("''", "'")
        if not re.fullmatch(r"[\w-]+", token):
            raise ValueError(f"{self._text}: {token!r} was not expected")
        return self._call(token) if self._take("(") else self._name(token)

    def _call(self, function: str) -> Any:
        arguments: list[Any] = []
        while not self._take(")"):
            arguments.append(self.either())
            if not self._take(","):
                self._need(")")
                break
        return self._functions[function](*arguments)

    def _name(self, name: str) -> Any:
        value = self._names[name]
        while True:
            if self._take("."):
                value = value[self.rest.pop(0)]
            elif self._take("["):
                value = value[self.either()]
                self._need("]")
            else:
                return value

    def _take(self, token: str) -> bool:
        if self.rest[:1] == [token]:
            self.rest.pop(0)
            return True
        return False

    def _need(self, token: str) -> None:
        if not self._take(token):
            raise ValueError(f"{self._text}: {token} is missing")


def _tokens(text: str) -> list[str]:
    found, at = [], 0
    while at < len(text.rstrip()):
        token = TOKEN.match(text, at)
        if token is None:
            raise ValueError(f"{text}: cannot read {text[at:]!r}")
        found.append(token[0].strip())
        at = token.end()
    return found

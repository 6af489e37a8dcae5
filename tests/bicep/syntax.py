"""A Bicep file as declarations. An expression is a tuple: its kind, and its parts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.bicep.tokens import BicepError, Token, read

# From what binds least to what binds most.
OPERATORS = (("??",), ("||",), ("&&",), ("==", "!="), (">", "<", ">=", "<="), ("+", "-"))
Expression = tuple[Any, ...]


@dataclass(frozen=True)
class Declaration:
    """A resource or a module: `type` is the resource's, with its version, or the module's file."""

    symbol: str
    type: str
    body: Expression
    existing: bool = False
    line: int = 0


@dataclass
class File:
    """What a file declares, by name; a type is its fields, or the text of what it is."""

    path: Path
    scope: str = "resourceGroup"
    using: str = ""
    imports: dict[str, str] = field(default_factory=dict)
    types: dict[str, Any] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    values: dict[str, Expression] = field(default_factory=dict)
    resources: dict[str, Declaration] = field(default_factory=dict)
    modules: dict[str, Declaration] = field(default_factory=dict)
    outputs: dict[str, Expression] = field(default_factory=dict)


def load(path: Path) -> File:
    """Return the declarations of a .bicep or .bicepparam file. Raises `BicepError`."""
    return _Parser(read(path.read_text("utf-8"), path.name), path).file()


def unknown_symbols(file: File) -> list[str]:
    """Return the names that the file uses and does not declare."""
    known = {*file.params, *file.values, *file.resources, *file.modules, *file.imports}
    bodies = [*file.values.values(), *file.outputs.values()]
    bodies += [d.body for d in (*file.resources.values(), *file.modules.values())]
    return sorted({name for body in bodies for name in _names(body, frozenset(known | {"az"}))})


def unused(file: File) -> list[str]:
    """Return the parameters and variables that nothing uses."""
    bodies = [*file.values.values(), *file.outputs.values()]
    bodies += [d.body for d in (*file.resources.values(), *file.modules.values())]
    used = {name for body in bodies for name in _names(body, frozenset())}
    return sorted({*file.params, *file.values} - used)


def _names(node: Any, known: frozenset[str]) -> Iterator[str]:
    if not isinstance(node, tuple) or not node:
        return
    if node[0] == "name":
        if node[1] not in known:
            yield node[1]
    elif node[0] == "for":
        _, item, index, many, body = node
        yield from _names(many, known)
        yield from _names(body, known | {item, index})
    else:
        for part in node:
            if isinstance(part, (tuple, list)):
                for one in part if isinstance(part, list) else [part]:
                    yield from _names(one, known)


class _Parser:
    def __init__(self, tokens: list[Token], path: Path) -> None:
        self._tokens = tokens
        self._at = 0
        self._file = File(path)

    def file(self) -> File:
        statements = {
            "targetScope": self._scope,
            "import": self._import,
            "type": self._type_declaration,
            "using": self._using,
            "param": self._param,
            "var": self._var,
            "resource": self._resource,
            "module": self._module,
            "output": self._output,
        }
        while True:
            self._lines()
            token = self._next()
            if token.kind == "end":
                return self._file
            if token.text == "@":
                self._expression()
            elif token.text in statements:
                statements[token.text]()
            else:
                raise self._wrong(token)

    def expression(self) -> Expression:
        found = self._expression()
        if self._peek().kind != "end":
            raise self._wrong(self._peek())
        return found

    # Statements

    def _scope(self) -> None:
        self._expect("=")
        self._file.scope = self._text()

    def _import(self) -> None:
        self._expect("{")
        names = []
        while not self._take("}"):
            names.append(self._word())
            self._take(",")
        if self._word() != "from":
            raise self._wrong(self._peek())
        path = self._text()
        for name in names:
            self._file.imports[name] = path

    def _using(self) -> None:
        self._file.using = self._text()

    def _type_declaration(self) -> None:
        name = self._word()
        self._expect("=")
        self._file.types[name] = self._type()

    def _param(self) -> None:
        name = self._word()
        if self._take("="):
            self._file.values[name] = self._expression()
            return
        self._file.params[name] = str(self._type())

    def _var(self) -> None:
        name = self._word()
        self._expect("=")
        self._file.values[name] = self._expression()

    def _output(self) -> None:
        name = self._word()
        self._word()
        self._expect("=")
        self._file.outputs[name] = self._expression()

    def _resource(self) -> None:
        made = self._declaration()
        self._file.resources[made.symbol] = made

    def _module(self) -> None:
        made = self._declaration()
        self._file.modules[made.symbol] = made

    def _declaration(self) -> Declaration:
        line = self._peek().line
        symbol = self._word()
        kind = self._text()
        existing = self._peek().text == "existing" and bool(self._next())
        self._expect("=")
        return Declaration(symbol, kind, self._body(), existing, line)

    def _body(self) -> Expression:
        if self._take("if"):
            self._expect("(")
            condition = self._expression()
            self._expect(")")
            return ("if", condition, self._body())
        return self._expression()

    def _type(self) -> Any:
        if not self._take("{"):
            name = self._word()
            if self._take("["):
                self._expect("]")
                name += "[]"
            return name
        fields: dict[str, Any] = {}
        while True:
            self._lines()
            if self._take("}"):
                return fields
            if self._take("@"):
                self._expression()
                continue
            name = self._word()
            self._expect(":")
            fields[name] = self._type()

    # Expressions

    def _expression(self) -> Expression:
        found = self._operation(0)
        if self._ahead("?"):
            chosen = self._expression()
            if not self._ahead(":"):
                raise self._wrong(self._peek())
            return ("choose", found, chosen, self._expression())
        return found

    def _operation(self, level: int) -> Expression:
        if level == len(OPERATORS):
            return self._unary()
        left = self._operation(level + 1)
        while self._peek().kind == "mark" and self._peek().text in OPERATORS[level]:
            sign = self._next().text
            left = ("operator", sign, left, self._operation(level + 1))
        return left

    def _unary(self) -> Expression:
        if self._take("!"):
            return ("not", self._unary())
        if self._take("-"):
            return ("minus", self._unary())
        return self._postfix(self._primary())

    def _postfix(self, found: Expression) -> Expression:
        while True:
            if self._take("."):
                name = self._word()
                if self._take("("):
                    found = ("call", name, self._arguments())
                else:
                    found = ("member", found, name)
            elif self._take("["):
                found = ("item", found, self._expression())
                self._expect("]")
            else:
                return found

    def _primary(self) -> Expression:
        token = self._next()
        if token.kind == "number":
            return ("value", int(token.text))
        if token.kind == "string":
            return self._filled(token)
        if token.kind == "word":
            if token.text in ("true", "false", "null"):
                return ("value", {"true": True, "false": False, "null": None}[token.text])
            if self._take("("):
                return ("call", token.text, self._arguments())
            return ("name", token.text)
        if token.text == "(":
            found = self._expression()
            self._expect(")")
            return found
        if token.text == "{":
            return self._object()
        if token.text == "[":
            return self._array()
        raise self._wrong(token)

    def _filled(self, token: Token) -> Expression:
        parts: list[Any] = []
        for kind, text in token.parts:
            if kind == "text":
                parts.append(("value", text))
            else:
                inner = read(text, f"{self._file.path.name}:{token.line}")
                parts.append(_Parser(inner, self._file.path).expression())
        return ("text", parts)

    def _arguments(self) -> list[Expression]:
        found: list[Expression] = []
        while True:
            self._lines()
            if self._take(")"):
                return found
            found.append(self._expression())
            self._lines()
            self._take(",")

    def _object(self) -> Expression:
        pairs: list[Expression] = []
        while True:
            self._separators()
            if self._take("}"):
                return ("object", pairs)
            token = self._next()
            key = ("value", token.text) if token.kind == "word" else self._filled(token)
            self._expect(":")
            pairs.append(("pair", key, self._expression()))
            self._ended("}")

    def _array(self) -> Expression:
        self._separators()
        if self._take("for"):
            found = self._loop()
            self._separators()
            self._expect("]")
            return found
        items: list[Expression] = []
        while not self._take("]"):
            items.append(self._expression())
            self._ended("]")
            self._separators()
        return ("array", items)

    def _loop(self) -> Expression:
        index = ""
        if self._take("("):
            item = self._word()
            self._expect(",")
            index = self._word()
            self._expect(")")
        else:
            item = self._word()
        if self._word() != "in":
            raise self._wrong(self._peek())
        many = self._expression()
        self._expect(":")
        return ("for", item, index, many, self._body())

    # Tokens

    def _peek(self) -> Token:
        return self._tokens[self._at]

    def _next(self) -> Token:
        self._at += 1
        return self._tokens[self._at - 1]

    def _take(self, text: str) -> bool:
        token = self._peek()
        if token.kind in ("mark", "word") and token.text == text:
            self._at += 1
            return True
        return False

    def _ahead(self, text: str) -> bool:
        """Take `text` even where it begins one of the next lines."""
        start = self._at
        self._lines()
        if self._take(text):
            return True
        self._at = start
        return False

    def _expect(self, text: str) -> None:
        if not self._take(text):
            raise self._wrong(self._peek(), f"{text!r} is expected")

    def _word(self) -> str:
        token = self._next()
        if token.kind != "word":
            raise self._wrong(token, "a name is expected")
        return token.text

    def _text(self) -> str:
        token = self._next()
        if token.kind != "string" or len(token.parts) != 1:
            raise self._wrong(token, "a plain string is expected")
        return str(token.parts[0][1])

    def _lines(self) -> None:
        while self._peek().kind == "newline":
            self._at += 1

    def _separators(self) -> None:
        while self._peek().kind == "newline" or self._peek().text == ",":
            self._at += 1

    def _ended(self, end: str) -> None:
        if self._peek().kind != "newline" and self._peek().text not in (",", end):
            raise self._wrong(self._peek())

    def _wrong(self, token: Token, what: str = "this is not expected") -> BicepError:
        return BicepError(f"{self._file.path.name}:{token.line}: {what}: {token.text!r}")

"""Evaluate a Bicep file: every resource, with its name and its properties.

What only Azure knows stands as a text that tells what it is: `principal of id-flows-dev-run`.
"""

from __future__ import annotations

import functools
import ipaddress
import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.bicep import syntax
from tests.bicep.syntax import Declaration, Expression, File
from tests.bicep.tokens import BicepError

SUBSCRIPTION = "11111111-1111-1111-1111-111111111111"
TENANT = "22222222-2222-2222-2222-222222222222"
SUFFIXES = {"storage": "core.windows.net", "keyvaultDns": ".vault.azure.net"}
# What Azure adds to resources of these kinds.
RUNTIME: dict[str, Callable[[str], str]] = {
    "principalId": lambda name: f"principal of {name}",
    "clientId": lambda name: f"client of {name}",
    "loginServer": lambda name: f"{name}.azurecr.io",
}


@dataclass(frozen=True)
class Made:
    """A resource: `name` has its parents' in front, `body` is all that the file says of it."""

    type: str
    version: str
    name: str
    id: str
    body: Mapping[str, Any] = field(repr=False)
    existing: bool = False
    file: str = ""
    symbol: str = ""

    @property
    def scope(self) -> str:
        """The id of what it is for, where it is an extension such as a role assignment."""
        return self.id.rpartition("/providers/")[0]


@dataclass(frozen=True)
class Module:
    """A module that was worked out."""

    outputs: Mapping[str, Any]


@dataclass(frozen=True)
class Deployment:
    """What came of a parameter file: the resources in the order of the files, and the outputs."""

    resources: tuple[Made, ...]
    outputs: Mapping[str, Any]

    def of(self, kind: str) -> list[Made]:
        """Return the resources of one type."""
        return [one for one in self.resources if one.type == kind]


def deploy(
    path: Path, parameters: Mapping[str, Any], subscription: str = SUBSCRIPTION
) -> Deployment:
    """Return what a deployment of `path` would make. Raises `BicepError`."""
    run = _Run(_load(path), parameters, f"/subscriptions/{subscription}", [])
    run.everything()
    return Deployment(tuple(one for one in run.made if not one.existing), run.outputs())


def parameters(path: Path) -> tuple[Path, dict[str, Any]]:
    """Return the entry point and the values of a parameter file."""
    file = _load(path)
    run = _Run(file, {}, "", [])
    return path.parent / file.using, {name: run.value(("name", name)) for name in file.values}


@functools.cache
def _load(path: Path) -> File:
    return syntax.load(path)


class _Run:
    def __init__(self, file: File, given: Mapping[str, Any], scope: str, made: list[Made]) -> None:
        self._file = file
        self._given = given
        self._scope = scope
        self.made = made
        self._known: dict[str, Any] = {}
        wrong = set(file.params) ^ set(given) if not file.using else set()
        if wrong:
            raise BicepError(f"{file.path.name}: parameters: {', '.join(sorted(wrong))}")

    def everything(self) -> None:
        for symbol in (*self._file.resources, *self._file.modules):
            self._declared(symbol)

    def outputs(self) -> dict[str, Any]:
        return {name: self.value(value) for name, value in self._file.outputs.items()}

    def value(self, node: Expression, local: Mapping[str, Any] | None = None) -> Any:
        local = local or {}
        kind, *parts = node
        handle = getattr(self, f"_{kind}_value", None)
        if handle is None:
            raise BicepError(f"{self._file.path.name}: {kind} is not worked out here")
        return handle(local, *parts)

    # Expressions

    def _value_value(self, local: Mapping[str, Any], value: Any) -> Any:
        return value

    def _text_value(self, local: Mapping[str, Any], parts: list[Expression]) -> str:
        return "".join(str(self.value(part, local)) for part in parts)

    def _name_value(self, local: Mapping[str, Any], name: str) -> Any:
        if name in local:
            return local[name]
        if name in self._given:
            return self._given[name]
        if name in self._file.values:
            return self.value(self._file.values[name])
        if name in self._file.resources or name in self._file.modules:
            return self._declared(name)
        raise BicepError(f"{self._file.path.name}: no symbol {name}")

    def _object_value(self, local: Mapping[str, Any], pairs: list[Expression]) -> dict[str, Any]:
        return {self.value(key, local): self.value(one, local) for _, key, one in pairs}

    def _array_value(self, local: Mapping[str, Any], items: list[Expression]) -> list[Any]:
        return [self.value(item, local) for item in items]

    def _for_value(
        self, local: Mapping[str, Any], item: str, index: str, many: Expression, body: Expression
    ) -> list[Any]:
        return [self.value(body, inner) for inner in self._each(local, item, index, many)]

    def _choose_value(self, local: Mapping[str, Any], test: Any, yes: Any, no: Any) -> Any:
        return self.value(yes if self.value(test, local) else no, local)

    def _not_value(self, local: Mapping[str, Any], inner: Expression) -> bool:
        return not self.value(inner, local)

    def _operator_value(self, local: Mapping[str, Any], sign: str, left: Any, right: Any) -> Any:
        first = self.value(left, local)
        if sign == "&&":
            return first and self.value(right, local)
        if sign == "||":
            return first or self.value(right, local)
        second = self.value(right, local)
        return (
            {"==": first == second, "!=": first != second}[sign]
            if sign in ("==", "!=")
            else (
                {
                    ">": first > second,
                    "<": first < second,
                    ">=": first >= second,
                    "<=": first <= second,
                }
            )[sign]
        )

    def _item_value(self, local: Mapping[str, Any], many: Expression, key: Expression) -> Any:
        return self.value(many, local)[self.value(key, local)]

    def _member_value(self, local: Mapping[str, Any], owner: Expression, name: str) -> Any:
        found = self.value(owner, local)
        if isinstance(found, Made):
            return _property(found, name)
        if isinstance(found, Module):
            return found.outputs
        if isinstance(found, _Properties):
            return found[name]
        return found[name]

    def _call_value(self, local: Mapping[str, Any], name: str, arguments: list[Expression]) -> Any:
        given = [self.value(one, local) for one in arguments]
        group = self._scope
        subscription = "/".join(self._scope.split("/")[:3])
        if name == "resourceGroup":
            id = f"/subscriptions/{given[0]}/resourceGroups/{given[1]}" if given else group
            return {"id": id, "name": id.rpartition("/")[2]}
        if name == "subscription":
            return {"subscriptionId": subscription.rpartition("/")[2], "id": subscription}
        if name == "resourceId":
            return f"{group}/providers/{given[0]}/{given[1]}"
        if name == "subscriptionResourceId":
            return f"{subscription}/providers/{given[0]}/{given[1]}"
        if name == "loadJsonContent":
            return json.loads((self._file.path.parent / given[0]).read_text("utf-8"))
        return FUNCTIONS[name](*given)

    # Declarations

    def _declared(self, symbol: str) -> Any:
        if symbol not in self._known:
            made = self._file.resources.get(symbol) or self._file.modules[symbol]
            self._known[symbol] = self._bodies(made, made.body, {})
        return self._known[symbol]

    def _bodies(self, made: Declaration, body: Expression, local: Mapping[str, Any]) -> Any:
        if body[0] == "for":
            _, item, index, many, inner = body
            return [self._bodies(made, inner, one) for one in self._each(local, item, index, many)]
        if body[0] == "if":
            return self._bodies(made, body[2], local) if self.value(body[1], local) else None
        if made.symbol in self._file.modules:
            return self._module(made, body, local)
        return self._resource(made, body, local)

    def _each(
        self, local: Mapping[str, Any], item: str, index: str, many: Expression
    ) -> Iterator[dict[str, Any]]:
        for number, one in enumerate(self.value(many, local)):
            yield {**local, item: one, **({index: number} if index else {})}

    def _resource(self, made: Declaration, body: Expression, local: Mapping[str, Any]) -> Made:
        pairs = {self.value(key, local): one for _, key, one in body[1]}
        name = str(self.value(pairs["name"], local))
        kind, _, version = made.type.partition("@")
        parent = self.value(pairs["parent"], local) if "parent" in pairs else None
        scope = self.value(pairs["scope"], local) if "scope" in pairs else None
        if parent:
            id = f"{parent.id}/{kind.rpartition('/')[2]}/{name}"
            name = f"{parent.name}/{name}"
        elif kind == "Microsoft.Resources/resourceGroups":
            id = f"{self._scope}/resourceGroups/{name}"
        else:
            id = f"{scope.id if scope else self._scope}/providers/{kind}/{name}"
        for one in self.value(pairs.get("dependsOn", ("array", [])), local):
            assert one is None or isinstance(one, (Made, Module, list))
        rest = {
            key: self.value(one, local)
            for key, one in pairs.items()
            if key not in ("name", "parent", "scope", "dependsOn")
        }
        found = Made(
            kind, version, name, id, rest, made.existing, self._file.path.name, made.symbol
        )
        self.made.append(found)
        return found

    def _module(self, made: Declaration, body: Expression, local: Mapping[str, Any]) -> Module:
        given = self.value(body, local)
        scope = given.get("scope")
        inner = scope["id"] if isinstance(scope, dict) else scope.id if scope else self._scope
        run = _Run(_load(self._file.path.parent / made.type), given["params"], inner, self.made)
        run.everything()
        return Module(run.outputs())


class _Properties(dict[str, Any]):
    """A resource's properties: those of the file, and those that Azure adds."""

    def __init__(self, made: Made) -> None:
        super().__init__(made.body.get("properties") or {})
        self._made = made

    def __missing__(self, name: str) -> Any:
        return RUNTIME[name](self._made.name)


def _property(made: Made, name: str) -> Any:
    plain = {"id": made.id, "type": made.type, "name": made.name.rpartition("/")[2]}
    if name == "properties":
        return _Properties(made)
    return plain[name] if name in plain else made.body[name]


def _union(*many: Any) -> Any:
    if isinstance(many[0], list):
        return list(dict.fromkeys(one for each in many for one in each))
    merged = dict(many[0])
    for one in many[1:]:
        for key, value in one.items():
            both = isinstance(value, dict) and isinstance(merged.get(key), dict)
            merged[key] = _union(merged[key], value) if both else value
    return merged


def _subnet(addresses: str, length: int, index: int) -> str:
    return str(list(ipaddress.ip_network(addresses).subnets(new_prefix=length))[index])


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "guid": lambda *parts: str(uuid.uuid5(uuid.NAMESPACE_URL, "/".join(parts))),
    "union": _union,
    "empty": lambda one: not one,
    "concat": lambda *lists: [one for each in lists for one in each],
    "length": len,
    "string": lambda one: str(one),
    "replace": lambda text, old, new: text.replace(old, new),
    "cidrSubnet": _subnet,
    "tenant": lambda: {"tenantId": TENANT},
    "environment": lambda: {"suffixes": SUFFIXES},
}

"""The decorator for all tasks."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, overload

from invoke.tasks import Task
from invoke.tasks import task as invoke_task

from deploy.cli import options
from deploy.cli.errors import handle_errors

Body = TypeVar("Body", bound=Callable[..., Any])


@overload
def task(body: Body, /) -> Task[Body]: ...


@overload
def task(
    *, name: str | None = None, help: Mapping[str, str] | None = None
) -> Callable[[Body], Task[Body]]: ...


def task(
    body: Callable[..., Any] | None = None,
    /,
    name: str | None = None,
    help: Mapping[str, str] | None = None,
) -> Any:
    """Declare an invoke task with readable errors.

    `help` describes its flags; those in `options.SHARED_HELP` need no entry.
    """

    def declare(body: Callable[..., Any]) -> Any:
        flags = [name.strip("_").replace("_", "-") for name in inspect.signature(body).parameters]
        shared = {flag: text for flag, text in options.SHARED_HELP.items() if flag in flags}
        return invoke_task(name=name, help={**shared, **(help or {})})(handle_errors(body))

    return declare if body is None else declare(body)

"""The decorator for all tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, overload

from invoke.tasks import Task
from invoke.tasks import task as invoke_task

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
    """Declare an invoke task with readable errors. `help` has a sentence for each flag."""
    if body is not None:
        return invoke_task(handle_errors(body))
    return lambda body: invoke_task(name=name, help=dict(help or {}))(handle_errors(body))

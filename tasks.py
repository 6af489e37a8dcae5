"""The table of contents: each task is a few lines in a module of `deploy/cli`.

`inv --list` imports all of them, so they import what is heavy when they run.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from invoke.collection import Collection
from invoke.tasks import Task

from deploy.cli import (
    advise,
    ci,
    delivery,
    develop,
    flows,
    import_llmops,
    infra,
    machine,
    status,
)


def _list_tasks(module: ModuleType) -> list[Task[Any]]:
    """Return the tasks that `module` declares."""
    values = vars(module).values()
    return [
        value for value in values if isinstance(value, Task) and value.__module__ == module.__name__
    ]


namespace = Collection()
for topic in (machine, flows, delivery, status, advise, develop):
    for each in _list_tasks(topic):
        namespace.add_task(each)
# Tasks with a topic in their names: `inv infra.plan`.
namespace.add_collection(Collection.from_module(ci, name="ci"))
namespace.add_collection(Collection.from_module(infra, name="infra"))
namespace.add_collection(Collection.from_module(import_llmops, name="import"))

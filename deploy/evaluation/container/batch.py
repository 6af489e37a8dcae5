"""One batch run of prompt flow: the engine that `pf run create` runs (`promptflow.batch`, 1.18.5).

`PFClient().run` puts around it a database of runs, copies of the flow and data frames; none of that
is needed for rows and metrics, and without it no package is needed that packing has not. Rows run
in threads of this process, as requests do in the server, and not in processes of their own.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import json
import os
import queue
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from promptflow._constants import LINE_TIMEOUT_SEC
from promptflow._proxy._python_executor_proxy import PythonExecutorProxy
from promptflow.batch import BatchEngine, _batch_inputs_processor
from promptflow.contracts.run_info import Status
from promptflow.core import _prompty_utils
from promptflow.core._connection_provider._connection_provider import ConnectionProvider
from promptflow.core._connection_provider._dict_connection_provider import DictConnectionProvider
from promptflow.executor._line_execution_process_pool import _exec_line
from promptflow.storage._run_storage import DummyRunStorage
from promptflow.tracing._integrations._openai_injector import inject_openai_api

from ...runtime.pf import retries

# Seconds that a row may wait in all to ask its model again: a busy model is asked again, one that
# does not answer at all not for ever.
PATIENCE = 60.0


class Rows(PythonExecutorProxy):  # type: ignore[misc]
    """Runs each row where the engine asks for it, and notes what came of it."""

    def watch(self, concurrency: int, told: Callable[[int, Mapping[str, Any]], None]) -> None:
        """Run so many rows at a time; `told` gets the number of each, and its outputs or error."""
        self._pool, self._told = ThreadPoolExecutor(concurrency), told

    async def exec_line_async(
        self, inputs: Mapping[str, Any], index: int | None = None, run_id: str | None = None
    ) -> Any:
        # What a worker process of `pf run create` does for a row. Not the executor's own
        # `exec_line_async`, which a prompty does not have in this version. Each row is a task with
        # a context of its own.
        retries.allow(PATIENCE)
        row = functools.partial(
            contextvars.copy_context().run,
            _exec_line,
            self._flow_executor,
            queue.SimpleQueue(),
            inputs=inputs,
            run_id=run_id,
            index=index,
            line_timeout_sec=LINE_TIMEOUT_SEC,
        )
        result = await asyncio.get_running_loop().run_in_executor(self._pool, row)
        if result.run_info.status == Status.Completed:
            output = result.output
            outputs = output if isinstance(output, dict) else {"output": output}
            self._told(index or 0, {"outputs": outputs})
        else:
            self._told(index or 0, {"error": _message(result.run_info.error)})
        return result


def install(connections: dict[str, dict[str, Any]]) -> None:
    """Let flows find `connections`, and the engine read rows without data frames."""
    # As the server does (deploy/runtime/pf/loading.py): the providers that promptflow would make
    # want a store on disk.
    ConnectionProvider._instance = DictConnectionProvider(connections)
    _prompty_utils.get_connection_by_name = functools.partial(_values, connections)
    _batch_inputs_processor.load_data = _load
    # Calls of models are noted, and so their tokens counted.
    inject_openai_api()


def run(
    here: Path,
    flow: Mapping[str, Any],
    sources: Mapping[str, Path],
    concurrency: int,
    say: Callable[[Mapping[str, Any]], None],
) -> dict[str, Any]:
    """Run `flow` over the rows of `sources`.

    Return its rows by number (outputs or error each), its metrics, whether it aggregates, what went
    wrong beside rows, and the tokens that it took. `say` hears of each row.
    """
    folder = here / flow["folder"]
    entry = folder / flow["entry"]
    rows: dict[int, Mapping[str, Any]] = {}

    def told(index: int, row: Mapping[str, Any]) -> None:
        rows[index] = row
        error = {"error": row["error"]} if "error" in row else {}
        say({"flow": flow["name"], "row": index, "done": len(rows), **error})

    # A flow's modules import one another by name. Those of the flow before may have the same names.
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    before = set(sys.modules)
    provider = ConnectionProvider.get_instance()
    try:
        proxy = asyncio.run(
            Rows.create(
                entry,
                folder,
                connections=provider,
                storage=DummyRunStorage(),
                init_kwargs=flow["init"],
            )
        )
        proxy.watch(concurrency, told)
        retries.install()
        engine = BatchEngine(
            entry,
            folder,
            connections=provider,
            storage=DummyRunStorage(),
            init_kwargs=flow["init"],
            worker_count=concurrency,
            batch_use_async=True,
        )
        output = here / "runs" / flow["name"]
        output.mkdir(parents=True)
        inputs = {name: str(path) for name, path in sources.items()}
        result = engine.run(inputs, flow["inputs"], output, executor_proxy=proxy)
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            _forget(name, folder)
    summary = result.error_summary
    failed = {**(summary.aggr_error_dict or {})}
    problems = [f"its node {node} failed: {_message(error)}" for node, error in failed.items()]
    if summary.batch_error_dict:
        problems.append(_message(summary.batch_error_dict))
    return {
        "rows": dict(sorted(rows.items())),
        "metrics": dict(result.metrics or {}),
        "aggregates": engine._should_exec_aggregation(),
        "problems": problems,
        "tokens": result.system_metrics.total_tokens,
    }


def _forget(name: str, folder: Path) -> None:
    """Let the next flow import its own module by this name."""
    file = getattr(sys.modules.get(name), "__file__", None)
    if file and Path(file).is_relative_to(folder):
        del sys.modules[name]


def _load(local_path: str | Path, **_: object) -> list[dict[str, Any]]:
    """Read JSON lines as they are: a data frame would fill gaps, and change types."""
    with Path(local_path).open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def _values(connections: Mapping[str, Mapping[str, Any]], name: str) -> tuple[dict[str, Any], str]:
    """Return the values of a connection, and its type in promptflow's spelling (AzureOpenAI)."""
    if name not in connections:
        raise LookupError(f"deploy.yaml declares no connection {name}, which the prompty names")
    return dict(connections[name]["value"]), connections[name]["type"].removesuffix("Connection")


def _message(error: Any) -> str:
    """Return the text of an error that promptflow has made a mapping of."""
    text = error.get("message", "") if isinstance(error, Mapping) else str(error)
    return " ".join(str(text).split()) or "it says no reason"

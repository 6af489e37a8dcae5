"""Run a flow over rows with the engine behind `pf run create` (`promptflow.batch`, 1.18.5).

`PFClient().run` adds a database of runs, copies of the flow and data frames. Rows and metrics need
none of that, and without it no package is needed that the image's packages lack. Rows run in
threads of this process, as requests do in the server, and not in processes of their own.
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

from ...server.promptflow import retries

# Total seconds that a row may spend on retries: enough for a busy model, without waiting forever
# for one that does not answer at all.
RETRY_BUDGET = 60.0


class RowExecutor(PythonExecutorProxy):  # type: ignore[misc]
    """Runs each row in a thread of this process and reports its outputs or error."""

    def configure(self, concurrency: int, on_row: Callable[[int, Mapping[str, Any]], None]) -> None:
        """Run `concurrency` rows at a time; call `on_row` with each row's number and result."""
        self._pool, self._on_row = ThreadPoolExecutor(concurrency), on_row

    async def exec_line_async(
        self, inputs: Mapping[str, Any], index: int | None = None, run_id: str | None = None
    ) -> Any:
        # What a worker process of `pf run create` does for a row. The executor's own
        # `exec_line_async` is not used, because a prompty does not have it in this version. Each
        # row is a task with a context of its own.
        retries.set_budget(RETRY_BUDGET)
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
            self._on_row(index or 0, {"outputs": outputs})
        else:
            self._on_row(index or 0, {"error": _format_error(result.run_info.error)})
        return result


def install_patches(connections: dict[str, dict[str, Any]]) -> None:
    """Make promptflow use `connections`, read rows without data frames, and count tokens."""
    # As in deploy/server/promptflow/loading.py: promptflow's own providers need a store on disk.
    ConnectionProvider._instance = DictConnectionProvider(connections)
    _prompty_utils.get_connection_by_name = functools.partial(_get_connection, connections)
    _batch_inputs_processor.load_data = _read_json_lines
    # Records model calls, from which tokens are counted.
    inject_openai_api()


def run_batch(
    work_folder: Path,
    flow: Mapping[str, Any],
    sources: Mapping[str, Path],
    concurrency: int,
    emit: Callable[[Mapping[str, Any]], None],
) -> dict[str, Any]:
    """Run `flow` over the rows of `sources`; return what `results` parses.

    That is its rows by number (outputs or error each), its metrics, whether it aggregates, its
    problems other than those of rows, and the tokens used. `emit` is called for each row that is
    done.
    """
    folder = work_folder / flow["folder"]
    entry = folder / flow["entry"]
    rows: dict[int, Mapping[str, Any]] = {}

    def report_row(index: int, row: Mapping[str, Any]) -> None:
        rows[index] = row
        error = {"error": row["error"]} if "error" in row else {}
        emit({"flow": flow["name"], "row": index, "done": len(rows), **error})

    # A flow's modules import one another by name, and the previous flow's may have the same names.
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    before = set(sys.modules)
    provider = ConnectionProvider.get_instance()
    try:
        proxy = asyncio.run(
            RowExecutor.create(
                entry,
                folder,
                connections=provider,
                storage=DummyRunStorage(),
                init_kwargs=flow["init"],
            )
        )
        proxy.configure(concurrency, report_row)
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
        output = work_folder / "runs" / flow["name"]
        output.mkdir(parents=True)
        inputs = {name: str(path) for name, path in sources.items()}
        result = engine.run(inputs, flow["inputs"], output, executor_proxy=proxy)
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            _unload_module(name, folder)
    summary = result.error_summary
    failed = {**(summary.aggr_error_dict or {})}
    problems = [f"the node {node} failed: {_format_error(error)}" for node, error in failed.items()]
    if summary.batch_error_dict:
        problems.append(_format_error(summary.batch_error_dict))
    return {
        "rows": dict(sorted(rows.items())),
        "metrics": dict(result.metrics or {}),
        "aggregates": engine._should_exec_aggregation(),
        "problems": problems,
        "tokens": result.system_metrics.total_tokens,
    }


def _unload_module(name: str, folder: Path) -> None:
    """Remove a module of this flow, so that the next flow can import its own by that name."""
    file = getattr(sys.modules.get(name), "__file__", None)
    if file and Path(file).is_relative_to(folder):
        del sys.modules[name]


def _read_json_lines(local_path: str | Path, **_: object) -> list[dict[str, Any]]:
    """Return JSON lines as they are: a data frame would fill gaps and change types."""
    with Path(local_path).open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def _get_connection(
    connections: Mapping[str, Mapping[str, Any]], name: str
) -> tuple[dict[str, Any], str]:
    """Return the values of a connection, and its type in promptflow's spelling (AzureOpenAI)."""
    if name not in connections:
        raise LookupError(
            f"the prompty uses the connection {name}, which deploy.yaml does not declare"
        )
    return dict(connections[name]["value"]), connections[name]["type"].removesuffix("Connection")


def _format_error(error: Any) -> str:
    """Return the text of an error that promptflow converted to a mapping."""
    text = error.get("message", "") if isinstance(error, Mapping) else str(error)
    return " ".join(str(text).split()) or "no reason given"

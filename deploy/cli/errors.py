"""Exit codes and readable errors of tasks."""

from __future__ import annotations

import functools
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from invoke.exceptions import Exit

from deploy.ci import provider
from deploy.core import ci_system, markdown, output
from deploy.core.errors import DeployError, Problem

Result = TypeVar("Result")
# Exit code of tasks that compare, if they find a difference.
EXIT_CODE_DIFFERENT = 2
# Tasks whose names begin with a topic; the topic is also the name of their module.
TOPICS = ("ci", "import", "infra")


def handle_errors(body: Callable[..., Result]) -> Callable[..., Result]:
    """Turn exceptions into readable errors and exit code 1; FLOW_DEBUG=1 shows the traceback."""

    @functools.wraps(body)
    def wrapped(*args: Any, **kwargs: Any) -> Result:
        ci_system.set_ci_system(provider.detect_ci_system(os.environ))
        # A CI system cancels with SIGTERM: exit by an exception so that cleanup runs.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        try:
            return body(*args, **kwargs)
        except Exit:
            raise
        except KeyboardInterrupt:
            raise Exit(
                "interrupted\n  → run the command again: it continues where it stopped", 130
            ) from None
        except Exception as error:
            if os.environ.get("FLOW_DEBUG"):
                raise
            raise _report_failure(_task_name(body), _list_problems(error)) from None
        finally:
            output.send_summary(_task_name(body))

    return wrapped


def _task_name(body: Callable[..., Any]) -> str:
    """Return a task's name as users type it: `plan`, or `infra.plan` for deploy/cli/infra.py."""
    topic = body.__module__.rpartition(".")[2].partition("_")[0]
    return f"{topic}.{body.__name__}" if topic in TOPICS else body.__name__


def _list_problems(error: Exception) -> tuple[Problem, ...]:
    if isinstance(error, DeployError):
        return error.problems
    if isinstance(error, OSError):
        return (Problem(str(error.filename or "system"), error.strerror or str(error)),)
    hint = "this is a bug in the tool; set FLOW_DEBUG=1 to see the traceback"
    return (Problem(type(error).__name__, str(error), hint),)


def _report_failure(task: str, problems: tuple[Problem, ...]) -> Exit:
    """Report each problem to the CI system; return the exit of the failed task."""
    for problem in problems:
        ci_system.annotate("error", problem)
    output.add_summary(f"inv {task} failed", markdown.problem_list(problems))
    # Escaped, as a problem may quote a container's last log lines.
    return Exit(ci_system.escape_commands("\n".join(map(str, problems))), 1)

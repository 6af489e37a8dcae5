"""Azure Pipelines: commands for its agent in the log (Microsoft Learn, "Logging commands")."""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.ci.provider.annotations import find_location
from deploy.core.ci_system import Level
from deploy.core.errors import Problem

# azure-pipelines-agent, `Command.cs`: the agent finds commands anywhere in a line.
_COMMAND_PREFIX = re.compile(r"#(?=#(?:vso)?\[)")


class AzurePipelines:
    """A step of a job in Azure Pipelines; `environ` has its predefined variables."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def output(self, name: str, value: str) -> None:
        """Set an output variable, which later jobs read by this step's name."""
        _print_command("task.setvariable", {"variable": name, "isOutput": "true"}, value)

    def summary(self, sections: Sequence[str]) -> None:
        """Write a file that the agent shows in the Extensions tab of the run."""
        with tempfile.NamedTemporaryFile(
            "w",
            encoding="utf-8",
            prefix="inv-",
            suffix=".md",
            # Not deleted here: the agent may read it after this process ends, and empties the
            # folder after the job.
            dir=self._environ.get("AGENT_TEMPDIRECTORY"),
            delete=False,
        ) as file:
            file.write("\n\n".join(section.strip() for section in sections) + "\n")
        _print_command("task.uploadsummary", {}, str(Path(file.name)))

    def annotate(self, level: Level, problem: Problem) -> None:
        """Log an issue. The page of a run shows the first ten issues of each level per step."""
        location = find_location(problem.where, self._environ.get("BUILD_SOURCESDIRECTORY"))
        properties: dict[str, str] = {"type": level}
        if location:
            properties["sourcepath"] = location.file
        if location and location.line:
            properties["linenumber"] = str(location.line)
        hint = f" → {problem.hint}" if problem.hint else ""
        _print_command("task.logissue", properties, f"{problem.where}: {problem.what}{hint}")

    def begin(self, title: str) -> str:
        """Return the command that begins a group of log lines."""
        return f"##[group]{' '.join(title.split())}"

    def end(self) -> str:
        """Return the command that ends a group."""
        return "##[endgroup]"

    def escape_commands(self, text: str) -> str:
        """Return `text` with a space inserted into each prefix of a command."""
        return _COMMAND_PREFIX.sub("# ", text)


def _print_command(name: str, properties: Mapping[str, str], text: str) -> None:
    property_text = "".join(
        f"{key}={_escape_property(value)};" for key, value in properties.items()
    )
    print(
        f"##vso[{name}{f' {property_text}' if property_text else ''}]{_escape_data(text)}",
        file=sys.stderr,
        flush=True,
    )


# azure-pipelines-agent, `CommandStringConvertor`: a percent sign has an escape of its own.
def _escape_data(text: str) -> str:
    return text.replace("%", "%AZP25").replace("\r", "%0D").replace("\n", "%0A")


def _escape_property(text: str) -> str:
    return _escape_data(text).replace(";", "%3B").replace("]", "%5D")

"""Runs this repository's workflows as GitHub Actions does, as far as they need it.

GitHub Docs, "Workflow syntax", "Contexts reference", "Variables reference". What is not known here
fails: no part of a workflow is passed over.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.workflows import expressions
from tests.workflows.world import ELSEWHERE, Job, World

FOLDER = ".github/workflows"
FUNCTIONS: dict[str, Any] = {"fromJSON": json.loads}
OUTPUT = re.compile(r"^(?P<name>\w+)<<(?P<end>\S+)\n(?P<value>.*?)\n(?P=end)$", re.M | re.S)
# Of a job, a step and a workflow that say nothing about what is run, or are checked by linters.
SILENT_JOB = {"name", "runs-on", "timeout-minutes", "concurrency", "environment", "outputs"}


class Run:
    """One run of a workflow for `event`, in which jobs hand artifacts to one another."""

    def __init__(self, world: World, commit: str, event: Mapping[str, Any]) -> None:
        self._world, self._commit = world, commit
        self._artifacts = world.folder("artifacts")
        self._id = self._artifacts.name
        self._github = {"ref": "refs/heads/main", "run_id": self._id, "run_attempt": "1"}
        self._event = event
        # Each job's end, as the page of the run shows it: success, failure or skipped.
        self.ended: dict[str, str] = {}

    def workflow(self, name: str, inputs: Mapping[str, Any] | None = None, within: str = "") -> str:
        """Run a workflow's jobs, each after those that it needs; return how they ended together."""
        path = self._world.origin / FOLDER / name
        jobs = YAML(typ="safe").load(path)["jobs"]
        given = dict(inputs or {})
        needs: dict[str, dict[str, Any]] = {}
        for key in _in_order(jobs):
            needed = jobs[key].get("needs", [])
            needed = [needed] if isinstance(needed, str) else needed
            names = {
                "github": {**self._github, "event": self._event},
                "inputs": given,
                "needs": {one: needs[one] for one in needed},
            }
            needs[key] = self._job(f"{within}{key}", jobs[key], names)
        results = {one["result"] for one in needs.values()}
        return "failure" if "failure" in results else "success"

    def _job(self, name: str, job: dict[str, Any], names: dict[str, Any]) -> dict[str, Any]:
        results = [one["result"] for one in names["needs"].values()]
        functions = {**FUNCTIONS, "failure": lambda: "failure" in results, "cancelled": bool}
        wanted = all(one == "success" for one in results)
        # A function of the status takes the place of `success()`.
        if "if" in job and (wanted or "failure()" in job["if"]):
            wanted = bool(expressions.evaluate(job["if"], names, functions))
        if not wanted:
            self.ended[name] = "skipped"
            return {"result": "skipped", "outputs": {}}
        if "uses" in job:
            self._allowed(job)
            inputs = expressions.fill(job["with"], names, FUNCTIONS)
            called = self._called(job["uses"], inputs)
            result = self.workflow(Path(job["uses"]).name, called, f"{name} / ")
            self.ended[name] = result
            return {"result": result, "outputs": {}}
        ends: list[str] = []
        outputs: dict[str, str] = {}
        for leg in _legs(job, names):
            given = {**names, "matrix": leg}
            title = f"{name} ({expressions.fill(job['name'], given, FUNCTIONS)})" if leg else name
            end, outputs = self._leg(title, job, given)
            self.ended[title] = end
            ends.append(end)
        return {"result": "failure" if "failure" in ends else "success", "outputs": outputs}

    def _allowed(self, caller: Mapping[str, Any]) -> None:
        """Fail where a called workflow's jobs ask for more than its caller has: GitHub starts none."""
        called = YAML(typ="safe").load(self._world.origin / caller["uses"])["jobs"].values()
        asked = {one for job in called for one in job["permissions"].items()}
        assert asked <= set(caller["permissions"].items()), asked

    def _called(self, uses: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the inputs of a reusable workflow, complete; unknown and missing ones fail."""
        assert uses.startswith(f"./{FOLDER}/"), uses
        declared = YAML(typ="safe").load(self._world.origin / uses)["on"]["workflow_call"]["inputs"]
        assert set(given) <= set(declared), given
        return {
            name: given[name] if about.get("required") else given.get(name, about["default"])
            for name, about in declared.items()
        }

    def _leg(
        self, title: str, job: dict[str, Any], names: dict[str, Any]
    ) -> tuple[str, dict[str, str]]:
        unknown = set(job) - SILENT_JOB - {"needs", "if", "permissions", "strategy", "env", "steps"}
        assert not unknown, unknown
        environment = expressions.fill(job.get("environment", ""), names, FUNCTIONS)
        names = {**names, "vars": self._variables(environment), "steps": {}}
        machine = self._identity(environment) if "id-token" in job["permissions"] else {}
        running = self._world.job(title, GITHUB_ACTIONS="true", **machine)
        given = expressions.fill(job.get("env", {}), names, FUNCTIONS)
        end, later = "success", []
        for step in job["steps"]:
            if "if" in step and not expressions.evaluate(step["if"], names, FUNCTIONS):
                continue
            step = {**step, "with": expressions.fill(step.get("with", {}), names, FUNCTIONS)}
            if "uses" in step:
                later += self._action(running, step)
            elif step["run"] not in ELSEWHERE:
                variables = {**given, **expressions.fill(step.get("env", {}), names, FUNCTIONS)}
                status, outputs = self._line(running, step["run"], variables)
                names["steps"][step.get("id", "")] = {"outputs": outputs}
                if status:
                    end = "failure"
                    break
        if end == "success":
            for key, path in later:
                self._world.keep(key, path)
        return end, expressions.fill(job.get("outputs", {}), names, FUNCTIONS)

    def _line(self, job: Job, line: str, variables: dict[str, str]) -> tuple[int, dict[str, str]]:
        output, summary = (job.folder / name for name in ("output", "summary"))
        output.write_text("", "utf-8")
        files = {"GITHUB_OUTPUT": str(output), "GITHUB_STEP_SUMMARY": str(summary)}
        done = self._world.line(job, line, {**variables, **files})
        told = output.read_text("utf-8")
        return done.status, {one["name"]: one["value"] for one in OUTPUT.finditer(told)}

    def _action(self, job: Job, step: dict[str, Any]) -> list[tuple[str, Path]]:
        """Do what an action does; return the caches to keep at the end."""
        given, name = step["with"], step["uses"].partition("@")[0]
        if name == "actions/checkout":
            assert given.pop("persist-credentials") is False
            self._world.checkout(job, self._commit, given.get("fetch-depth", 1))
        elif name == "actions/upload-artifact":
            (self._artifacts / given["name"]).mkdir()
            shutil.copy(job.workspace / given["path"], self._artifacts / given["name"])
        elif name == "actions/download-artifact":
            there = self._artifacts / given["name"]
            shutil.copytree(there, job.workspace / given["path"], dirs_exist_ok=True)
        elif name == "actions/cache":
            path = job.workspace / given["path"]
            self._world.restore(given["key"], given["restore-keys"], path)
            return [(given["key"], path)]
        else:
            raise ValueError(f"no such action here: {name}")
        return []

    def _variables(self, environment: str) -> dict[str, str]:
        """Return what the repository's settings have: of an environment all that the docs list."""
        developer = self._world.sandbox.environment
        of_azure = ("AZURE_CLIENT_ID", "AZURE_TENANT_ID")
        ids = {name: developer[name] if environment else "" for name in of_azure}
        return {**ids, "AZURE_SUBSCRIPTION_ID": "", "AZURE_OPENAI_ENDPOINT": ""}

    def _identity(self, environment: str) -> dict[str, str]:
        """Return what the runner sets in a job that may ask for a token."""
        azure = self._world.sandbox.azure
        found = azure.job_tokens.github(self._world.sandbox.developer)
        return {name: value for name, value in found.items() if name.startswith("ACTIONS_")}


def _in_order(jobs: Mapping[str, Any]) -> Iterator[str]:
    """Yield the jobs' keys, each after those that it needs."""
    left = list(jobs)
    while left:
        # Those that wait for nobody in the other order: what only their place guards comes to light.
        ready = [key for key in reversed(left) if not set(_needs(jobs[key])) & set(left)]
        yield from ready
        left = [key for key in left if key not in ready]


def _needs(job: Mapping[str, Any]) -> list[str]:
    found = job.get("needs", [])
    return [found] if isinstance(found, str) else found


def _legs(job: dict[str, Any], names: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the values of each copy of a job."""
    matrix = expressions.fill(job.get("strategy", {}).get("matrix", {}), names, FUNCTIONS)
    if "include" in matrix:
        assert set(matrix) == {"include"}
        # GitHub fails the job: a matrix must define one vector at least.
        assert matrix["include"]
        return list(matrix["include"])
    if not matrix:
        return [{}]
    ((name, values),) = matrix.items()
    return [{name: value} for value in values]

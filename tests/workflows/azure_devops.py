"""Runs this repository's pipelines as Azure DevOps does, as far as they need it.

Microsoft Learn, "YAML schema reference", "Template usage reference", "Expressions", "Deployment jobs",
"Use predefined variables". What is not known here fails: no part of a pipeline is passed over.
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

FOLDER = "azure-pipelines"
FUNCTIONS: dict[str, Any] = {
    "and": lambda *given: all(given),
    "not": lambda given: not given,
    "eq": lambda one, other: one == other,
    "replace": str.replace,
    "succeeded": lambda: True,
}
CONDITION = re.compile(r"\$\{\{ (?P<word>if|else)(?: (?P<expression>.+?))? \}\}")
MACRO = re.compile(r"\$\((?P<name>[\w.]+)\)")
RUNTIME = re.compile(r"\$\[ (?P<expression>.+) \]")
OUTPUT = re.compile(r"##vso\[task\.setvariable variable=(\w+);isOutput=true;?\](.*)")
SILENT_STEP = {"displayName", "name", "condition", "env", "inputs", "artifact", "fetchDepth"}


class Run:
    """One run of a pipeline, in which jobs hand artifacts to one another."""

    def __init__(self, world: World, commit: str) -> None:
        self._world, self._commit = world, commit
        self._artifacts = world.folder("artifacts")
        # Each job's end, as the page of the run shows it: success, failure or skipped.
        self.ended: dict[str, str] = {}

    def pipeline(self, name: str, **parameters: str) -> str:
        """Run a pipeline's stages and jobs in order; return how they ended together."""
        path = self._world.origin / FOLDER / name
        data = YAML(typ="safe").load(path)
        declared = {one["name"]: one for one in data.get("parameters", [])}
        for given, value in parameters.items():
            assert value in declared[given].get("values", [value])
        whole = _expand(data, _complete(declared, parameters), path.parent)
        stages = whole.get("stages") or [{"stage": "", "jobs": whole["jobs"]}]
        results: dict[str, str] = {}
        by_name, after = {one["stage"]: one for one in stages}, _after(stages)
        for key in _in_order(after):
            wanted = all(results[one] == "success" for one in after[key])
            results[key] = self._stage(by_name[key]) if wanted else "skipped"
        return "failure" if "failure" in results.values() else "success"

    def _stage(self, stage: Mapping[str, Any]) -> str:
        groups = [one["group"] for one in stage.get("variables", [])]
        results: dict[str, Any] = {}
        jobs = {job.get("job") or job["deployment"]: job for job in stage["jobs"]}
        after = {
            name: [job["dependsOn"]] if "dependsOn" in job else [] for name, job in jobs.items()
        }
        for name in _in_order(after):
            job, needed = jobs[name], after[name]
            names = {"dependencies": {one: results[one] for one in needed}}
            wanted = all(results[one]["result"] == "success" for one in needed)
            if wanted and "condition" in job:
                wanted = bool(expressions.evaluate(job["condition"], names, FUNCTIONS))
            title = f"{stage['stage']} / {name}" if stage["stage"] else name
            results[name] = (
                self._job(title, job, names, groups) if wanted else {"result": "skipped"}
            )
            self.ended.setdefault(title, results[name]["result"])
        return "failure" if "failure" in (r["result"] for r in results.values()) else "success"

    def _job(
        self, title: str, job: dict[str, Any], names: dict[str, Any], groups: list[str]
    ) -> dict[str, Any]:
        steps = (
            job["strategy"]["runOnce"]["deploy"]["steps"] if "deployment" in job else job["steps"]
        )
        if "deployment" in job:
            # azure-pipelines-tasks, issues 13420 and 21567: it finds no scope there, and fails.
            assert not any(step.get("task") == "Cache@2" for step in steps)
        matrix = {"": {}} if "deployment" in job else _matrix(job, names)
        ends: list[str] = []
        outputs: dict[str, str] = {}
        for leg, variables in matrix.items():
            name = f"{title} {leg}".strip()
            end, outputs = self._leg(name, steps, variables, groups)
            self.ended[name] = end
            ends.append(end)
        return {"result": "failure" if "failure" in ends else "success", "outputs": outputs}

    def _leg(
        self, title: str, steps: list[dict[str, Any]], given: dict[str, str], groups: list[str]
    ) -> tuple[str, dict[str, str]]:
        tokens = self._tokens()
        agent = {"TF_BUILD": "True", "SYSTEM_OIDCREQUESTURI": tokens["SYSTEM_OIDCREQUESTURI"]}
        job = self._world.job(title, **agent)
        # Of the environment's group of variables, all that the docs list.
        of_groups = {"AZURE_SUBSCRIPTION_ID": ""} if groups else {}
        variables = {
            **given,
            **of_groups,
            "System.AccessToken": tokens["SYSTEM_ACCESSTOKEN"],
            "Build.BuildId": self._artifacts.name,
            "Build.SourcesDirectory": str(job.workspace),
        }
        outputs: dict[str, str] = {}
        end = "success"
        later: list[tuple[str, Path]] = []
        for raw in steps:
            if "condition" in raw and not expressions.evaluate(
                raw["condition"], {"variables": variables}, FUNCTIONS
            ):
                continue
            step = {**raw, **{k: _macros(raw.get(k, {}), variables) for k in ("env", "inputs")}}
            line, more = self._what(job, step, tokens, later)
            if line and line not in ELSEWHERE:
                assert not MACRO.search(line), line
                done = self._world.line(job, line, {**of_groups, **step["env"], **more})
                for name, value in OUTPUT.findall(done.printed):
                    outputs[f"{step.get('name')}.{name}"] = _plain(value)
                if done.status:
                    end = "failure"
                    break
        if end == "success":
            for key, path in later:
                # azure-pipelines-tasks, issue 16276: the job fails.
                assert path.exists(), path
                self._world.keep(key, path)
        return end, outputs

    def _what(
        self, job: Job, step: dict[str, Any], tokens: Mapping[str, str], later: list[Any]
    ) -> tuple[str, Mapping[str, str]]:
        """Do what a step does; where it runs a line, return that, and variables that it adds."""
        (kind,) = set(step) - SILENT_STEP
        what, inputs = step[kind], step["inputs"]
        if kind == "checkout":
            # Pipelines that are made today fetch one commit (Microsoft Learn, "steps.checkout").
            self._world.checkout(job, self._commit, int(step.get("fetchDepth", 1)))
        elif kind == "script":
            return what, {}
        elif kind == "publish":
            shutil.copytree(job.workspace / what, self._artifacts / step["artifact"])
        elif (kind, what) == ("task", "DownloadPipelineArtifact@2"):
            there = self._artifacts / inputs["artifactName"]
            shutil.copytree(there, inputs["targetPath"], dirs_exist_ok=True)
        elif (kind, what) == ("task", "AzureCLI@2"):
            assert (inputs["scriptType"], inputs["scriptLocation"]) == ("bash", "inlineScript")
            of_task = {k: v for k, v in tokens.items() if k.startswith("AZURESUBSCRIPTION_")}
            return inputs["inlineScript"], of_task
        elif (kind, what) == ("task", "Cache@2"):
            path = job.workspace / inputs["path"]
            self._world.restore(inputs["key"], inputs["restoreKeys"], path)
            later.append((inputs["key"], path))
        elif (kind, what) != ("download", "none"):
            raise ValueError(f"no such step here: {step}")
        return "", {}

    def _tokens(self) -> dict[str, str]:
        sandbox = self._world.sandbox
        return sandbox.azure.job_tokens.azure_pipelines(sandbox.developer)


def _in_order(after: Mapping[str, list[str]]) -> Iterator[str]:
    """Yield stages or jobs, each after those that it depends on; of others the last one first."""
    left = list(after)
    while left:
        ready = [one for one in reversed(left) if not set(after[one]) & set(left)]
        yield from ready
        left = [one for one in left if one not in ready]


def _after(stages: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Return what each stage depends on: what it names, or else the one before."""
    found: dict[str, list[str]] = {}
    for stage in stages:
        named = stage.get("dependsOn", list(found)[-1:])
        found[stage["stage"]] = [named] if isinstance(named, str) else named
    return found


def _complete(declared: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a template's parameters; unknown and missing ones fail."""
    assert set(given) <= set(declared), given
    return {
        name: given[name] if name in given else about["default"] for name, about in declared.items()
    }


def _expand(value: Any, parameters: Mapping[str, Any], folder: Path) -> Any:
    """Return `value` with templates and template expressions in it worked out."""
    names = {"parameters": parameters}
    if isinstance(value, dict):
        found: dict[str, Any] = {}
        for key, one in _chosen(value.items(), names):
            inner = _expand(one, parameters, folder)
            found |= {key: inner} if key else inner
        return found
    if isinstance(value, list):
        return [one for item in value for one in _items(item, parameters, folder)]
    return expressions.fill(value, names, FUNCTIONS)


def _items(item: Any, parameters: Mapping[str, Any], folder: Path) -> list[Any]:
    """Return what stands in a list for `item`: itself, a template's content, or what is chosen."""
    if isinstance(item, dict) and "template" in item:
        path = folder / item["template"]
        data = YAML(typ="safe").load(path)
        given = _expand(item.get("parameters", {}), parameters, folder)
        (kind,) = set(data) - {"parameters"}
        declared = {one["name"]: one for one in data["parameters"]}
        inside: list[Any] = _expand(data[kind], _complete(declared, given), path.parent)
        return inside
    if isinstance(item, dict) and all(CONDITION.fullmatch(key) for key in item):
        chosen = [one for _, one in _chosen(item.items(), {"parameters": parameters})]
        return [made for one in chosen for made in _expand(one, parameters, folder)]
    return [_expand(item, parameters, folder)]


def _chosen(pairs: Any, names: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield keys and values; of `${{ if … }}` and `${{ else }}` the chosen value, without a key."""
    before = False
    for key, value in pairs:
        found = CONDITION.fullmatch(key)
        if not found:
            yield key, value
            continue
        if found["word"] == "if":
            before = bool(expressions.evaluate(found["expression"], names, FUNCTIONS))
            wanted = before
        else:
            wanted = not before
        if wanted:
            yield "", value


def _matrix(job: Mapping[str, Any], names: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Return the legs of a job by name, each with its variables."""
    if "strategy" not in job:
        return {"": {}}
    found = RUNTIME.fullmatch(job["strategy"]["matrix"])
    assert found, job["strategy"]
    legs: dict[str, dict[str, str]] = json.loads(
        expressions.evaluate(found["expression"], names, FUNCTIONS)
    )
    assert legs
    assert all(re.fullmatch(r"[A-Za-z]\w{0,99}", leg) for leg in legs)
    return legs


def _macros(given: Mapping[str, Any], variables: Mapping[str, str]) -> dict[str, str]:
    return {
        key: MACRO.sub(lambda found: variables[found["name"]], value)
        for key, value in given.items()
    }


def _plain(value: str) -> str:
    return value.replace("%0A", "\n").replace("%0D", "\r").replace("%AZP25", "%")

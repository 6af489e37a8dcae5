"""The supported CI systems: GitHub Actions and Azure Pipelines."""

from __future__ import annotations

from collections.abc import Mapping

from deploy.core.ci_system import CiSystem, NoCiSystem


def detect_ci_system(environ: Mapping[str, str]) -> CiSystem:
    """Return the CI system that runs a process with these environment variables.

    GitHub Actions always sets GITHUB_ACTIONS to true (GitHub Docs, "Variables reference"), Azure
    Pipelines sets TF_BUILD (Microsoft Learn, "Use predefined variables").
    """
    if environ.get("GITHUB_ACTIONS") == "true":
        from deploy.ci.provider.github import GitHub

        return GitHub(environ)
    if environ.get("TF_BUILD", "").lower() == "true":
        from deploy.ci.provider.azure_pipelines import AzurePipelines

        return AzurePipelines(environ)
    return NoCiSystem()

"""The only name of `promptflow._cli._utils` that promptflow-tools imports, from promptflow-core."""

from promptflow.core._utils import get_workspace_triad_from_local

__all__ = ["get_workspace_triad_from_local"]

"""The names of `promptflow._internal` that promptflow-tools imports, from promptflow-core.

The real module belongs to promptflow-devkit, which installs pandas, SQLAlchemy and other packages
that serving never uses. `promptflow` is a namespace package, so this folder extends it. If the
devkit is installed, its own module comes first on the path.
"""

from promptflow._core.cache_manager import enable_cache
from promptflow._core.tool import ToolProvider, tool
from promptflow._core.tools_manager import register_apis, register_builtins, register_connections

__all__ = [
    "ToolProvider",
    "enable_cache",
    "register_apis",
    "register_builtins",
    "register_connections",
    "tool",
]

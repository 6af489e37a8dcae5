"""The library versions that this package is tested with.

The package uses private parts of these libraries, which any release may change. With a version that
is not listed here, the OpenAI SDK sends all requests.
"""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Iterable, Mapping
from types import ModuleType

log = logging.getLogger("serve.fast_client")

# `test_it_works_with_every_version_that_is_listed` in tests/integration runs each of them.
TESTED: Mapping[str, tuple[str, ...]] = {
    "openai": ("1.109.1", "2.54.0", "3.54.0", "3.57.0"),
    # The HTTP library of openai 1 and 2, and that of openai 3, each with its connection pool.
    "httpx": ("0.28.1",),
    "httpcore": ("1.0.9",),
    "httpx2": ("2.16.2",),
    "httpcore2": ("2.16.2",),
    "httptools": ("0.9.0",),
    "pydantic": ("2.14.3", "2.14.4"),
}


def is_supported() -> bool:
    """Return whether the OpenAI SDK is loaded, and it and its libraries have tested versions.

    An untested version is reported in one line of the log.
    """
    sdk = sys.modules.get("openai")
    # The stub that replaces the SDK in the image of a flow without a model has no version.
    if sdk is None or not hasattr(sdk, "__version__"):
        return False
    untested = find_untested({name: _read_version(name) for name in _list_libraries(sdk)})
    if untested:
        message = "the OpenAI SDK sends all requests, since the fast client is not tested with %s"
        log.warning(message, "; ".join(untested))
    return not untested


def find_untested(installed: Mapping[str, str | None]) -> list[str]:
    """Describe those of the `installed` versions by library that are not tested.

    The version of a library that is not installed is None.
    """
    descriptions = []
    for library, version in installed.items():
        tested = TESTED.get(library, ())
        if version not in tested:
            name = f"{library} {version}" if version else f"a missing {library}"
            descriptions.append(f"{name} (tested: {', '.join(tested) or 'none'})")
    return descriptions


def _list_libraries(sdk: ModuleType) -> Iterable[str]:
    """Return the libraries that this package depends on, among them the SDK's HTTP library."""
    packages = [base.__module__.partition(".")[0] for base in sdk.DefaultHttpxClient.__mro__]
    http = next(package for package in packages if package != "openai")
    return "openai", http, http.replace("httpx", "httpcore"), "httptools", "pydantic"


def _read_version(library: str) -> str | None:
    try:
        module = importlib.import_module(library)
    except ModuleNotFoundError:
        return None
    return str(getattr(module, "__version__", "without a version"))

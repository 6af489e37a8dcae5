"""Faults that tests inject into a server: responses of a busy service, connections that break."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class FaultAnswer:
    """A response to send instead of the service's own."""

    status: int
    retry_after: str = ""


@dataclass
class _Fault:
    """A fault for requests that match: a response, or a cut."""

    method: re.Pattern[str]
    path: re.Pattern[str]
    # Matching requests that are served normally first.
    skip: int = 0
    times: int = 1
    answer: FaultAnswer | None = None
    # Bytes of the request's or of the response's body, after which the connection breaks.
    cut_upload: int | None = None
    cut_download: int | None = None

    def is_due(self, method: str, path: str) -> bool:
        if not (self.method.fullmatch(method) and self.path.search(path)):
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.times -= 1
        return True


class FaultInjector:
    """The faults of one server, which occur in the order in which they were added."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[_Fault] = []

    def clear(self) -> None:
        """Remove all faults."""
        with self._lock:
            self._faults.clear()

    def answer(
        self,
        status: int,
        *,
        times: int = 1,
        retry_after: str = "",
        method: str = ".*",
        path: str = "",
    ) -> None:
        """Answer the next `times` requests whose method and path match with `status`.

        `method` and `path` are regular expressions: `method` must match fully, `path` any part of
        the path with its query.
        """
        answer = FaultAnswer(status, retry_after)
        self._add(_Fault(re.compile(method), re.compile(path), times=times, answer=answer))

    def cut_upload(self, after: int, *, nth: int = 1, path: str = "/blobs/uploads/") -> None:
        """Reset the connection after `after` bytes of the `nth` request body sent to `path`."""
        self._add(_Fault(re.compile("PUT|PATCH"), re.compile(path), nth - 1, cut_upload=after))

    def cut_download(
        self, after: int, *, nth: int = 1, path: str = "/blobs/sha256:", method: str = "GET"
    ) -> None:
        """Reset the connection after `after` bytes of the `nth` response body of `path`.

        With a method other than GET, the operation is done, but the client cannot know.
        """
        self._add(_Fault(re.compile(method), re.compile(path), nth - 1, cut_download=after))

    @property
    def has_injected_all(self) -> bool:
        """Whether every fault that was added has occurred, so that a test can check it."""
        with self._lock:
            return not self._faults

    def find_answer(self, method: str, path: str) -> FaultAnswer | None:
        """Return the response to inject for a request, None for the service's own."""
        fault = self._find(method, path, lambda fault: fault.answer is not None)
        return fault.answer if fault else None

    def find_cut(self, method: str, path: str, has_body: bool) -> tuple[int | None, int | None]:
        """Return the bytes of request and response body after which to break the connection."""
        fault = self._find(
            method,
            path,
            lambda fault: fault.answer is None and (has_body or fault.cut_upload is None),
        )
        return (fault.cut_upload, fault.cut_download) if fault else (None, None)

    def _find(self, method: str, path: str, applies: Callable[[_Fault], bool]) -> _Fault | None:
        with self._lock:
            for fault in self._faults:
                if applies(fault) and fault.is_due(method, path):
                    self._faults = [other for other in self._faults if other.times > 0]
                    return fault
        return None

    def _add(self, fault: _Fault) -> None:
        with self._lock:
            self._faults.append(fault)

"""Faults that tests inject into a server: responses of a busy service, connections that break."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field


@dataclass
class FaultAnswer:
    """A response to send instead of the service's own."""

    status: int
    retry_after: str = ""


@dataclass
class _Fault:
    """A fault for requests that match."""

    method: re.Pattern[str]
    path: re.Pattern[str]
    # Matching requests that are served normally first.
    skip: int = 0
    times: int = 1

    def is_due(self, method: str, path: str) -> bool:
        if not (self.method.fullmatch(method) and self.path.search(path)):
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.times -= 1
        return True


@dataclass
class _AnswerFault(_Fault):
    answer: FaultAnswer = field(default_factory=lambda: FaultAnswer(503))


@dataclass
class _CutFault(_Fault):
    upload: bool = True
    after: int = 0


class FaultInjector:
    """The faults of one server, which occur in the order in which they were added."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._orders: list[_Fault] = []

    def clear(self) -> None:
        """Remove all faults."""
        with self._lock:
            self._orders.clear()

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
        order = _AnswerFault(
            re.compile(method),
            re.compile(path),
            times=times,
            answer=FaultAnswer(status, retry_after),
        )
        self._add(order)

    def cut_upload(self, after: int, *, nth: int = 1, path: str = "/blobs/uploads/") -> None:
        """Reset the connection after `after` bytes of the `nth` request body sent to `path`."""
        self._add(_CutFault(re.compile("PUT|PATCH"), re.compile(path), nth - 1, after=after))

    def cut_download(
        self, after: int, *, nth: int = 1, path: str = "/blobs/sha256:", method: str = "GET"
    ) -> None:
        """Reset the connection after `after` bytes of the `nth` response body of `path`.

        With a method other than GET, the operation is done, but the client cannot know.
        """
        order = _CutFault(re.compile(method), re.compile(path), nth - 1, upload=False, after=after)
        self._add(order)

    @property
    def has_injected_all(self) -> bool:
        """Whether every fault that was added has occurred, so that a test can check it."""
        with self._lock:
            return not self._orders

    def find_answer(self, method: str, path: str) -> FaultAnswer | None:
        """Return the response to inject for a request, None for the service's own."""
        with self._lock:
            for order in self._orders:
                if isinstance(order, _AnswerFault) and order.is_due(method, path):
                    self._forget_done()
                    return order.answer
        return None

    def find_cut(self, method: str, path: str, has_body: bool) -> tuple[int | None, int | None]:
        """Return the bytes of request and response body after which to break the connection."""
        with self._lock:
            for order in self._orders:
                if not isinstance(order, _CutFault) or (order.upload and not has_body):
                    continue
                if order.is_due(method, path):
                    self._forget_done()
                    return (order.after, None) if order.upload else (None, order.after)
        return None, None

    def _add(self, order: _Fault) -> None:
        with self._lock:
            self._orders.append(order)

    def _forget_done(self) -> None:
        self._orders = [order for order in self._orders if order.times > 0]

"""What a test orders to go wrong, on the wire: answers of a busy service, connections that break."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field


@dataclass
class Answer:
    """What to answer with instead of the service."""

    status: int
    retry_after: str = ""


@dataclass
class _Order:
    """One fault, for requests that match; the first `skip` of them are let through."""

    method: re.Pattern[str]
    path: re.Pattern[str]
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
class _AnswerOrder(_Order):
    answer: Answer = field(default_factory=lambda: Answer(503))


@dataclass
class _CutOrder(_Order):
    upload: bool = True
    after: int = 0


class Faults:
    """The faults of one server. Those that were ordered first are met first, each in its number."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._orders: list[_Order] = []

    def clear(self) -> None:
        """Behave well from now on."""
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

        `method` and `path` are regular expressions; the path is searched, with its query.
        """
        order = _AnswerOrder(
            re.compile(method),
            re.compile(path),
            times=times,
            answer=Answer(status, retry_after),
        )
        self._add(order)

    def cut_upload(self, after: int, *, nth: int = 1, path: str = "/blobs/uploads/") -> None:
        """Reset the connection once `after` bytes of the `nth` body sent to `path` have come."""
        self._add(_CutOrder(re.compile("PUT|PATCH"), re.compile(path), nth - 1, after=after))

    def cut_download(
        self, after: int, *, nth: int = 1, path: str = "/blobs/sha256:", method: str = "GET"
    ) -> None:
        """Reset the connection once `after` bytes of the `nth` body of `path` have been sent.

        With another method what was asked is done, and whoever asked cannot tell.
        """
        order = _CutOrder(re.compile(method), re.compile(path), nth - 1, upload=False, after=after)
        self._add(order)

    @property
    def are_met(self) -> bool:
        """Whether every fault that was ordered has happened: a test that ordered one can tell."""
        with self._lock:
            return not self._orders

    def answer_for(self, method: str, path: str) -> Answer | None:
        """Return what to answer a request with, if not the service's own answer."""
        with self._lock:
            for order in self._orders:
                if isinstance(order, _AnswerOrder) and order.is_due(method, path):
                    self._forget_done()
                    return order.answer
        return None

    def cut_for(self, method: str, path: str, has_body: bool) -> tuple[int | None, int | None]:
        """Return after how many bytes of the body, and of the answer, to break the connection."""
        with self._lock:
            for order in self._orders:
                if not isinstance(order, _CutOrder) or (order.upload and not has_body):
                    continue
                if order.is_due(method, path):
                    self._forget_done()
                    return (order.after, None) if order.upload else (None, order.after)
        return None, None

    def _add(self, order: _Order) -> None:
        with self._lock:
            self._orders.append(order)

    def _forget_done(self) -> None:
        self._orders = [order for order in self._orders if order.times > 0]

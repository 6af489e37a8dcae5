"""One format for all that is logged: lines of text, or one JSON object a line."""

from __future__ import annotations

import json
import logging
import sys
import threading
from contextvars import ContextVar
from datetime import datetime, timezone
from types import TracebackType
from typing import Any

TEXT = "text"
JSON = "json"
FORMATS = (TEXT, JSON)

# Of the request at hand; empty outside of one. Threads that are started with a copy of the
# context, as promptflow's and anyio's are, see them too.
request_id: ContextVar[str] = ContextVar("request_id", default="")
trace_id: ContextVar[str] = ContextVar("trace_id", default="")

# What a log record may bring along (`extra=`) as fields of its own.
FIELDS = ("status", "duration_ms")

# They write lines of every request, promptflow's with its inputs; uvicorn of each worker's start
# and end.
_NOISY = ("promptflow", "execution", "httpx", "httpx2", "openai", "azure", "uvicorn.error")
# Its loggers are no children of the root: made past logging.getLogger, each with its own handler.
_PROMPTFLOW = "promptflow._utils.logger_utils"
_PROMPTFLOW_LOGGERS = ("flow_logger", "bulk_logger", "logger", "service_logger")


class JsonFormatter(logging.Formatter):
    """One object a line: time, level, logger, message; more where there is more to say.

    request_id and trace_id within a request, status and duration_ms in the line of a request,
    exception with the whole traceback.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return `record` as JSON without line breaks."""
        time = datetime.fromtimestamp(record.created, timezone.utc)
        line: dict[str, Any] = {
            "time": time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name, value in (("request_id", request_id.get()), ("trace_id", trace_id.get())):
            if value:
                line[name] = value
        for name in FIELDS:
            if hasattr(record, name):
                line[name] = getattr(record, name)
        exception = record.exc_text or (record.exc_info and self.formatException(record.exc_info))
        if exception:
            line["exception"] = exception
        # Not only ASCII: what reads the log, and what masks secrets in it, finds words as they are.
        # Half a surrogate pair cannot be written, and a line must not be lost for it.
        text = json.dumps(line, ensure_ascii=False, default=str)
        return text.encode("utf-8", "replace").decode("utf-8")


def start(level: str, form: str) -> None:
    """Send all logs to standard error, from `level` on, in the format `form` (one of FORMATS)."""
    handler = logging.StreamHandler(sys.stderr)
    if form == JSON:
        handler.setFormatter(JsonFormatter())
        # Else Python writes these past the log.
        logging.captureWarnings(True)
        sys.excepthook = _log_uncaught
        threading.excepthook = lambda args: _log_uncaught(
            args.exc_type, args.exc_value or args.exc_type(), args.exc_traceback
        )
    else:
        handler.setFormatter(
            logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"),
        )
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for noisy in _NOISY:
        logging.getLogger(noisy).setLevel(max(logging.getLogger().level, logging.WARNING))
    # It repeats each failure, which is logged already.
    logging.getLogger("promptflow.invoker").setLevel(logging.CRITICAL)


def adopt() -> None:
    """Take the handlers of other libraries away, so that all ends in one format.

    To be called once the flow is loaded: promptflow makes its handlers when it is imported.
    """
    module = sys.modules.get(_PROMPTFLOW)
    own = [getattr(module, name, None) for name in _PROMPTFLOW_LOGGERS]
    for logger in (*own, *logging.getLogger().manager.loggerDict.values()):
        if not isinstance(logger, logging.Logger):
            continue
        # Of this class alone: a file handler is one by inheritance, and the flow's own affair.
        writing = [handler for handler in logger.handlers if type(handler) is logging.StreamHandler]
        for handler in writing:
            logger.removeHandler(handler)
        if writing:
            logger.propagate = True
            logger.parent = logger.parent or logging.getLogger()


def announce(line: str, form: str) -> None:
    """Print `line` for whoever started the container: at every level, in the format `form`."""
    if form == JSON:
        record = logging.LogRecord("serve", logging.INFO, "", 0, line, None, None)
        line = JsonFormatter().format(record)
    print(line, flush=True)


def _log_uncaught(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    logging.getLogger("serve").critical("uncaught", exc_info=(kind, error, trace))

"""One format for all logs: lines of text, or one JSON object for each line."""

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

# The ids of the current request; empty outside of a request. Threads that start with a copy of the
# context, such as those of promptflow and anyio, have them, too.
request_id: ContextVar[str] = ContextVar("request_id", default="")
trace_id: ContextVar[str] = ContextVar("trace_id", default="")

# Values of a log record (`extra=`) that become separate fields.
EXTRA_FIELDS = ("status", "duration_ms")

# These loggers write lines for every request, those of promptflow with its inputs. uvicorn logs the
# start and the end of each worker.
_NOISY_LOGGERS = ("promptflow", "execution", "httpx", "httpx2", "openai", "azure", "uvicorn.error")
# promptflow's loggers are not children of the root logger: they are created without
# logging.getLogger, each with its own handler.
_PROMPTFLOW = "promptflow._utils.logger_utils"
_PROMPTFLOW_LOGGERS = ("flow_logger", "bulk_logger", "logger", "service_logger")


class JsonFormatter(logging.Formatter):
    """A formatter that writes one JSON object for each line.

    Fields: time, level, logger, message; request_id and trace_id within a request; status and
    duration_ms in the log line of a request; exception with the whole traceback.
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
        for name in EXTRA_FIELDS:
            if hasattr(record, name):
                line[name] = getattr(record, name)
        exception = record.exc_text or (record.exc_info and self.formatException(record.exc_info))
        if exception:
            line["exception"] = exception
        # Without escapes, so that readers of the log, and the masking of secrets, find words as
        # they are. Half a surrogate pair is replaced: it cannot be written, and the line must not
        # be lost.
        text = json.dumps(line, ensure_ascii=False, default=str)
        return text.encode("utf-8", "replace").decode("utf-8")


def start(level: str, form: str) -> None:
    """Write all logs of `level` and above to standard error; `form` is one of FORMATS."""
    handler = logging.StreamHandler(sys.stderr)
    if form == JSON:
        handler.setFormatter(JsonFormatter())
        # Otherwise Python writes warnings and uncaught errors without the log.
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
    for noisy in _NOISY_LOGGERS:
        logging.getLogger(noisy).setLevel(max(logging.getLogger().level, logging.WARNING))
    # This logger repeats each failure, which is already logged.
    logging.getLogger("promptflow.invoker").setLevel(logging.CRITICAL)


def remove_foreign_handlers() -> None:
    """Remove the stream handlers of other libraries, so that all logs have the same format.

    Must be called after the flow is loaded, because promptflow creates its handlers when it is
    imported.
    """
    module = sys.modules.get(_PROMPTFLOW)
    promptflow_loggers = [getattr(module, name, None) for name in _PROMPTFLOW_LOGGERS]
    for logger in (*promptflow_loggers, *logging.getLogger().manager.loggerDict.values()):
        if not isinstance(logger, logging.Logger):
            continue
        # Only this class: a file handler, which is a subclass, belongs to the flow.
        handlers = [
            handler for handler in logger.handlers if type(handler) is logging.StreamHandler
        ]
        for handler in handlers:
            logger.removeHandler(handler)
        if handlers:
            logger.propagate = True
            logger.parent = logger.parent or logging.getLogger()


def announce(line: str, form: str) -> None:
    """Print `line` to standard output at every log level, in the format `form`."""
    if form == JSON:
        record = logging.LogRecord("serve", logging.INFO, "", 0, line, None, None)
        line = JsonFormatter().format(record)
    print(line, flush=True)


def _log_uncaught(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    logging.getLogger("serve").critical("uncaught", exc_info=(kind, error, trace))

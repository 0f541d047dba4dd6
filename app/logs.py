"""How the log is written: lines for people, or a JSON object a line, each with its request's id."""

import json
import logging
import time
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""Id of the request that is worked on; empty outside of requests. Set by app.web.request_ids."""

FIELDS = "veriscan_fields"


class TextFormatter(logging.Formatter):
    """One line for a person, with the request's id where there is one."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(request)s%(message)s")
        self.converter = time.gmtime
        self.default_msec_format = "%s.%03dZ"

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and the traceback below it if there is one."""
        found = request_id.get()
        record.request = f"[{found}] " if found else ""
        return super().format(record)


class JsonFormatter(logging.Formatter):
    """One JSON object a line, whatever is in the message: no line end of it forges another line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the object: time, level, logger, message, request and what was added to it."""
        at = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, Any] = {
            "time": at.isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if found := request_id.get():
            line["request_id"] = found
        line |= getattr(record, FIELDS, {})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def formatter(log_format: str) -> logging.Formatter:
    """Return what formats ``text`` or ``json``."""
    return JsonFormatter() if log_format == "json" else TextFormatter()


def configure(log_format: str, level: str) -> None:
    """Let the log of the application go to the standard error, unless a server sees to that."""
    handler = logging.StreamHandler()
    handler.setFormatter(formatter(log_format))
    logging.basicConfig(handlers=[handler])  # leaves handlers that are there as they are
    logging.getLogger("app").setLevel(level)

"""How gunicorn serves Veriscan: one process, many threads, the detectors loaded once in it.

More processes would each hold the networks and fight for the same cores, so requests wait in
threads while one engine judges. ``make run`` uses this file. Options of gunicorn that are not set
here, and any that should differ, go into gunicorn's own ``GUNICORN_CMD_ARGS``.
"""

import os
import sys
from typing import Any
from urllib.parse import quote

from gunicorn.glogging import Logger

from app.config import CANNOT_START, Settings
from app.errors import SettingError, VeriscanError
from app.logs import FIELDS, formatter

DEFAULT_PORT = 8000
REQUEST_ID = "{x-request-id}o"  # the header of the answer, as gunicorn calls it
SPARE_THREADS = 64
MOST_WAITING_THREADS = 192


def _port() -> int:
    text = os.environ.get("PORT", str(DEFAULT_PORT))
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 2**16):
        raise SettingError("PORT", f"give a whole number from 1 to 65535, not {text!r}.")
    return int(text)


# Read here as well as in wsgi.py, so that a wrong setting ends the start with one clear sentence.
try:
    _settings = Settings.from_env()
    _bind = f"127.0.0.1:{_port()}"
except SettingError as error:
    sys.stderr.write(f"Veriscan cannot start. {error}\n")
    sys.exit(CANNOT_START)


class OneLineLogger(Logger):  # type: ignore[misc]  # gunicorn has no types
    """Writes a path as it was sent: decoded, a line end in it would forge a line of the log.

    With ``VERISCAN_LOG_FORMAT=json`` each line of both logs is a JSON object.
    """

    def setup(self, cfg: Any) -> None:
        """Set up the logs."""
        super().setup(cfg)
        if _settings.log_format == "json":
            for handler in (*self.error_log.handlers, *self.access_log.handlers):
                handler.setFormatter(formatter("json"))

    def access(self, resp: Any, req: Any, environ: Any, request_time: Any) -> None:
        """Write the line of a request that was answered."""
        if _settings.log_format != "json":
            super().access(resp, req, environ, request_time)
            return
        atoms = self.atoms(resp, req, environ, request_time)
        names = {"address": "h", "method": "m", "path": "U", "status": "s", "bytes": "B", "ms": "M"}
        fields = {name: atoms[atom] for name, atom in names.items()}
        fields["request_id"] = atoms.get(REQUEST_ID, "")
        self.access_log.info("request", extra={FIELDS: fields})

    def atoms(self, resp: Any, req: Any, environ: Any, request_time: Any) -> dict[str, Any]:
        """Return what the format of the access log may name."""
        atoms: dict[str, Any] = super().atoms(resp, req, environ, request_time)
        atoms["U"] = quote(environ.get("PATH_INFO") or "", encoding="latin-1")
        return atoms


# --- what gunicorn reads --------------------------------------------------------------------

bind = _bind
workers = 1
worker_class = "gthread"
# A thread is held by each upload on its way and by each page that waits for a verdict; what is dear
# (decoding, hashing, judging) has bounds of its own, so there may be many. With more than the
# queue has places, somebody is always free to tell a client at once that it is full.
threads = SPARE_THREADS + min(_settings.queue_size, MOST_WAITING_THREADS)
# The worker gives a sign of life every second, but not while it loads weights at the start.
timeout = 120
# Enough for the scan in work to get its verdict when the server is stopped.
graceful_timeout = 30
keepalive = 5
# Signs of life are written to a file; in memory they cannot be held up by a busy disk.
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108  # in memory
# Nobody steers the running server from outside, and two servers on a machine must not meet.
control_socket_disable = True
# Whom to believe what they say of the client is one decision, VERISCAN_TRUSTED_PROXIES. Gunicorn
# would believe everybody on this machine, even a header "PATH_INFO" that replaces the path.
forwarded_allow_ips = ""
# Path without query string and referrer: neither what was typed nor where from is recorded.
accesslog = "-"
logger_class = OneLineLogger
access_log_format = f'%(h)s %(t)s "%(m)s %(U)s" %(s)s %(B)s bytes %(M)s ms %({REQUEST_ID})s'
loglevel = _settings.log_level.lower()


def post_worker_init(worker: Any) -> None:
    """Start the engine once the application is built, and tell the operator where it is."""
    services = worker.wsgi.extensions["veriscan"]
    try:
        services.start()
        has_admin = services.accounts.has_admin()
    except VeriscanError as error:
        sys.stderr.write(f"Veriscan cannot start. {error}\n")
        sys.exit(CANNOT_START)
    if not has_admin:
        worker.log.info(
            "There is no administrator yet. Make one with: "
            ".venv/bin/flask create-admin NAME --email ADDRESS"
        )
    for listener in worker.sockets:
        worker.log.info("Veriscan is ready: open %s", listener)


def worker_exit(server: Any, worker: Any) -> None:  # noqa: ARG001 (gunicorn's signature)
    """Stop the engine and store what it has finished."""
    application = getattr(worker, "wsgi", None)  # one that could not start has none
    if application is not None:
        application.extensions["veriscan"].stop()

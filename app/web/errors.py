"""What somebody sees when a request fails: a page in plain words, or problem+json for scripts."""

import errno
import logging
from dataclasses import dataclass
from time import monotonic

from flask import Flask, Response, g, json, render_template, request
from flask.typing import ResponseReturnValue
from flask_login import current_user
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import (
    BadHost,
    HTTPException,
    InternalServerError,
    SecurityError,
    default_exceptions,
)
from werkzeug.http import HTTP_STATUS_CODES

from app.errors import (
    AccountError,
    ApiQueryInvalidError,
    BusyError,
    EngineError,
    FileTooLargeError,
    LinkInvalidError,
    ModalityUnavailableError,
    NoteError,
    NotFoundError,
    QueueFullError,
    RegistrationClosedError,
    StorageError,
    TooManyAttemptsError,
    TooManyRequestsError,
    UnknownModalityError,
    UnsupportedFormatError,
    UploadError,
    VeriscanError,
)
from app.web.context import services
from app.web.filters import megabytes

API_PREFIX = "/api/"
PROBLEM_TYPE = "application/problem+json"

# The first class that fits decides.
STATUSES: tuple[tuple[type[VeriscanError], int], ...] = (
    (NotFoundError, 404),
    (FileTooLargeError, 413),
    (UnsupportedFormatError, 415),
    (UploadError, 422),
    (UnknownModalityError, 422),
    (ApiQueryInvalidError, 422),
    (NoteError, 422),
    (TooManyRequestsError, 429),
    (TooManyAttemptsError, 429),
    (RegistrationClosedError, 403),
    (LinkInvalidError, 410),
    (AccountError, 422),
    (EngineError, 503),
    (StorageError, 503),
)

# What is left of a refused body is read and thrown away up to here: a client that is still
# sending would otherwise see a broken connection in place of the reason.
DISCARD_LIMIT_BYTES = 2**30
DISCARD_LIMIT_S = 30.0
DISCARD_CHUNK_BYTES = 2**18

DISK_TROUBLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG})

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Words:
    """What an error page says."""

    title: str
    detail: str


PAGES = {
    400: Words("This request was not understood", "Go back and try again."),
    403: Words(
        "This page is not open to you",
        "If you need it, ask an administrator of this server to change your role.",
    ),
    404: Words(
        "There is nothing here",
        "The address is wrong, or what was here has been deleted, or it belongs to somebody else.",
    ),
    405: Words("This page cannot be used that way", "Go to the overview and start again."),
    413: Words("This is too much to send at once", "Choose a smaller file."),
    429: Words("Too much was asked in a short time", "Wait a minute and try again."),
    500: Words(
        "Something went wrong on our side",
        "The error was noted. Try again; if it happens again, tell the administrator and give "
        "the time.",
    ),
    503: Words("This is not possible at present", "Try again in a minute."),
}
EXPIRED = Words(
    "This form has expired",
    "It was open for too long, or you signed in or out in another window. Nothing was changed. "
    "Go back, reload the page and send it again.",
)


def init_app(app: Flask) -> None:
    """Make an application answer with these pages."""
    app.register_error_handler(CSRFError, _expired_form)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(VeriscanError, _own_error)
    app.register_error_handler(OSError, _disk_trouble)
    app.register_error_handler(Exception, _unforeseen)


def status_of(error: VeriscanError) -> int:
    """Return the HTTP status that tells this error."""
    return next((status for kind, status in STATUSES if isinstance(error, kind)), 500)


def problem(status: int, detail: str) -> Response:
    """Return an error for a script, as RFC 9457 wants it."""
    body = {"title": HTTP_STATUS_CODES[status], "status": status, "detail": detail}
    return Response(json.dumps(body), status=status, mimetype=PROBLEM_TYPE)


def refusal(error: VeriscanError) -> Response:
    """Return one of our own errors for a script, with when to try again where that is known."""
    return _with_retry_after(problem(status_of(error), str(error)), error)


def _expired_form(error: CSRFError) -> Response:
    logger.info("A form without a valid token was refused: %s", error.description)
    return _answer(400, EXPIRED)


def _http_error(error: HTTPException) -> ResponseReturnValue:
    # Without a host no address can be built, so no page either.
    if isinstance(error, BadHost | SecurityError):
        return problem(400, "The header “Host” names no server of ours.")
    status = error.code or 500
    if status < 400:  # a redirect on the way to the canonical address
        return error
    if status == 413:
        _discard_body()
    if status == 403:
        _record_refusal()
    response = _answer(status, _words_for(error, status))
    for name, value in error.get_headers(request.environ):
        if name.lower() in ("allow", "retry-after", "www-authenticate"):
            response.headers.add(name, value)
    return response


def _words_for(error: HTTPException, status: int) -> Words:
    if status == 413:
        limit = megabytes(services().settings.max_upload_bytes)
        return Words(
            PAGES[413].title,
            f"A file may have up to {limit}. Choose fewer files at once, or a zip archive of them.",
        )
    words = PAGES.get(status, Words(HTTP_STATUS_CODES.get(status, "Error"), PAGES[400].detail))
    # Werkzeug's own texts say little to a person; ours are those that a view gave to abort().
    is_ours = error.description != default_exceptions.get(status, InternalServerError).description
    return Words(words.title, error.description) if is_ours and error.description else words


def _record_refusal() -> None:
    """Record who was refused which page: once a minute, so that nobody can fill the trail."""
    token_user = g.get("token_user")
    user = token_user or (current_user.record if current_user.is_authenticated else None)
    if user is None:
        return
    allowance = services().rate_limits.refusals.take((user.id, request.endpoint))
    if allowance and not allowance.is_exceeded:
        services().audit.record("access.refused", actor=user.id, subject=request.endpoint or "")


def _own_error(error: VeriscanError) -> Response:
    status = status_of(error)
    if status >= 500 and not isinstance(error, BusyError | ModalityUnavailableError):
        logger.error("%s: %s", type(error).__name__, error)
    if status == 404 and not _is_api():
        return _answer(404, PAGES[404])
    if status == 500:
        return _answer(500, PAGES[500])
    title = PAGES.get(status, PAGES[400]).title
    if isinstance(error, QueueFullError):
        _discard_body()
    return _with_retry_after(_answer(status, Words(title, str(error))), error)


def _disk_trouble(error: OSError) -> Response:
    """Tell of a disk that takes nothing, noticed where a large upload is put away for instance."""
    if error.errno not in DISK_TROUBLE:
        return _unforeseen(error)
    return _own_error(
        StorageError(
            f"The server's disk cannot be written ({error.strerror}); nothing was kept. Tell the "
            "administrator, and try again once there is room."
        )
    )


def _with_retry_after(response: Response, error: VeriscanError) -> Response:
    if isinstance(error, BusyError | TooManyAttemptsError | TooManyRequestsError):
        response.headers["Retry-After"] = str(error.retry_after_s)
    return response


def _unforeseen(error: Exception) -> Response:
    # The path holds ids at most; a query or a body could hold what must not be logged.
    logger.error("%s %s failed", request.method, request.path, exc_info=error)
    return _answer(500, PAGES[500])


def _answer(status: int, words: Words) -> Response:
    if _is_api():
        return problem(status, words.detail)
    try:
        html = render_template("errors/error.html", status=status, words=words)
    except Exception:  # where accounts cannot be read, not even the navigation can be drawn
        logger.exception("The error page could not be drawn in full.")
        html = render_template("errors/bare.html", status=status, words=words)
    return Response(html, status)


def _is_api() -> bool:
    return request.path.startswith(API_PREFIX)


def _discard_body() -> None:
    stream = request.environ["wsgi.input"]
    left = min(request.content_length or 0, DISCARD_LIMIT_BYTES)
    deadline = monotonic() + DISCARD_LIMIT_S
    while left > 0 and monotonic() < deadline:
        chunk = stream.read(min(left, DISCARD_CHUNK_BYTES))
        if not chunk:
            break
        left -= len(chunk)

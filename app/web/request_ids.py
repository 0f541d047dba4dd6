"""Gives each request an id, by which its lines in all logs on its way are found."""

import re
from uuid import uuid4

from flask import Flask, Response, request

from app.logs import request_id

HEADER = "X-Request-ID"
WELL_FORMED = re.compile(r"[A-Za-z0-9._-]{8,64}")


def init_app(app: Flask) -> None:
    """Take over a proxy's id if it is well-formed, else make one; the answer carries it as well."""

    @app.before_request
    def note_id() -> None:
        given = request.headers.get(HEADER, "")
        request_id.set(given if WELL_FORMED.fullmatch(given) else uuid4().hex)

    @app.after_request
    def tell_id(response: Response) -> Response:
        response.headers[HEADER] = request_id.get()
        return response

    @app.teardown_request
    def forget_id(_error: BaseException | None) -> None:
        request_id.set("")

"""The blueprint of the API, and the headers that say how often a token may still be used."""

from flask import Blueprint, Response, g

from app.services.rate_limits import WINDOW, Allowance

POLL_AFTER_S = 1

bp = Blueprint("api", __name__, url_prefix="/api/v1")


@bp.after_request
def tell_allowance(response: Response) -> Response:
    """Say how often the token may be used: draft-ietf-httpapi-ratelimit-headers-10."""
    allowance: Allowance | None = g.get("allowance")
    if allowance:
        window_s = int(WINDOW.total_seconds())
        response.headers["RateLimit-Policy"] = f'"token";q={allowance.limit};w={window_s}'
        response.headers["RateLimit"] = f'"token";r={allowance.remaining};t={allowance.reset_s}'
    return response


def told_to_wait(response: Response, *, is_final: bool) -> Response:
    """Say when to ask again for what may still change."""
    if not is_final:
        response.headers["Retry-After"] = str(POLL_AFTER_S)
    return response

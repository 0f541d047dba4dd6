"""Headers of every response: what a browser may load, keep and tell others."""

from flask import Flask, Response, request

from app.config import Settings

POLICY = {
    "default-src": "'self'",
    "img-src": "'self' blob:",  # blob: the preview of a scan that is about to be uploaded
    "object-src": "'none'",
    "base-uri": "'none'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
}
HEADERS = {
    "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in POLICY.items()),
    "X-Content-Type-Options": "nosniff",
    # Not "no-referrer": the protection of forms wants to see where an HTTPS request comes from.
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
YEAR_S = 365 * 24 * 60 * 60


def init_app(app: Flask, settings: Settings) -> None:
    """Set the headers on every response of an application."""

    @app.after_request
    def set_headers(response: Response) -> Response:
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        if settings.secure_cookies:
            response.headers.setdefault("Strict-Transport-Security", f"max-age={YEAR_S}")
        if request.endpoint == "static":
            _let_static_be_kept(response)
        else:
            # A shared workstation must not show the last user's scans to the next one.
            response.headers["Cache-Control"] = "no-store"
        return response


def _let_static_be_kept(response: Response) -> None:
    if response.status_code == 200 and "v" in request.args:
        # The address changes with the content, see app.web.assets.
        response.headers["Cache-Control"] = f"public, max-age={YEAR_S}, immutable"
    else:
        response.headers["Cache-Control"] = "no-cache"

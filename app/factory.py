"""Builds the application: settings in, a Flask application out. Nothing runs at import."""

import logging
from datetime import timedelta
from pathlib import Path

from flask import Flask, request
from flask_wtf import CSRFProtect
from werkzeug.middleware.proxy_fix import ProxyFix

from app.cli import register_commands
from app.config import Settings
from app.engine.engine import InProcessEngine
from app.engine.protocol import Engine
from app.services.container import Services, build_services
from app.web import (
    account,
    admin,
    analyses,
    api,
    assets,
    auth,
    errors,
    filters,
    frame,
    headers,
    health,
    login,
    pages,
)
from app.web.context import EXTENSION

ROOT = Path(__file__).resolve().parent.parent
PAGES = (pages.bp, auth.bp, account.bp, analyses.bp, admin.bp, health.bp)

# Only forms with scans are large, and only those are read piece by piece: any other body is held
# in memory as a whole, and a few megabytes of "a&a&a…" would occupy the server for minutes.
MAX_BODY_BYTES = 2**17
TAKE_SCANS = frozenset({"analyses.create", "api.create"})
# A form may carry several scans; each is held to the limit of a file on its own.
LARGEST_SCANS_A_REQUEST = 4
FORM_OVERHEAD_BYTES = 2**20
# Werkzeug holds this also against the piece of a file that it is reading, which is somewhat more
# than 64 KiB: with that as the limit, every other scan would be refused.
MAX_FIELD_BYTES = 2**18
MAX_FORM_PARTS = 64

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def create_app(settings: Settings, engine: Engine | None = None) -> Flask:
    """Build the application.

    No weights are loaded and no thread is started here, so commands are quick and a server may
    fork afterwards. ``Services.start`` does both: a server's start-up calls it, and where that
    did not happen, the first request does.

    Args:
        settings: How the server runs.
        engine: What judges the scans; None is an engine inside this process.

    Raises:
        StorageError: The data folder cannot be used.
    """
    _setup_logging(settings)
    app = Flask(
        __name__, static_folder=str(ROOT / "static"), template_folder=str(ROOT / "templates")
    )
    services = _setup_services(app, settings, engine or _engine_for(settings))
    _setup_config(app, settings, services.secret_key)
    _setup_uploads(app, settings)
    _setup_pages(app, settings)
    _setup_proxies(app, settings)
    register_commands(app)
    return app


def _setup_logging(settings: Settings) -> None:
    logging.basicConfig(format=LOG_FORMAT)  # leaves a server's own handlers as they are
    logging.getLogger("app").setLevel(settings.log_level)
    # Readers of images quote the headers they stumble over, and those name patients.
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    logging.captureWarnings(capture=True)
    logging.getLogger("py.warnings").setLevel(logging.CRITICAL)


def _engine_for(settings: Settings) -> Engine:
    return InProcessEngine(
        settings.weights_dir,
        max_queue=settings.queue_size,
        max_batch=settings.max_batch,
        device=settings.device,
    )


def _setup_services(app: Flask, settings: Settings, engine: Engine) -> Services:
    services = build_services(settings, engine)
    app.extensions[EXTENSION] = services

    @app.before_request
    def start_services() -> None:
        services.start()

    return services


def _setup_config(app: Flask, settings: Settings, secret_key: str) -> None:
    app.config.update(
        SECRET_KEY=secret_key,
        SESSION_COOKIE_NAME="__Host-veriscan" if settings.secure_cookies else "veriscan",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=settings.secure_cookies,
        SESSION_COOKIE_PATH="/",
        PERMANENT_SESSION_LIFETIME=timedelta(seconds=settings.session_lifetime_s),
        MAX_CONTENT_LENGTH=MAX_BODY_BYTES,
        MAX_FORM_MEMORY_SIZE=MAX_FIELD_BYTES,
        MAX_FORM_PARTS=MAX_FORM_PARTS,
        # A form may stay open over lunch; its token ends with the session.
        WTF_CSRF_TIME_LIMIT=None,
    )
    app.json.sort_keys = False  # type: ignore[attr-defined]  # of Flask's default provider
    app.jinja_options = {"trim_blocks": True, "lstrip_blocks": True}


def _setup_uploads(app: Flask, settings: Settings) -> None:
    """Let scans come in; to be called before anything that reads forms, as CSRFProtect does."""
    largest = LARGEST_SCANS_A_REQUEST * settings.max_upload_bytes + FORM_OVERHEAD_BYTES

    @app.before_request
    def admit_scans() -> None:
        if request.endpoint in TAKE_SCANS and request.mimetype == "multipart/form-data":
            request.max_content_length = largest


def _setup_pages(app: Flask, settings: Settings) -> None:
    csrf = CSRFProtect(app)
    csrf.exempt(api.bp)  # its requests carry a token of their own and no cookie
    for blueprint in (*PAGES, api.bp):
        app.register_blueprint(blueprint)
    login.init_app(app)
    errors.init_app(app)
    headers.init_app(app, settings)
    for module in (assets, filters, frame):
        module.init_app(app)


def _setup_proxies(app: Flask, settings: Settings) -> None:
    count = settings.trusted_proxies
    if count:
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]  # as Flask's manual says
            app.wsgi_app, x_for=count, x_proto=count, x_host=count, x_prefix=count
        )

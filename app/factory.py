"""Builds the application: settings in, a Flask application out. Nothing runs at import."""

import logging
from datetime import timedelta
from pathlib import Path

from flask import Flask, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user
from flask_wtf import CSRFProtect
from werkzeug.middleware.proxy_fix import ProxyFix

from app import logs
from app.cli import register_commands
from app.config import Settings
from app.engine.engine import InProcessEngine
from app.engine.protocol import Engine
from app.services.accounts.passwords import PasswordService
from app.services.certificates.verification import MAX_PDF_BYTES
from app.services.clock import Clock, utc_now
from app.services.container import Services, build_services
from app.services.decoding.pool import DecodingPool
from app.services.uploads.uploads import MAX_FILES
from app.web import admin, api, assets, errors, filters, frame, headers, origin, pages, request_ids
from app.web.accounts import account, account_data, auth, login, password_pages, second_factor
from app.web.analyses import analyses, notes, studies
from app.web.context import EXTENSION
from app.web.history import history
from app.web.monitoring import health, metrics
from app.web.reports import reports, verify
from app.web.reviews import reviews
from app.web.uploads import uploads

ROOT = Path(__file__).resolve().parent.parent
PAGES = (
    pages.bp,
    auth.bp,
    password_pages.bp,
    account.bp,
    account_data.bp,
    second_factor.bp,
    analyses.bp,
    history.bp,
    notes.bp,
    admin.bp,
    api.reference.bp,
    health.bp,
    metrics.bp,
    reports.bp,
    reviews.bp,
    studies.bp,
    uploads.bp,
    verify.bp,
)

# Only forms with scans are large, and only those are read piece by piece: any other body is held
# in memory as a whole, and a few megabytes of "a&a&a…" would occupy the server for minutes.
MAX_BODY_BYTES = 2**17
TAKE_SCANS = frozenset(
    {
        "analyses.create",
        "api.create",
        "api.create_upload",
        "uploads.add",
        "admin.add_calibration_scans",
    }
)
TAKE_ARCHIVES = frozenset({"analyses.create", "api.create_upload", "uploads.add"})
# A form may carry several scans; each is held to the limit of a file on its own.
LARGEST_SCANS_A_REQUEST = 4
FORM_OVERHEAD_BYTES = 2**20
# Werkzeug holds this also against the piece of a file that it is reading, which is somewhat more
# than 64 KiB: with that as the limit, every other scan would be refused.
MAX_FIELD_BYTES = 2**18
MAX_FORM_PARTS = 64
# These answer even where the services cannot start, and say so.
TELL_HOW_IT_IS = frozenset({"health.healthz", "health.readyz", "metrics.show"})
MAX_FILE_PARTS = MAX_FILES + MAX_FORM_PARTS


def create_app(
    settings: Settings,
    engine: Engine | None = None,
    passwords: PasswordService | None = None,
    clock: Clock = utc_now,
    pool: DecodingPool | None = None,
) -> Flask:
    """Build the application.

    No weights are loaded and no thread is started here, so commands are quick and a server may
    fork afterwards. ``Services.start`` does both: a server's start-up calls it, and where that
    did not happen, the first request does.

    Args:
        settings: How the server runs.
        engine: What judges the scans; None is an engine inside this process.
        passwords: How passwords are hashed; only tests give a cheaper way than the default.
        clock: Tells the time around sessions and codes; only tests give one.
        pool: The processes that decode scans; only tests share one.

    Raises:
        StorageError: The data folder cannot be used.
    """
    _setup_logging(settings)
    app = Flask(
        __name__, static_folder=str(ROOT / "static"), template_folder=str(ROOT / "templates")
    )
    services = build_services(settings, engine or _engine_for(settings), passwords, clock, pool)
    request_ids.init_app(app)
    metrics.init_app(app, services)
    _setup_services(app, services)
    _setup_config(app, settings, services.secret_key)
    _setup_uploads(app, settings)
    _setup_pages(app, settings)
    _setup_proxies(app, settings)
    register_commands(app)
    return app


def _setup_logging(settings: Settings) -> None:
    logs.configure(settings.log_format, settings.log_level)
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
        graphs_dir=settings.graphs_dir,
    )


def _setup_services(app: Flask, services: Services) -> None:
    app.extensions[EXTENSION] = services

    @app.before_request
    def start_services() -> None:
        if request.endpoint not in TELL_HOW_IT_IS:
            services.start()


def _setup_config(app: Flask, settings: Settings, secret_key: str) -> None:
    app.config.update(
        SECRET_KEY=secret_key,
        TRUSTED_HOSTS=list(settings.trusted_hosts) if settings.trusted_hosts else None,
        SESSION_COOKIE_NAME="__Host-veriscan" if settings.secure_cookies else "veriscan",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=settings.secure_cookies,
        SESSION_COOKIE_PATH="/",
        PERMANENT_SESSION_LIFETIME=timedelta(seconds=settings.session_max_s),
        MAX_CONTENT_LENGTH=MAX_BODY_BYTES,
        MAX_FORM_MEMORY_SIZE=MAX_FIELD_BYTES,
        MAX_FORM_PARTS=MAX_FORM_PARTS,
        # A form may stay open over lunch; its token ends with the session.
        WTF_CSRF_TIME_LIMIT=None,
    )
    app.json.sort_keys = False  # type: ignore[attr-defined]  # of Flask's default provider
    app.jinja_options = app.jinja_options | {"trim_blocks": True, "lstrip_blocks": True}


def _setup_uploads(app: Flask, settings: Settings) -> None:
    """Let scans come in; to be called before anything that reads forms, as CSRFProtect does."""
    largest = LARGEST_SCANS_A_REQUEST * settings.max_upload_bytes + FORM_OVERHEAD_BYTES
    largest_archive = max(largest, settings.max_archive_bytes + FORM_OVERHEAD_BYTES)

    @app.before_request
    def admit_scans() -> ResponseReturnValue | None:
        if request.endpoint in TAKE_SCANS and request.mimetype == "multipart/form-data":
            if request.blueprint != api.bp.name and not current_user.is_authenticated:
                # Here and not in the guard, which comes after the protection of forms has read
                # all of the body: strangers would fill the disk. The API reads after its guard.
                return redirect(url_for("auth.sign_in"))
            takes_archives = request.endpoint in TAKE_ARCHIVES
            request.max_content_length = largest_archive if takes_archives else largest
            request.max_form_parts = MAX_FILE_PARTS if takes_archives else MAX_FORM_PARTS
        elif request.endpoint == "verify.check":
            request.max_content_length = (
                settings.max_upload_bytes + MAX_PDF_BYTES + FORM_OVERHEAD_BYTES
            )
        return None


def _setup_pages(app: Flask, settings: Settings) -> None:
    csrf = CSRFProtect(app)
    csrf.exempt(api.bp)  # its requests carry a token of their own and no cookie
    for blueprint in (*PAGES, api.bp):
        app.register_blueprint(blueprint)
    login.init_app(app)
    errors.init_app(app)
    headers.init_app(app, settings)
    for module in (assets, filters, frame, notes, origin, reviews):
        module.init_app(app)


def _setup_proxies(app: Flask, settings: Settings) -> None:
    count = settings.trusted_proxies
    if count:
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]  # as Flask's manual says
            app.wsgi_app, x_for=count, x_proto=count, x_host=count, x_prefix=count
        )

"""The commands of ``flask``: making an administrator, and judging scans without a server."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from flask import Flask
from flask.cli import with_appcontext

from app.config import Settings
from app.detection.limits import DecodingLimits
from app.detection.spec import modality as spec_of
from app.engine.engine import InProcessEngine
from app.engine.protocol import Engine
from app.errors import ModalityUnavailableError, RegistrationRefusedError, VeriscanError
from app.services.analyses import judge_without_keeping
from app.services.reports import analysis_json
from app.web.context import services


def register_commands(app: Flask) -> None:
    """Add Veriscan's commands to ``flask``; they need ``app.extensions["veriscan"]``."""
    app.cli.add_command(create_admin)
    app.cli.add_command(analyse)


@click.command("create-admin")
@click.argument("username")
@click.option("--email", required=True, help="Address of the administrator.")
@click.option("--mobile", default="", help="Mobile number with country code; may be left out.")
@with_appcontext
def create_admin(username: str, email: str, mobile: str) -> None:
    """Make an administrator's account.

    The password is asked for, or read from the first line of the standard input.
    """
    accounts = services().accounts
    with _shown_errors():
        try:
            user = accounts.create_admin(
                username=username, email=email, mobile=mobile, password=_asked_password()
            )
        except RegistrationRefusedError as error:
            lines = [f"{e.field}: {e}" if e.field else str(e) for e in error.errors]
            raise click.ClickException("\n".join(lines)) from error
    click.echo(f"The administrator {user.username} can sign in now.")


@click.command("analyse")
@click.option("--modality", "key", required=True, help="What the scans show, such as lung_ct.")
@click.option(
    "--override-gate",
    is_flag=True,
    help="Judge also what does not look like such a scan; the output says so.",
)
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", type=click.Path())
@with_appcontext
def analyse(key: str, paths: tuple[str, ...], *, override_gate: bool) -> None:
    """Judge scans and print one JSON object a line; nothing is stored.

    A file that cannot be judged has its reason in the field "error"; the others are judged all
    the same, and the exit code is 1 at the end.
    """
    settings = services().settings
    limits = DecodingLimits(max_bytes=settings.max_upload_bytes, max_pixels=settings.max_pixels)
    has_failed = False
    with _shown_errors(), _started_engine(settings, key) as engine:
        for path in paths:
            line = _judged(engine, key, path, limits, override_gate=override_gate)
            has_failed |= "error" in line
            click.echo(json.dumps(line))
    if has_failed:
        sys.exit(1)


@contextmanager
def _shown_errors() -> Iterator[None]:
    """Show an error of ours as one sentence instead of a traceback."""
    try:
        yield
    except VeriscanError as error:
        raise click.ClickException(str(error)) from error


def is_at_a_terminal() -> bool:
    """Return whether a person can be asked."""
    return sys.stdin.isatty()


def _asked_password() -> str:
    if is_at_a_terminal():
        password: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
        return password
    return sys.stdin.readline().rstrip("\r\n")


@contextmanager
def _started_engine(settings: Settings, key: str) -> Iterator[Engine]:
    """Give an engine that serves one modality.

    Raises:
        UnknownModalityError: There is no such modality.
        EngineError: It cannot be served.
    """
    spec = spec_of(key)
    engine = InProcessEngine(
        settings.weights_dir, max_queue=1, max_batch=1, device=settings.device, only={key}
    )
    engine.start()
    try:
        availability = engine.availability()[key]
        if not availability.is_available:
            raise ModalityUnavailableError(spec.title, availability.reason or "")
        yield engine
    finally:
        engine.stop()


def _judged(
    engine: Engine, key: str, path: str, limits: DecodingLimits, *, override_gate: bool
) -> dict[str, Any]:
    """Return the line for one file: what was found, or why nothing could be."""
    try:
        # One byte more than is allowed shows that a file is too large, whatever it is.
        with Path(path).open("rb") as file:
            data = file.read(limits.max_bytes + 1)
        analysis = judge_without_keeping(engine, key, data, limits, override_gate=override_gate)
    except IsADirectoryError:
        return {"path": path, "error": "This is a folder. Name the files in it instead."}
    except FileNotFoundError:
        return {"path": path, "error": "There is no such file."}
    except OSError as error:
        return {"path": path, "error": f"The file cannot be read ({error.strerror})."}
    except VeriscanError as error:
        return {"path": path, "error": str(error)}
    return {"path": path, **analysis_json(analysis, links={})}

"""The commands of ``flask``: making an administrator, and judging scans without a server."""

import json
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import click
from flask import Flask
from flask.cli import with_appcontext

from app import operations
from app.config import Settings
from app.detection.spec import modality as spec_of
from app.engine.engine import InProcessEngine
from app.engine.protocol import Engine
from app.errors import ModalityUnavailableError, RegistrationRefusedError, VeriscanError
from app.operations import shown_errors
from app.services.analyses.receiving import judge_without_keeping
from app.services.analyses.reports import analysis_json
from app.web.context import services


def register_commands(app: Flask) -> None:
    """Add Veriscan's commands to ``flask``; they need ``app.extensions["veriscan"]``."""
    app.cli.add_command(create_admin)
    app.cli.add_command(analyse)
    app.cli.add_command(verify_audit)
    app.cli.add_command(reanchor_audit)
    app.cli.add_command(export_labels)
    app.cli.add_command(rotate_signing_key)
    for command in operations.COMMANDS:
        app.cli.add_command(command)


@click.command("create-admin")
@click.argument("username")
@click.option("--email", required=True, help="Address of the administrator.")
@click.option("--mobile", default="", help="Mobile number with country code; may be left out.")
@with_appcontext
def create_admin(username: str, email: str, mobile: str) -> None:
    """Make an administrator's account.

    The password is asked for, or read from the first line of the standard input.
    """
    registration = services().identity.registration
    with shown_errors():
        try:
            user = registration.create_admin(
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
    settings, decoding = services().settings, services().decoding
    has_failed = False
    with shown_errors(), closing(decoding), _started_engine(settings, key) as engine:
        for path in paths:
            line = _judged(engine, key, path, override_gate=override_gate)
            has_failed |= "error" in line
            click.echo(json.dumps(line))
    if has_failed:
        sys.exit(1)


@click.command("export-labels")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@with_appcontext
def export_labels(folder: Path) -> None:
    """Write the settled cases whose owners consented, for `training prepare --from-app`.

    FOLDER must be empty or not exist: nothing of an earlier export may stay in it.
    """
    with shown_errors():
        exported = services().labels.export(folder)
    for (key, label), count in sorted(exported.written.items()):
        click.echo(f"{key:<16}{label:<8}{count:>6}")
    for reason, count in sorted(exported.left_out.items()):
        click.echo(f"left out: {count} {reason}", err=True)
    if not exported.written:
        click.echo("There is no settled case that may be used.", err=True)


@click.command("rotate-signing-key")
@click.option(
    "--withdraw", is_flag=True, help="Trust nothing any more that the present key signed."
)
@with_appcontext
def rotate_signing_key(*, withdraw: bool) -> None:
    """Sign reports with a new key from now on; a running server follows at once."""
    with shown_errors():
        key_id = services().signing.rotate(withdraw=withdraw)
        services().audit.record(
            "signing_key.rotated", actor=None, subject=key_id, withdrawn=withdraw
        )
    click.echo(f"Reports are signed with the key {key_id} now.")


@click.command("verify-audit")
@with_appcontext
def verify_audit() -> None:
    """Check that nobody changed the audit trail.

    Prints what is wrong, and the exit code is 1 then. Note the hash of the newest event elsewhere:
    that it is still in the trail later shows that nothing before it was changed.
    """
    with shown_errors():
        result = services().audit.verify()
    for problem in result.problems:
        click.echo(problem)
    if not result.is_whole:
        sys.exit(1)
    click.echo(f"The trail is whole: {result.events} events. Hash of the newest: {result.head}")


@click.command("reanchor-audit")
@with_appcontext
def reanchor_audit() -> None:
    """Anchor the audit trail anew, after the secret key was changed on purpose.

    The whole trail is checked first, and nothing is done where events were changed or are missing.
    Whether its end was cut off before, only a hash that was noted elsewhere can tell. The act is
    recorded.
    """
    with shown_errors():
        count = services().audit.reanchor()
    if count:
        click.echo(f"The trail is anchored anew. Events that were found right: {count}.")
    else:
        click.echo("The anchor fits already; nothing was changed.")


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
        settings.weights_dir,
        max_queue=1,
        max_batch=1,
        device=settings.device,
        graphs_dir=settings.graphs_dir,
    )
    engine.start(only={key})
    try:
        availability = engine.availability()[key]
        if not availability.is_available:
            raise ModalityUnavailableError(spec.title, availability.reason or "")
        yield engine
    finally:
        engine.stop()


def _judged(engine: Engine, key: str, path: str, *, override_gate: bool) -> dict[str, Any]:
    """Return the line for one file: what was found, or why nothing could be."""
    try:
        # One byte more than is allowed shows that a file is too large, whatever it is.
        with Path(path).open("rb") as file:
            data = file.read(services().settings.max_upload_bytes + 1)
        analysis = judge_without_keeping(
            engine, key, data, services().decoding, override_gate=override_gate
        )
    except IsADirectoryError:
        return {"path": path, "error": "This is a folder. Name the files in it instead."}
    except FileNotFoundError:
        return {"path": path, "error": "There is no such file."}
    except OSError as error:
        return {"path": path, "error": f"The file cannot be read ({error.strerror})."}
    except VeriscanError as error:
        return {"path": path, "error": str(error)}
    return {"path": path, **analysis_json(analysis, links={})}

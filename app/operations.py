"""The commands of ``flask`` with which a server is kept: purging, keys, backup and restore."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from flask.cli import with_appcontext

from app.errors import VeriscanError
from app.storage.backup_file import restore_backup
from app.storage.encryption import SETTING
from app.web.context import services

A_FILE = click.Path(path_type=Path, dir_okay=False)
A_FOLDER = click.Path(path_type=Path, file_okay=False)


@contextmanager
def shown_errors() -> Iterator[None]:
    """Show an error of ours as one sentence instead of a traceback."""
    try:
        yield
    except VeriscanError as error:
        raise click.ClickException(str(error)) from error


@click.command("purge")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@with_appcontext
def purge(*, dry_run: bool) -> None:
    """Remove what is older than this site keeps it, as a running server does every hour."""
    retention = services().retention
    with shown_errors():
        purged = retention.due() if dry_run else retention.purge()
    if not purged.days:
        click.echo("This site keeps scans until their owners delete them.")
    verb = "to remove" if dry_run else "removed"
    for kind, count in purged.counts.items():
        click.echo(f"{verb}: {count:>8} {kind}")


@click.command("rotate-storage-key")
@with_appcontext
def rotate_storage_key() -> None:
    """Encrypt every stored scan with the first key of VERISCAN_STORAGE_KEY_FILE.

    Put a new key (openssl rand -base64 32) in the first line of that file and keep the old ones
    below it. A running server follows at once. Once this command has come to its end, the old keys
    may be taken out. If it is interrupted, it is run again. Plain scans are encrypted as well.
    """
    if services().settings.storage_key_file is None:
        raise click.ClickException(f"Set {SETTING} first: no key is configured.")
    count = changed = 0
    with shown_errors():
        for was_needed in services().images.write_anew():
            count += 1
            changed += was_needed
        services().audit.record("storage_key.rotated", actor=None, pictures=count, changed=changed)
    click.echo(f"All {count} pictures are encrypted with the first key; {changed} were not before.")


@click.command("backup")
@click.argument("file", type=A_FILE)
@with_appcontext
def backup(file: Path) -> None:
    """Write accounts, analyses, scans and the keys in the data folder to a new FILE.

    The server may run meanwhile. Whoever has the file has all that the data folder holds: keep it
    as safe. Keys that a setting names elsewhere are not in it and are to be kept apart.
    """
    with shown_errors():
        count = services().backup.make(file)
    click.echo(f"{file.name} holds {count} analyses.")


@click.command("restore")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.argument("folder", type=A_FOLDER)
def restore(file: Path, folder: Path) -> None:
    """Unpack a backup FILE as the data folder FOLDER, which must be empty or not exist.

    Every hash is checked first. Then let VERISCAN_DATA_DIR name FOLDER and start the server.
    """
    with shown_errors():
        count = restore_backup(file, folder)
    click.echo(f"{count} files were restored and their hashes are right.")


COMMANDS = (purge, rotate_storage_key, backup, restore)

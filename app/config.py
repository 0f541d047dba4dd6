"""The settings of a Veriscan server, and the only place that reads the environment.

Each field of ``Settings`` is one variable: ``data_dir`` is ``VERISCAN_DATA_DIR``. With no variable
set at all the application works. A name that is not a setting, or a value that cannot be one, stops
the start, so that a typing error never runs a server other than the one that was meant.
"""

import difflib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from app.errors import SettingError

PREFIX = "VERISCAN_"
SECRET_KEY_FILE = f"{PREFIX}SECRET_KEY_FILE"
MIN_SECRET_KEY_CHARACTERS = 32
ROOT = Path(__file__).resolve().parent.parent
DATABASE_SCHEMES = ("sqlite:///", "postgresql://", "postgresql+psycopg://")
TRUE_WORDS = ("true", "yes", "on", "1")
FALSE_WORDS = ("false", "no", "off", "0")

CANNOT_START = 3
"""Exit status at which gunicorn ends too; after any other it would start worker after worker."""

_Number = TypeVar("_Number", int, float)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How this server runs. Immutable; made once at the start.

    Attributes:
        data_dir: Folder for accounts, analyses, scans and the secret key; made where missing.
        weights_dir: Folder of the published weights.
        database_url: Of the analyses, ``sqlite:///…`` or ``postgresql://…``; None is a SQLite file
            in ``data_dir``.
        secret_key: Signs the sessions; None is one made on the first start and kept in
            ``data_dir``. ``VERISCAN_SECRET_KEY_FILE`` may name a file that holds it instead.
        max_upload_bytes: Largest file that is accepted, in bytes.
        max_pixels: Largest image that is decoded, in pixels.
        verdict_wait_s: How long a request waits for its verdict before it answers with the page
            that says "still running", in seconds.
        queue_size: How many scans may wait for the engine.
        max_batch: How many scans the engine judges at once, at most.
        device: Where the networks run: ``auto``, ``cpu`` or ``cuda``.
        registration_open: Whether anybody may register; otherwise only an admin makes accounts.
        trusted_proxies: How many reverse proxies in front set ``X-Forwarded-*``; 0 trusts nobody.
        secure_cookies: Send cookies over HTTPS only. Turn it on wherever there is HTTPS.
        session_lifetime_s: How long a session lasts without a request, in seconds.
        log_level: ``DEBUG``, ``INFO``, ``WARNING`` or ``ERROR``.
    """

    data_dir: Path = ROOT / "instance"
    weights_dir: Path = ROOT / "weights"
    database_url: str | None = field(default=None, repr=False)
    secret_key: str | None = field(default=None, repr=False)
    max_upload_bytes: int = 32 * 2**20
    max_pixels: int = 40_000_000
    verdict_wait_s: float = 8.0
    queue_size: int = 64
    max_batch: int = 8
    device: str = "auto"
    registration_open: bool = True
    trusted_proxies: int = 0
    secure_cookies: bool = False
    session_lifetime_s: int = 12 * 60 * 60
    log_level: str = "INFO"

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> "Settings":
        """Read the settings.

        Args:
            environ: The environment; that of this process where None.

        Raises:
            SettingError: A ``VERISCAN_*`` name is unknown or a value is not accepted.
        """
        environ = os.environ if environ is None else environ
        given = {name: value for name, value in environ.items() if name.startswith(PREFIX)}
        _refuse_unknown(given)
        values = {
            setting: read(variable, given[variable])
            for setting, read in _READERS.items()
            if (variable := PREFIX + setting.upper()) in given
        }
        if SECRET_KEY_FILE in given:
            values["secret_key"] = _secret_key_from_file(given)
        return cls(**values)

    @classmethod
    def variables(cls) -> tuple[str, ...]:
        """Return the name of every environment variable that is a setting."""
        return (*(PREFIX + f.name.upper() for f in fields(cls)), SECRET_KEY_FILE)


def _refuse_unknown(given: Mapping[str, str]) -> None:
    known = Settings.variables()
    for name in sorted(set(given) - set(known)):
        nearest = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {nearest[0]}?" if nearest else f"known are {', '.join(known)}."
        raise SettingError(name, f"there is no such setting; {hint}")


def _path(name: str, value: str) -> Path:
    if not value.strip() or "\0" in value:
        raise SettingError(name, "give the path of a folder, or leave it unset.")
    return Path(value).expanduser().resolve()


def _database_url(name: str, value: str) -> str:
    if not value.startswith(DATABASE_SCHEMES) or value in DATABASE_SCHEMES:
        # The value may hold a password, so it is not repeated.
        raise SettingError(name, f"give a URL that starts with {' or '.join(DATABASE_SCHEMES)}.")
    scheme = DATABASE_SCHEMES[0]
    if value.startswith(scheme):
        return f"{scheme}{_path(name, value.removeprefix(scheme))}"
    return value


def _secret_key(name: str, value: str) -> str:
    if len(value) < MIN_SECRET_KEY_CHARACTERS:
        raise SettingError(
            name,
            f"give at least {MIN_SECRET_KEY_CHARACTERS} random characters, "
            "or leave it unset and one is made.",
        )
    return value


def _secret_key_from_file(given: Mapping[str, str]) -> str:
    if f"{PREFIX}SECRET_KEY" in given:
        raise SettingError(SECRET_KEY_FILE, f"give either this or {PREFIX}SECRET_KEY, not both.")
    try:
        text = Path(given[SECRET_KEY_FILE]).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise SettingError(
            SECRET_KEY_FILE, "name a readable text file that holds the key."
        ) from error
    return _secret_key(SECRET_KEY_FILE, text.strip())


def _number(
    kind: Callable[[str], _Number], what: str, low: _Number, high: _Number
) -> Callable[[str, str], _Number]:
    def read(name: str, value: str) -> _Number:
        try:
            number = kind(value)
        except ValueError:
            number = None
        if number is None or not low <= number <= high:  # also refuses NaN
            raise SettingError(name, f"give a {what} from {low} to {high}, not {value!r}.")
        return number

    return read


def _integer(low: int, high: int) -> Callable[[str, str], int]:
    return _number(int, "whole number", low, high)


def _choice(*accepted: str) -> Callable[[str, str], str]:
    def read(name: str, value: str) -> str:
        if value not in accepted:
            raise SettingError(name, f"give {' or '.join(accepted)}, not {value!r}.")
        return value

    return read


def _switch(name: str, value: str) -> bool:
    word = value.lower()
    if word not in TRUE_WORDS + FALSE_WORDS:
        raise SettingError(name, f"give true or false, not {value!r}.")
    return word in TRUE_WORDS


_READERS: Mapping[str, Callable[[str, str], Any]] = {
    "data_dir": _path,
    "weights_dir": _path,
    "database_url": _database_url,
    "secret_key": _secret_key,
    "max_upload_bytes": _integer(2**10, 2**31),
    "max_pixels": _integer(64 * 64, 500_000_000),
    "verdict_wait_s": _number(float, "number of seconds", 0.0, 60.0),
    "queue_size": _integer(1, 10_000),
    "max_batch": _integer(1, 256),
    "device": _choice("auto", "cpu", "cuda"),
    "registration_open": _switch,
    "trusted_proxies": _integer(0, 10),
    "secure_cookies": _switch,
    "session_lifetime_s": _integer(60, 365 * 24 * 60 * 60),
    "log_level": _choice("DEBUG", "INFO", "WARNING", "ERROR"),
}

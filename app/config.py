"""The settings of a Veriscan server, and the only place that reads the environment.

Each field of ``Settings`` is one variable: ``data_dir`` is ``VERISCAN_DATA_DIR``. With no variable
set at all the application works. A name that is not a setting, or a value that cannot be one, stops
the start, so that a typing error never runs a server other than the one that was meant.
"""

import difflib
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import SplitResult, urlsplit

from app.errors import SettingError

PREFIX = "VERISCAN_"
SECRET_KEY_FILE = f"{PREFIX}SECRET_KEY_FILE"
MIN_SECRET_KEY_CHARACTERS = 32
ROOT = Path(__file__).resolve().parent.parent
DATABASE_SCHEMES = ("sqlite:///", "postgresql://", "postgresql+psycopg://")
HOSTS_WANTED = "give names such as veriscan.hospital.org, separated by commas, without ports."
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
        database_url: Of the analyses, ``sqlite:///…`` or ``postgresql://…``, which then holds the
            accounts, too; None is a SQLite file in ``data_dir``.
        secret_key: Signs the sessions; None is one made on the first start and kept in
            ``data_dir``. ``VERISCAN_SECRET_KEY_FILE`` may name a file that holds it instead.
        signing_key_file: Private Ed25519 key in PEM that signs reports; None is one made on the
            first start and kept in ``data_dir``.
        storage_key_file: Keys with which scans are encrypted at rest, one a line, the newest first;
            None keeps them plain.
        max_upload_bytes: Largest file that is accepted, in bytes.
        max_archive_bytes: Largest zip archive that is accepted, in bytes.
        max_pixels: Largest image that is decoded, in pixels.
        verdict_wait_s: How long a request waits for its verdict before it answers with the page
            that says "still running", in seconds.
        queue_size: How many scans may wait for the engine.
        max_batch: How many scans the engine judges at once, at most.
        device: Where the networks run: ``auto``, ``cpu`` or ``cuda``.
        api_requests_per_min: How often a minute each user may use the API; 0 is without limit.
        registration_open: Whether anybody may register, until an administrator sets who may.
        trusted_proxies: How many reverse proxies in front set ``X-Forwarded-*``; 0 trusts nobody.
        trusted_hosts: Names under which this server may be addressed; None lets all pass.
        secure_cookies: Send cookies over HTTPS only. Turn it on wherever there is HTTPS.
        session_lifetime_s: How long a session lasts without a request, in seconds; that of an
            administrator at most half an hour.
        session_max_s: How long a session lasts in all, in seconds; that of an administrator at
            most 12 hours.
        smtp_url: Server for e-mails, ``smtp://user:password@host:587`` (with STARTTLS wherever it
            is offered) or ``smtps://…``; None sends none.
        mail_from: Address from which e-mails come; needed with ``smtp_url``.
        public_url: Where people reach this server, for links in e-mails and reports; needed with
            ``smtp_url``.
        metrics_token: Secret with which ``/metrics`` may be read from anywhere; None lets only this
            machine read it.
        log_level: ``DEBUG``, ``INFO``, ``WARNING`` or ``ERROR``.
        log_format: ``text``, or ``json`` for a JSON object a line.
    """

    data_dir: Path = ROOT / "instance"
    weights_dir: Path = ROOT / "weights"
    database_url: str | None = field(default=None, repr=False)
    secret_key: str | None = field(default=None, repr=False)
    signing_key_file: Path | None = None
    storage_key_file: Path | None = None
    max_upload_bytes: int = 32 * 2**20
    max_archive_bytes: int = 512 * 2**20
    max_pixels: int = 40_000_000
    verdict_wait_s: float = 8.0
    queue_size: int = 64
    max_batch: int = 8
    device: str = "auto"
    api_requests_per_min: int = 600
    registration_open: bool = True
    trusted_proxies: int = 0
    trusted_hosts: tuple[str, ...] | None = None
    secure_cookies: bool = False
    # NIST SP 800-63B-4 wants no more than an hour and a day at assurance level 2.
    session_lifetime_s: int = 60 * 60
    session_max_s: int = 24 * 60 * 60
    smtp_url: str | None = field(default=None, repr=False)
    mail_from: str | None = None
    public_url: str | None = None
    metrics_token: str | None = field(default=None, repr=False)
    log_level: str = "INFO"
    log_format: str = "text"

    @property
    def graphs_dir(self) -> Path:
        """Folder of the graphs that were exported for the CPU; it may be deleted at any time."""
        return self.data_dir / "graphs"

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
        if "smtp_url" in values:
            for setting in ("mail_from", "public_url"):
                if setting not in values:
                    name = PREFIX + setting.upper()
                    raise SettingError(name, f"is needed where {PREFIX}SMTP_URL is set.")
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


def _file_path(name: str, value: str) -> Path:
    path = Path(value).expanduser().resolve() if value.strip() and "\0" not in value else None
    if path is None or not path.is_file():
        raise SettingError(name, "name a file that exists, or leave it unset.")
    return path


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


def _metrics_token(name: str, value: str) -> str:
    if len(value) < MIN_SECRET_KEY_CHARACTERS:
        raise SettingError(name, f"give at least {MIN_SECRET_KEY_CHARACTERS} random characters.")
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


def _hosts(name: str, value: str) -> tuple[str, ...]:
    hosts = tuple(host.strip().lower() for host in value.split(",") if host.strip())
    for host in hosts:
        if not re.fullmatch(r"\.?[a-z0-9-]+(\.[a-z0-9-]+)*|\[[0-9a-f:.]+\]", host):
            raise SettingError(name, HOSTS_WANTED)
    if not hosts:
        raise SettingError(name, HOSTS_WANTED)
    return hosts


def _smtp_url(name: str, value: str) -> str:
    url = _split(value)
    if url is None or url.scheme not in ("smtp", "smtps") or not url.hostname:
        # The value may hold a password, so it is not repeated.
        raise SettingError(name, "give a URL such as smtps://user:password@mail.hospital.org.")
    return value


def _mail_address(name: str, value: str) -> str:
    if not re.fullmatch(r"[^@\s<>]+@[^@\s<>]+", value):
        raise SettingError(name, "give an e-mail address such as veriscan@hospital.org.")
    return value


def _public_url(name: str, value: str) -> str:
    url = _split(value)
    if url is None or url.scheme not in ("http", "https") or not url.hostname or url.query:
        raise SettingError(name, "give an address such as https://veriscan.hospital.org.")
    return value.rstrip("/")


def _split(value: str) -> SplitResult | None:
    try:
        url = urlsplit(value)
        _ = url.port  # raises where it is no number
    except ValueError:
        return None
    return url


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
    "signing_key_file": _file_path,
    "storage_key_file": _file_path,
    "max_upload_bytes": _integer(2**10, 2**31),
    "max_archive_bytes": _integer(2**10, 2**33),
    "max_pixels": _integer(64 * 64, 500_000_000),
    "verdict_wait_s": _number(float, "number of seconds", 0.0, 60.0),
    "queue_size": _integer(1, 10_000),
    "max_batch": _integer(1, 256),
    "device": _choice("auto", "cpu", "cuda"),
    "api_requests_per_min": _integer(0, 1_000_000),
    "registration_open": _switch,
    "trusted_proxies": _integer(0, 10),
    "trusted_hosts": _hosts,
    "secure_cookies": _switch,
    "session_lifetime_s": _integer(5 * 60, 365 * 24 * 60 * 60),
    "session_max_s": _integer(5 * 60, 365 * 24 * 60 * 60),
    "smtp_url": _smtp_url,
    "mail_from": _mail_address,
    "public_url": _public_url,
    "metrics_token": _metrics_token,
    "log_level": _choice("DEBUG", "INFO", "WARNING", "ERROR"),
    "log_format": _choice("text", "json"),
}

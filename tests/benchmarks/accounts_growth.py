"""What registering and signing in cost among 10,000 accounts, in those among 100.

Run it as ``python -m tests.benchmarks.accounts_growth``. Passwords are hashed by the cheapest
method, so that what is measured is all the rest: checks, accounts, sessions, audit trail. Two
applications, one with few accounts and one with many, do each thing in turn; the ratios of medians
and of means are told. The mean includes the few registrations at which the journal becomes part of
the accounts file. A second table shows the store alone, and what it was before it had a journal:
the whole file written for each change.
"""

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import click

from app.config import Settings
from app.factory import create_app
from app.records import Role, User
from app.services.accounts.passwords import PasswordService
from app.services.container import Services
from app.storage.files import write_atomically
from app.storage.tinydb_users import FILE_NAME, TinyDBUserStore
from tests.benchmarks.harness import Report, write
from tests.people import PASSWORD, application_of

FEW, MOST_ALLOWED = 100, 2.0
CHEAP_HASH = "scrypt:128:8:1"
HASH = "scrypt:32768:8:3$0123456789abcdef$" + "0" * 128  # of the length that a real one has

Work = Callable[[int], object]


def measure(count: int, rounds: int) -> Report:
    """Measure both in turns."""
    report = Report(name="growth of the accounts")
    with tempfile.TemporaryDirectory() as name:
        few, many = (_application(Path(name, str(size)), size) for size in (FEW, count))
        for what, act in (("a registration", _register), ("a sign-in", _sign_in)):
            _tell(report, what, (act(few), act(many)), rounds, aim=MOST_ALLOWED)
        for services in (few, many):
            services.stop()
        small, large = (_store(Path(name, f"store{size}"), size) for size in (FEW, count))
        works = (_adding_to(small), _adding_to(large))
        _tell(report, "adding to the store alone", works, rounds, aim=None)
        files = (Path(name, f"store{size}", FILE_NAME) for size in (FEW, count))
        rewriting = tuple(_rewriting(path) for path in files)
        _tell(report, "writing the whole file instead", rewriting, rounds, aim=None)
        _tell_start(report, Path(name, f"store{count}"))
    return report


def _tell(
    report: Report, what: str, works: tuple[Work, ...], rounds: int, aim: float | None
) -> None:
    taken: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds):
        for work, durations in zip(works, taken, strict=True):
            begin_s = time.perf_counter()
            work(number)
            durations.append(time.perf_counter() - begin_s)
    for kind, average in (("median", statistics.median), ("mean", statistics.mean)):
        few_s, many_s = (average(durations[1:]) for durations in taken)
        report.tell(f"{what}, {kind}, among few", few_s * 1000, "ms")
        if aim and kind == "median":
            report.at_most(f"{what}, {kind}", many_s / few_s, aim, f"among {FEW}")
        else:
            report.tell(f"{what}, {kind}", many_s / few_s, baseline=f"among {FEW}")


def _tell_start(report: Report, folder: Path) -> None:
    begin_s = time.perf_counter()
    store = TinyDBUserStore(folder)
    store.find_by_username("nobody")
    report.tell("reading all accounts at the start", (time.perf_counter() - begin_s) * 1000, "ms")
    store.close()


def _application(folder: Path, count: int) -> Services:
    settings = Settings(data_dir=folder / "data", weights_dir=folder / "weights")
    folder.mkdir()
    settings.data_dir.mkdir()
    _store(settings.data_dir, count).close()
    app = create_app(settings, passwords=PasswordService(CHEAP_HASH))
    services: Services = app.extensions["veriscan"]
    services.identity.registration.register(application_of("alice"))
    return services


def _store(folder: Path, count: int) -> TinyDBUserStore:
    """Return a store with so many accounts, made through its own interface at one stroke."""
    folder.mkdir(exist_ok=True)
    store = TinyDBUserStore(folder)
    store.add(_user("first"))
    text = json.loads((folder / FILE_NAME).read_text())
    (pattern,) = text["users"].values()
    for number in range(count - 1):
        name = f"user{number}"
        about = {"username": name, "email": f"{name}@hospital.org"}
        text["users"][str(uuid4())] = pattern | about
    (folder / FILE_NAME).write_text(json.dumps(text))
    return store


def _user(name: str) -> User:
    return User(
        id=uuid4(), username=name, email=f"{name}@hospital.org", mobile="+4915123456789",
        password_hash=HASH, role=Role.CLINICIAN, is_active=True, created=datetime.now(UTC),
    )  # fmt: skip


def _register(services: Services) -> Work:
    registration = services.identity.registration
    return lambda number: registration.register(application_of(f"new{number}"))


def _sign_in(services: Services) -> Work:
    sign_in = services.identity.sign_in
    return lambda _: sign_in.sign_in("alice", PASSWORD)


def _adding_to(store: TinyDBUserStore) -> Work:
    return lambda number: store.add(_user(f"new{number}"))


def _rewriting(path: Path) -> Work:
    def rewrite(_: int) -> None:
        tables = json.loads(path.read_bytes())
        write_atomically(path, json.dumps(tables, indent=1).encode())

    return rewrite


@click.command()
@click.option("--count", type=click.IntRange(FEW), default=10_000, show_default=True)
@click.option("--rounds", type=click.IntRange(5), default=200, show_default=True)
@click.option("--json", "json_file", type=click.Path(path_type=Path))
def main(count: int, rounds: int, json_file: Path | None) -> None:
    """Print what registering and signing in cost among many accounts."""
    report = measure(count, rounds)
    print(report.to_table())
    if json_file:
        write([report], json_file)


if __name__ == "__main__":
    main()

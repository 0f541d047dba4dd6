"""What the pages of a history cost at 100,000 analyses, in those of a history of 100.

Run it as ``python -m tests.benchmarks.history_cost``. Each page is asked of both applications in
turn, many times, and the ratio of the medians is printed; no seconds are asserted, since they
belong to one machine. ``--json FILE`` keeps the figures.
"""

import json
import statistics
import tempfile
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import click
from flask import Flask
from flask.testing import FlaskClient

from app.config import Settings
from app.factory import create_app
from app.records import HistoryFilter, HistoryOrder, HistoryPlace
from app.services.accounts.passwords import PasswordService
from app.services.analyses.history import Place
from app.web.history.query import place_arguments
from tests.many_analyses import APART, NEWEST, fill, gather
from tests.people import PASSWORD, application_of

FEW, MOST_ALLOWED = 100, 1.5
NOTED = 100
SLICES, UNGATHERED = 10, 20
CHEAP_HASH = "scrypt:128:8:1"

Pages = dict[str, tuple[str, dict[str, str]]]


def application(folder: Path, count: int) -> tuple[Flask, FlaskClient]:
    """Return an application whose one user has so many analyses, and that user's browser.

    Ten of every thirty are the slices of a study.
    """
    settings = replace(Settings(), data_dir=folder / "data", weights_dir=folder / "weights")
    app = create_app(settings, passwords=PasswordService(CHEAP_HASH))
    services = app.extensions["veriscan"]
    user = services.identity.registration.register(application_of("alice"))
    database = services.history._store._database
    ids = fill(database, user.id, count, noted=min(NOTED, count))
    begins = range(0, count - SLICES, SLICES + UNGATHERED)
    gather(database, *(ids[first : first + SLICES] for first in begins))
    client = app.test_client()
    app.config["WTF_CSRF_ENABLED"] = False  # forms are not what is measured
    client.post("/sign-in", data={"username": "alice", "password": PASSWORD})
    return app, client


def pages_of(count: int) -> Pages:
    """Return the pages that are measured, by name: address and arguments."""
    middle = NEWEST - (count // 2) * APART
    deep = place_arguments(Place(HistoryPlace(middle, UUID(int=0)), is_after=True))
    back = place_arguments(Place(HistoryPlace(middle, UUID(int=0)), is_after=False))
    days = {"from": f"{middle - timedelta(days=1):%Y-%m-%d}", "until": f"{middle:%Y-%m-%d}"}
    history = "/analyses"
    return {
        "overview": ("/", {}),
        "first page": (history, {}),
        "page in the middle": (history, deep),
        "page before that": (history, back),
        "kind": (history, {"modality": "knee_xray"}),
        "result": (history, {"result": "real"}),
        "kind and result": (history, {"modality": "lung_ct", "result": "real"}),
        "waiting (none)": (history, {"result": "waiting"}),
        "two days": (history, days),
        "most suspicious first": (history, {"sort": "highest-score"}),
        "result, least suspicious first": (history, {"result": "fake", "sort": "lowest-score"}),
        "word of 100 notes": (history, {"q": "common"}),
        "hash": (history, {"q": "5feceb66"}),
        "tag": (history, {"tag": "ward 3"}),
        "nothing found": (history, {"q": "nowhere"}),
    }


def ask(client: FlaskClient, page: tuple[str, dict[str, str]]) -> float:
    """Return how long a page takes, in seconds."""
    address, arguments = page
    begin_s = time.perf_counter()
    response = client.get(address, query_string=arguments)
    took_s = time.perf_counter() - begin_s
    if response.status_code != 200:
        raise click.ClickException(f"{address} {arguments} answers {response.status_code}")
    return took_s


def measure(few: FlaskClient, many: FlaskClient, count: int, rounds: int) -> dict[str, Any]:
    """Return for each page its median in both histories, in milliseconds, and their ratio."""
    small, large = pages_of(FEW), pages_of(count)
    figures = {}
    for name in small:
        ask(few, small[name]), ask(many, large[name])
        both = [(ask(few, small[name]), ask(many, large[name])) for _ in range(rounds)]
        few_s, many_s = (statistics.median(times) for times in zip(*both, strict=True))
        figures[name] = {
            "few_ms": round(few_s * 1000, 2),
            "many_ms": round(many_s * 1000, 2),
            "ratio": round(many_s / few_s, 3),
        }
    return figures


def export_pace(app: Flask, count: int) -> float:
    """Return how many analyses a second an export reads."""
    services = app.extensions["veriscan"]
    viewer = services.accounts.list_users()[0]
    begin_s = time.perf_counter()
    lines = services.history.each(viewer, HistoryFilter(), HistoryOrder.NEWEST, file_format="json")
    read = sum(1 for _ in lines)
    if read != count:
        raise click.ClickException(f"{read} of {count} analyses were exported")
    return read / (time.perf_counter() - begin_s)


@click.command()
@click.option("--count", type=click.IntRange(FEW), default=100_000, show_default=True)
@click.option("--rounds", type=click.IntRange(3), default=25, show_default=True)
@click.option("--json", "json_file", type=click.Path(path_type=Path))
def main(count: int, rounds: int, json_file: Path | None) -> None:
    """Print what a page of a long history costs."""
    with tempfile.TemporaryDirectory() as folder:
        small_app, few = application(Path(folder, "few"), FEW)
        large_app, many = application(Path(folder, "many"), count)
        figures = measure(few, many, count, rounds)
        pace = export_pace(large_app, count)
        for app in (small_app, large_app):
            app.extensions["veriscan"].stop()
    print(f"{'page':<32}{f'at {FEW}':>12}{f'at {count:,}':>14}{'ratio':>9}")
    for name, found in figures.items():
        print(f"{name:<32}{found['few_ms']:>9} ms{found['many_ms']:>11} ms{found['ratio']:>9.2f}")
    worst = max(found["ratio"] for found in figures.values())
    print(f"{'the worst of them':<32}{worst:>35.2f}   aim: at most {MOST_ALLOWED}")
    print(f"an export reads {pace:,.0f} analyses a second here")
    if json_file:
        json_file.write_text(json.dumps({"pages": figures, "worst": worst}, indent=2) + "\n")


if __name__ == "__main__":
    main()

"""A data folder, the servers that are killed on it, and clients that keep account of answers."""

import http.client
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

from app.config import Settings
from app.factory import create_app
from app.services.accounts.passwords import PasswordService
from app.services.audit import AuditService
from app.storage.audit import AuditStore
from app.storage.database import Database, sqlite_url
from app.storage.secret_key import load_or_make_secret_key
from app.storage.tinydb_users import TinyDBUserStore
from app.web.context import EXTENSION
from tests.factories import make_grey, png_bytes, publish_tiny_weights
from tests.journeys.server import ROOT, free_port
from tests.people import PASSWORD

CHEAP_HASH = "scrypt:128:8:1"
START_TIMEOUT_S = 120
LONGEST_LOAD_S = 3.0
FINISH_TIMEOUT_S = 60
SIDE = 96


class LostError(AssertionError):
    """Something that was confirmed is not there, or something that was not is."""


@dataclass
class Ledger:
    """What the server confirmed, and what nobody knows because it was killed meanwhile."""

    names: set[str] = field(default_factory=set)
    analyses: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    in_doubt: set[str] = field(default_factory=set)
    unconfirmed_uploads: int = 0


class Site:
    """A data folder and the servers that run on it one after the other."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.data_dir, self.random = folder / "data", random.Random(seed)
        self.ledger, self._stop = Ledger(), threading.Event()
        weights_dir = folder / "weights"
        publish_tiny_weights(weights_dir, "lung_ct")
        self._secret = self._make_token(weights_dir)
        self._port = free_port()
        self._nursery, self.log = self._start_nursery(folder, weights_dir)
        self._group = 0
        self._failures: list[LostError] = []

    def _make_token(self, weights_dir: Path) -> str:
        settings = Settings(data_dir=self.data_dir, weights_dir=weights_dir)
        app = create_app(settings, passwords=PasswordService(CHEAP_HASH))
        services = app.extensions[EXTENSION]
        user = services.identity.registration.create_admin(
            username="uploader", email="uploader@hospital.org", mobile="", password=PASSWORD
        )
        secret: str = services.identity.tokens.create(user.id, "kills")[1]
        services.stop()
        return secret

    def _start_nursery(self, folder: Path, weights_dir: Path) -> tuple[Any, Path]:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("VERISCAN_")} | {
            "PORT": str(self._port),
            "VERISCAN_DATA_DIR": str(self.data_dir),
            "VERISCAN_WEIGHTS_DIR": str(weights_dir),
            "VERISCAN_DEVICE": "cpu",
            "VERISCAN_VERDICT_WAIT_S": "0",
            "VERISCAN_API_REQUESTS_PER_MIN": "0",
            "VERISCAN_QUEUE_SIZE": "1000",
            "OMP_NUM_THREADS": "1",
        }
        log = folder / "server.log"
        with log.open("ab") as output:
            nursery = subprocess.Popen(
                [sys.executable, "-m", "tests.journeys.nursery"],
                cwd=ROOT, env=environment, text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=output,
            )  # fmt: skip
        return nursery, log

    # --- the server -------------------------------------------------------------------------

    def start(self) -> None:
        """Start a server and wait until it answers."""
        self._nursery.stdin.write("start\n")
        self._nursery.stdin.flush()
        self._group = int(self._nursery.stdout.readline())
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            try:
                if self.ask("GET", "/readyz")[0] == HTTPStatus.OK:
                    return
            except OSError:
                pass
            time.sleep(0.05)
        raise LostError(f"no server starts on this folder any more:\n{self.log.read_text()}")

    def kill(self) -> None:
        """End the server and its children as a power cut does."""
        os.killpg(self._group, signal.SIGKILL)
        self._group = 0

    def close(self) -> None:
        """End everything."""
        if self._group:
            self.kill()
        with self._nursery:
            self._nursery.stdin.close()

    def ask(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, bytes, http.client.HTTPMessage]:
        """Return status, body and headers of an answer to who has the token.

        Raises:
            OSError: There was none, or not all of it.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        with closing(connection):
            try:
                given = {"Authorization": f"Bearer {self._secret}"} if headers is None else headers
                connection.request(method, path, body, given)
                response = connection.getresponse()
                return response.status, response.read(), response.headers
            except http.client.HTTPException as error:
                raise ConnectionError from error

    # --- the load ---------------------------------------------------------------------------

    def load_and_kill(self) -> None:
        """Let clients work for a random time, then kill the server under them."""
        self._stop.clear()
        acts: list[Callable[[], None]] = [self._register, self._upload, self._upload, self._delete]
        clients = [threading.Thread(target=self._repeat, args=(act,)) for act in acts]
        for client in clients:
            client.start()
        time.sleep(self.random.uniform(0.02, LONGEST_LOAD_S))
        self._stop.set()
        self.kill()
        for client in clients:
            client.join()
        if self._failures:
            raise self._failures[0]

    def _repeat(self, act: Callable[[], None]) -> None:
        while not self._stop.is_set():
            try:
                act()
            except OSError:
                return
            except LostError as error:
                self._failures.append(error)
                return

    def _register(self) -> None:
        _, page, headers = self.ask("GET", "/register", headers={})
        token = re.search(rb'name="csrf_token"[^>]*value="([^"]+)"', page)
        if token is None:
            raise LostError(f"the registration has no form: {page[:500]!r}")
        name = f"u{uuid4().hex[:20]}"
        cookie = headers.get("Set-Cookie", "").partition(";")[0]
        fields = {
            "csrf_token": token[1].decode(), "username": name, "email": f"{name}@hospital.org",
            "mobile": "+49 151 23456789", "password": PASSWORD, "confirm": PASSWORD,
        }  # fmt: skip
        form = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": cookie}
        status, _, _ = self.ask("POST", "/register", urlencode(fields).encode(), form)
        if status in (HTTPStatus.FOUND, HTTPStatus.SEE_OTHER):
            self.ledger.names.add(name)
        else:
            raise LostError(f"a registration was answered with {status}")

    def _upload(self) -> None:
        scan = png_bytes(make_grey(SIDE, SIDE, seed=random.randrange(2**31)))
        boundary = uuid4().hex
        text = "".join(
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in {"modality": "lung_ct", "override_gate": "true"}.items()
        )
        head = f'{text}--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="a"'
        body = f"{head}\r\n\r\n".encode() + scan + f"\r\n--{boundary}--\r\n".encode()
        headers = {
            "Authorization": f"Bearer {self._secret}",
            "Content-Type": f"multipart/form-data; boundary={boundary}",
        }
        try:
            status, answer, _ = self.ask("POST", "/api/v1/analyses", body, headers)
        except OSError:
            self.ledger.unconfirmed_uploads += 1
            raise
        if status in (HTTPStatus.CREATED, HTTPStatus.ACCEPTED):
            self.ledger.analyses.add(json.loads(answer)["id"])
        elif status != HTTPStatus.SERVICE_UNAVAILABLE:
            raise LostError(f"an upload was answered with {status}: {answer!r}")

    def _delete(self) -> None:
        there = sorted(self.ledger.analyses.copy())
        if len(there) < 3:
            time.sleep(0.02)
            return
        chosen = random.choice(there)
        self.ledger.analyses.discard(chosen)
        self.ledger.in_doubt.add(chosen)
        status, _, _ = self.ask("DELETE", f"/api/v1/analyses/{chosen}")
        if status not in (HTTPStatus.NO_CONTENT, HTTPStatus.CONFLICT):
            raise LostError(f"a deletion was answered with {status}")
        self.ledger.in_doubt.discard(chosen)
        kept = self.ledger.deleted if status == HTTPStatus.NO_CONTENT else self.ledger.analyses
        kept.add(chosen)

    # --- the check --------------------------------------------------------------------------

    def check_files(self) -> None:
        """Check what lies in the data folder while no server runs."""
        with closing(TinyDBUserStore(self.data_dir)) as store:
            names = [user.username for user in store.list()]
        _expect(len(names) == len(set(names)), "an account is doubled")
        _expect(self.ledger.names <= set(names), "a confirmed account is missing")
        with closing(Database(sqlite_url(self.data_dir))) as database:
            key = load_or_make_secret_key(self.data_dir)
            result = AuditService(AuditStore(database), self.data_dir, key).verify()
        _expect(result.is_whole, f"the audit trail is broken: {result.problems}")

    def check_answers(self) -> None:
        """Check what a new server shows."""
        shown = self._shown_once_finished()
        ids, known = {one["id"] for one in shown}, self.ledger
        _expect(known.analyses <= ids, "a confirmed analysis is missing")
        _expect(not ids & known.deleted, "a deleted analysis is there again")
        unknown = ids - known.analyses - known.in_doubt
        _expect(len(unknown) <= known.unconfirmed_uploads, "an analysis came from nowhere")
        known.unconfirmed_uploads = 0
        known.analyses = ids  # of what was in doubt, what is there now stays
        known.deleted |= known.in_doubt - ids
        known.in_doubt.clear()
        for one in shown:
            status = self.ask("GET", f"/api/v1/analyses/{one['id']}/image")[0]
            _expect(status == HTTPStatus.OK, f"the image of {one['id']} answers {status}")
        of_analyses = {identity.replace("-", "") for identity in ids}
        stored = [path.name for path in self.data_dir.glob("images/*/*")]
        strays = [name for name in stored if name.partition(".")[0] not in of_analyses]
        _expect(not strays, f"pictures without an analysis are left: {strays}")

    def _shown_once_finished(self) -> list[dict[str, Any]]:
        deadline = time.monotonic() + FINISH_TIMEOUT_S
        while time.monotonic() < deadline:
            shown = self._list_all()
            if all(one["status"] in ("done", "failed") for one in shown):
                return shown
            time.sleep(0.1)
        raise LostError(f"an analysis does not come to an end: {shown}")

    def _list_all(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        path: str | None = "/api/v1/analyses"
        while path:
            status, body, _ = self.ask("GET", path)
            _expect(status == HTTPStatus.OK, f"the history answers {status}")
            page = json.loads(body)
            found += page["analyses"]
            path = page["next"]
        return found


def _expect(condition: bool, what: str) -> None:
    if not condition:
        raise LostError(what)

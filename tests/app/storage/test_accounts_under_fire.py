"""Eight processes register users and are killed while they do; no confirmed account is lost."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from app.storage.tinydb_users import TinyDBUserStore

PROCESSES = 8
KILLED_ROUNDS = 4
ROOT = Path(__file__).parents[3]

# Registers under names that all processes fight for and under names of its own, and says so on its
# standard output only after add() has returned.
WORKER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4
from app.errors import UsernameTakenError
from app.records import Role, User
from app.storage.tinydb_users import TinyDBUserStore

users = TinyDBUserStore(Path(sys.argv[1]))
worker = sys.argv[2]
for number in range(int(sys.argv[3])):
    for name in (f"shared-{number}", f"own-{worker}-{number}"):
        user = User(
            id=uuid4(), username=name, email=f"{uuid4()}@hospital.org", mobile="",
            password_hash="", role=Role.CLINICIAN, is_active=True, created=datetime.now(UTC),
        )
        try:
            users.add(user)
        except UsernameTakenError:
            continue
        print(name, user.id, flush=True)
"""


def start_worker(data_dir: Path, name: str, count: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, str(data_dir), name, str(count)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def confirmed_by(worker: subprocess.Popen[str]) -> list[tuple[str, str]]:
    """Return the names and ids that a worker that has ended had confirmed in whole lines."""
    assert worker.stdout is not None
    with worker.stdout as output:
        lines = [line for line in output if line.endswith("\n")]
    worker.wait()
    return [(name, identity) for name, identity in (line.split() for line in lines)]


def assert_all_are_there(data_dir: Path, confirmed: list[tuple[str, str]]) -> None:
    json.loads((data_dir / "users.json").read_text(encoding="utf-8"))
    users = TinyDBUserStore(data_dir)
    stored = users.list()
    users.close()
    names = [user.username for user in stored]
    assert len(names) == len(set(names)), "an account is doubled"
    missing = set(confirmed) - {(user.username, str(user.id)) for user in stored}
    assert not missing, "a confirmed account is missing"


def test_no_confirmed_account_is_lost_when_its_process_is_killed(tmp_path: Path) -> None:
    generator = random.Random(4711)
    confirmed: list[tuple[str, str]] = []
    for round_number in range(KILLED_ROUNDS):
        workers = [
            start_worker(tmp_path, f"{round_number}-{n}", count=10_000) for n in range(PROCESSES)
        ]
        first_line_deadline_s = time.monotonic() + 60
        while not (tmp_path / "users.json").exists() and time.monotonic() < first_line_deadline_s:
            time.sleep(0.01)
        for worker in workers:
            time.sleep(generator.uniform(0.05, 0.25))
            worker.send_signal(signal.SIGKILL)
        for worker in workers:
            confirmed += confirmed_by(worker)
        assert_all_are_there(tmp_path, confirmed)

    assert len(confirmed) > PROCESSES
    assert len({name for name, _ in confirmed}) == len(confirmed)


def test_processes_that_register_at_once_keep_every_account(tmp_path: Path) -> None:
    workers = [start_worker(tmp_path, str(number), count=5) for number in range(PROCESSES)]

    confirmed = [pair for worker in workers for pair in confirmed_by(worker)]

    assert all(worker.returncode == 0 for worker in workers)
    assert len(confirmed) == 5 + 5 * PROCESSES
    assert_all_are_there(tmp_path, confirmed)

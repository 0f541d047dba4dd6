"""What TinyDB's store of accounts does beyond the others: its files, and what becomes of them."""

import json
import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from app.errors import StorageError, UsernameTakenError
from app.records import Role
from app.storage.tinydb_users import TinyDBUserStore
from tests.app.storage.conftest import UserFactory


@pytest.fixture
def users(tmp_path: Path) -> Iterator[TinyDBUserStore]:
    """An empty store of accounts in ``tmp_path``."""
    with closing(TinyDBUserStore(tmp_path)) as store:
        yield store


def test_two_stores_on_one_folder_see_each_other(
    tmp_path: Path, users: TinyDBUserStore, make_user: UserFactory
) -> None:
    other = TinyDBUserStore(tmp_path)
    alice, bob = make_user("alice"), make_user("bob")

    users.add(alice)
    assert other.find_by_username("alice") == alice
    other.add(bob)
    assert users.find_by_username("bob") == bob
    users.replace(replace(bob, is_active=False))
    found = other.find(bob.id)
    assert found is not None
    assert not found.is_active
    other.delete(bob.id)
    assert users.find_by_username("bob") is None
    with pytest.raises(UsernameTakenError):
        other.add(make_user("alice"))
    other.close()


def test_a_failed_write_changes_nothing(
    users: TinyDBUserStore, make_user: UserFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = make_user("alice")
    users.add(alice)
    users.list()

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(StorageError, match="No space left"):
            users.add(make_user("bob"))
        with pytest.raises(StorageError, match="No space left"):
            users.replace(replace(alice, is_active=False))
        with pytest.raises(StorageError, match="No space left"):
            users.delete(alice.id)

    assert users.list() == [alice]


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"username": "alice"},
        {"username": None, "email": None},
        {
            "username": "alice",
            "email": "a@b.org",
            "mobile": "",
            "password_hash": "",
            "role": "emperor",
            "is_active": True,
            "created": "2026-11-20T12:00:00+00:00",
        },
        {
            "username": "alice",
            "email": "a@b.org",
            "mobile": "",
            "password_hash": "",
            "role": "clinician",
            "is_active": "no",
            "created": "2026-11-20T12:00:00+00:00",
        },
        {
            "username": "alice",
            "email": "a@b.org",
            "mobile": "",
            "password_hash": None,
            "role": "clinician",
            "is_active": True,
            "created": "2026-11-20T12:00:00+00:00",
        },
    ],
)
def test_an_incomplete_account_is_reported(
    tmp_path: Path, users: TinyDBUserStore, record: dict[str, object]
) -> None:
    content = json.dumps({"users": {str(UUID(int=1)): record}})
    (tmp_path / "users.json").write_text(content, encoding="utf-8")

    with pytest.raises(StorageError, match=r"users\.json"):
        users.find(UUID(int=1))
    with pytest.raises(StorageError, match=r"users\.json"):
        users.find_by_username("alice")
    assert (tmp_path / "users.json").read_text(encoding="utf-8") == content


def test_the_file_names_nobodys_counter(
    tmp_path: Path, users: TinyDBUserStore, make_user: UserFactory
) -> None:
    alice = make_user("alice")
    users.add(alice)

    stored = json.loads((tmp_path / "users.json").read_text(encoding="utf-8"))

    assert list(stored["users"]) == [str(alice.id)]


VERSION_1 = """\
{"users": {"00000000-0000-4000-8000-000000000001": {
 "username": "alice", "email": "alice@hospital.org", "mobile": "+4915123456789",
 "password_hash": "scrypt:32768:8:1$salt$hash", "role": "admin", "is_active": true,
 "created": "2026-11-20T12:00:00+00:00"}}}
"""
"""Accounts as the first version of Veriscan wrote them."""


def test_accounts_of_the_first_version_are_read_and_kept(
    tmp_path: Path, make_user: UserFactory
) -> None:
    path = tmp_path / "users.json"
    path.write_text(VERSION_1, encoding="utf-8")
    store = TinyDBUserStore(tmp_path)

    alice = store.find_by_username("alice")
    assert alice is not None
    assert not alice.awaits_approval
    assert alice.role is Role.ADMIN
    assert path.read_text(encoding="utf-8") == VERSION_1  # reading changes nothing
    store.add(make_user("bob", email="b@hospital.org", awaits_approval=True, is_active=False))

    again = TinyDBUserStore(tmp_path)
    assert again.find(alice.id) == alice
    assert [user.awaits_approval for user in again.list()] == [False, True]
    assert json.loads(path.read_text(encoding="utf-8"))["_format"] == {
        "1": {"version": 3, "generation": 1}
    }
    store.close()
    again.close()


def test_accounts_of_a_newer_version_are_left_alone(tmp_path: Path, make_user: UserFactory) -> None:
    content = '{"users": {}, "_format": {"1": {"version": 4}}}'
    (tmp_path / "users.json").write_text(content, encoding="utf-8")
    store = TinyDBUserStore(tmp_path)

    with pytest.raises(StorageError, match="newer Veriscan"):
        store.find_by_username("alice")
    with pytest.raises(StorageError, match="newer Veriscan"):
        store.add(make_user("alice"))
    assert (tmp_path / "users.json").read_text(encoding="utf-8") == content
    store.close()


def test_names_are_found_in_an_index_that_follows_each_change(
    tmp_path: Path, users: TinyDBUserStore, make_user: UserFactory
) -> None:
    other = TinyDBUserStore(tmp_path)
    alice = make_user("alice")
    users.add(alice)
    assert other.find_by_username("alice") == alice

    users.replace(replace(alice, username="alicia", email="alicia@hospital.org"))

    assert other.find_by_username("alice") is None
    assert other.find_by_email("alicia@hospital.org") == users.find(alice.id)
    with users.transaction():
        users.delete(alice.id)
        assert users.find_by_username("alicia") is None
    other.close()

import json
from dataclasses import replace
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from app.errors import EmailTakenError, NotFoundError, StorageError, UsernameTakenError
from app.records import Role
from app.storage.users import UserStore
from tests.app.storage.conftest import UserFactory


def test_a_user_comes_back_as_it_went_in(users: UserStore, make_user: UserFactory) -> None:
    alice = make_user("Alice", role=Role.ADMIN)

    users.add(alice)

    assert users.get(alice.id) == alice
    assert users.find(alice.id) == alice
    assert users.find_by_username("aLICE") == alice
    assert users.find_by_email("ALICE@Hospital.ORG") == alice
    assert users.list() == [alice]


def test_what_is_not_there_is_none_or_an_error(users: UserStore) -> None:
    assert users.find(uuid4()) is None
    assert users.find_by_username("alice") is None
    assert users.find_by_email("alice@hospital.org") is None
    assert users.list() == []
    with pytest.raises(NotFoundError):
        users.get(uuid4())


def test_a_username_is_given_once_whatever_its_case(
    users: UserStore, make_user: UserFactory
) -> None:
    users.add(make_user("alice"))

    with pytest.raises(UsernameTakenError):
        users.add(make_user("ALICE", email="other@hospital.org"))
    assert len(users.list()) == 1


def test_an_email_is_given_once_whatever_its_case(users: UserStore, make_user: UserFactory) -> None:
    users.add(make_user("alice"))

    with pytest.raises(EmailTakenError):
        users.add(make_user("bob", email="Alice@HOSPITAL.org"))
    assert len(users.list()) == 1


def test_a_user_is_replaced_and_the_others_stay(users: UserStore, make_user: UserFactory) -> None:
    alice, bob = make_user("alice"), make_user("bob")
    users.add(alice)
    users.add(bob)
    deactivated = replace(alice, is_active=False, username="ALICE")

    users.replace(deactivated)

    assert users.list() == [deactivated, bob]


def test_a_user_cannot_take_the_name_of_another(users: UserStore, make_user: UserFactory) -> None:
    alice, bob = make_user("alice"), make_user("bob")
    users.add(alice)
    users.add(bob)

    with pytest.raises(UsernameTakenError):
        users.replace(replace(bob, username="Alice"))
    with pytest.raises(EmailTakenError):
        users.replace(replace(bob, email=alice.email))
    assert users.get(bob.id) == bob


def test_a_deleted_user_is_gone_and_nobody_inherits_the_id(
    users: UserStore, make_user: UserFactory
) -> None:
    alice, bob = make_user("alice"), make_user("bob")
    users.add(alice)
    users.delete(alice.id)

    users.add(bob)

    assert users.find(alice.id) is None
    assert users.list() == [bob]
    for change in (users.delete, users.get):
        with pytest.raises(NotFoundError):
            change(alice.id)
    with pytest.raises(NotFoundError):
        users.replace(alice)


def test_active_admins_are_counted(users: UserStore, make_user: UserFactory) -> None:
    users.add(make_user("alice", role=Role.ADMIN))
    users.add(make_user("bob", role=Role.ADMIN, is_active=False))
    users.add(make_user("charlie"))

    assert users.count_active_admins() == 1


def test_users_are_listed_by_name(users: UserStore, make_user: UserFactory) -> None:
    for username in ("charlie", "Bob", "alice"):
        users.add(make_user(username))

    assert [user.username for user in users.list()] == ["alice", "Bob", "charlie"]


def test_two_stores_on_one_folder_see_each_other(
    tmp_path: Path, users: UserStore, make_user: UserFactory
) -> None:
    other = UserStore(tmp_path)
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
    users: UserStore, make_user: UserFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = make_user("alice")
    users.add(alice)
    users.list()

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", fail)
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
    tmp_path: Path, users: UserStore, record: dict[str, object]
) -> None:
    content = json.dumps({"users": {str(UUID(int=1)): record}})
    (tmp_path / "users.json").write_text(content, encoding="utf-8")

    with pytest.raises(StorageError, match=r"users\.json"):
        users.find(UUID(int=1))
    with pytest.raises(StorageError, match=r"users\.json"):
        users.find_by_username("alice")
    assert (tmp_path / "users.json").read_text(encoding="utf-8") == content


def test_the_file_names_nobodys_counter(
    tmp_path: Path, users: UserStore, make_user: UserFactory
) -> None:
    alice = make_user("alice")
    users.add(alice)

    stored = json.loads((tmp_path / "users.json").read_text(encoding="utf-8"))

    assert list(stored["users"]) == [str(alice.id)]

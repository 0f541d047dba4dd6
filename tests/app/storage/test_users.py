"""What every store of accounts must do: TinyDB, SQLite and PostgreSQL."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from uuid import uuid4

import pytest

from app.errors import EmailTakenError, NotFoundError, UsernameTakenError
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


def test_a_transaction_sees_its_own_changes_and_goes_on_after_a_refusal(
    users: UserStore, make_user: UserFactory
) -> None:
    alice = make_user("alice")
    with users.transaction():
        users.add(alice)
        assert users.find_by_username("alice") == alice
        with users.transaction():
            users.replace(replace(alice, role=Role.ADMIN))
        assert users.count_active_admins() == 1
        with pytest.raises(UsernameTakenError):
            users.add(make_user("Alice", email="other@hospital.org"))

    assert users.list() == [replace(alice, role=Role.ADMIN)]


def test_many_are_changed_at_once_or_none(users: UserStore, make_user: UserFactory) -> None:
    alice, bob, charlie = (make_user(name) for name in ("alice", "bob", "charlie"))
    for user in (alice, bob, charlie):
        users.add(user)

    with pytest.raises(NotFoundError):
        users.set_fields([alice.id, uuid4()], {"is_active": False})
    assert users.get(alice.id) == alice
    users.set_fields([alice.id, bob.id], {"role": "admin", "awaits_approval": False})

    assert [user.role for user in users.list()] == [Role.ADMIN, Role.ADMIN, Role.CLINICIAN]
    users.set_fields([], {"is_active": False})
    assert users.count_active_admins() == 2


def test_threads_that_fight_for_one_name_leave_one_account(
    users: UserStore, make_user: UserFactory
) -> None:
    def register(number: int) -> bool:
        try:
            users.add(make_user("alice", email=f"alice{number}@hospital.org"))
        except UsernameTakenError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(register, range(8))) == 1
    assert len(users.list()) == 1


def test_letters_are_compared_alike_in_every_store(
    users: UserStore, make_user: UserFactory
) -> None:
    users.add(make_user("Ärztin", email="STRASSE@hospital.org"))

    assert users.find_by_username("ÄRZTIN") is not None
    assert users.find_by_email("straße@hospital.org") is not None

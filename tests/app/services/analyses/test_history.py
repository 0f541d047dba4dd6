"""What becomes of analyses when many go at once, or their owner goes."""

from collections.abc import Callable
from contextlib import suppress
from operator import attrgetter
from typing import Any

import pytest

from app.errors import AccountInactiveError
from app.records import HistoryFilter, HistoryOrder, User
from app.services.container import Services
from tests.app.services.conftest import OWNER
from tests.factories import png_bytes


def pictures_of(services: Services) -> list[str]:
    return [path.name for path in (services.settings.data_dir / "images").rglob("*.png")]


@pytest.mark.parametrize(
    "moment",
    [
        "analyses._receiver._decoded",
        "analyses._store.add",
        "analyses._images.put_all",
        "analyses._receiver._admit",
        "analyses._judging.begin",
    ],
)
def test_a_user_who_is_deleted_during_an_upload_leaves_nothing(
    services: Services, alice: User, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, _, name = moment.rpartition(".")
    act: Callable[..., Any] = attrgetter(moment)(services)

    def act_after_the_user_is_gone(*arguments: Any, **named: Any) -> Any:
        if services.accounts.find(alice.id):
            services.accounts.delete(alice.id)
        return act(*arguments, **named)

    monkeypatch.setattr(attrgetter(owner)(services), name, act_after_the_user_is_gone)

    with suppress(AccountInactiveError):
        analysis = services.analyses.submit(alice, "lung_ct", png_bytes())
        services.analyses._judging.wait(analysis.id, 30)

    assert services.analyses._store.ids_of_user(alice.id) == []
    assert pictures_of(services) == []


def test_nothing_of_a_deactivated_user_is_taken_in(services: Services, alice: User) -> None:
    services.accounts.set_active(alice.id, active=False)

    with pytest.raises(AccountInactiveError):
        services.analyses.submit(alice, "lung_ct", png_bytes())
    assert pictures_of(services) == []
    assert services.analyses._store.removals.pending() == []


def test_many_are_deleted_with_their_pictures_also_while_they_are_judged(
    services: Services, alice: User
) -> None:
    his = services.analyses.submit(OWNER, "lung_ct", png_bytes())
    hers = [services.analyses.submit(alice, "lung_ct", png_bytes()) for _ in range(5)]
    services.analyses.wait(hers[0].id, 30)

    done = services.history.delete(alice, HistoryFilter(), patience_s=30)

    for analysis in (his, *hers):
        services.analyses._judging.wait(analysis.id, 30)
    assert (done.deleted, done.left) == (5, 0)
    assert {name.split(".")[0] for name in pictures_of(services)} == {his.id.hex}
    assert services.history.recent(alice, 9) == []
    assert [line.analysis.id for line in services.history.recent(OWNER, 9)] == [his.id]


def test_an_export_that_is_longer_than_what_is_read_at_once_is_whole(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.services.analyses.history.READ_AT_ONCE", 2)
    submitted = [services.analyses.submit(OWNER, "lung_ct", png_bytes()).id for _ in range(5)]

    lines = services.history.each(OWNER, HistoryFilter(), HistoryOrder.OLDEST, file_format="csv")

    assert [line.analysis.id for line in lines] == submitted

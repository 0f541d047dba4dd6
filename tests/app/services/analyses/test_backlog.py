"""When the store is asked who waits; that all who wait are judged is tested with the uploads."""

from dataclasses import replace

import pytest
import sqlalchemy as sa

from app.records import Analysis, AnalysisStatus
from app.services.analyses import backlog
from app.services.container import Services
from tests.app.services.analyses.test_judging import DEADLINE_S, eventually
from tests.app.services.conftest import OWNER
from tests.factories import png_bytes


def judged(services: Services) -> Analysis:
    analysis = services.analyses.submit(OWNER, "lung_ct", png_bytes())
    return services.analyses.wait(analysis.id, DEADLINE_S)


def test_after_each_scan_the_store_is_not_asked_again_who_waits(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = services.analyses._backlog
    assert eventually(lambda: not line._may_wait)
    monkeypatch.setattr(backlog, "RETRY_S", 3600.0)
    asked: list[str] = []
    engine = services.analyses._store._database._engine
    sa.event.listen(engine, "before_cursor_execute", lambda *event: asked.append(event[2]))

    assert all(judged(services).status is AnalysisStatus.DONE for _ in range(3))

    assert eventually(lambda: not line._wake.is_set())
    assert asked
    assert not [statement for statement in asked if "row_number" in statement]


def test_a_waiting_scan_of_which_nobody_told_is_found_when_another_is_finished(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    forgotten = judged(services)
    services.analyses._store.update(
        replace(forgotten, status=AnalysisStatus.QUEUED, finding=None, finished=None)
    )
    monkeypatch.setattr(backlog, "RETRY_S", 0.0)

    judged(services)

    assert eventually(
        lambda: services.analyses.get(OWNER, forgotten.id).status is AnalysisStatus.DONE
    )

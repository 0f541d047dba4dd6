from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from app.engine.engine import InProcessEngine
from app.errors import QueueFullError
from app.services.analyses.door import Door
from tests.app.services.conftest import HeldEngine
from tests.factories import make_grey


def test_no_more_are_on_the_way_than_the_queue_has_places(engine: InProcessEngine) -> None:
    door = Door(HeldEngine(engine, capacity=3))
    inside = Barrier(4)

    def pass_through(_number: int) -> bool:
        try:
            with door.passage():
                inside.wait(timeout=20)
        except QueueFullError:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        passing = [threads.submit(pass_through, number) for number in range(8)]
        while sum(one.done() for one in passing) < 5:
            pass
        inside.wait(timeout=20)

    assert sum(one.result() for one in passing) == 3


def test_who_has_passed_or_failed_leaves_the_place_to_the_next(engine: InProcessEngine) -> None:
    door = Door(HeldEngine(engine, capacity=1))

    for _ in range(3):
        with door.passage():
            pass
    with pytest.raises(ValueError, match="unreadable"), door.passage():
        raise ValueError("unreadable")
    with door.passage(), pytest.raises(QueueFullError), door.passage():
        pass


def test_a_scan_that_is_submitted_takes_one_place_and_never_two(engine: InProcessEngine) -> None:
    held = HeldEngine(engine, capacity=2)
    door = Door(held)

    with ThreadPoolExecutor(1) as threads, door.passage() as entering:
        with entering():
            held.submit("lung_ct", make_grey())
            next_one = threads.submit(door.check)
            with pytest.raises(TimeoutError):
                next_one.result(timeout=0.2)  # it is not counted while one goes in
        next_one.result(timeout=20)

"""Turns at what few can use at once: user by user."""

from threading import Event, Thread

from app.services.analyses.turns import FairTurns

PATIENCE_S = 20.0


class Crowd:
    """Those who want a turn; each has a thread and keeps the turn until told to go."""

    def __init__(self, turns: FairTurns) -> None:
        self._turns = turns
        self._threads: list[Thread] = []
        self.let_in: list[str] = []
        self._in = Event()
        self._go: dict[str, Event] = {}

    def come(self, name: str) -> None:
        """Let somebody come; the first letter of a name says which user it is."""
        self._go[name] = Event()
        waiting = sum(map(len, self._turns._lines.values())) + len(self.let_in)
        thread = Thread(target=self._take, args=(name,))
        self._threads.append(thread)
        thread.start()
        while sum(map(len, self._turns._lines.values())) + len(self.let_in) == waiting:
            thread.join(0.001)

    def leave(self, name: str) -> str | None:
        """Let somebody go; return who comes in instead."""
        before = len(self.let_in)
        is_next = any(self._turns._lines.values())
        self._in.clear()
        self._go[name].set()
        self._threads[list(self._go).index(name)].join(PATIENCE_S)
        if not is_next:
            return None
        assert self._in.wait(PATIENCE_S)
        return self.let_in[before]

    def _take(self, name: str) -> None:
        with self._turns.turn_of(name[0]):
            self.let_in.append(name)
            self._in.set()
            assert self._go[name].wait(PATIENCE_S)


def test_who_has_no_turn_comes_before_who_has_one_however_long_their_line_is() -> None:
    crowd = Crowd(FairTurns(2))
    for name in ("a1", "a2", "a3", "a4", "b1"):
        crowd.come(name)
    assert crowd.let_in == ["a1", "a2"]

    assert crowd.leave("a1") == "b1"
    assert crowd.leave("a2") == "a3"
    crowd.come("c1")
    assert crowd.leave("b1") == "c1"
    assert crowd.leave("c1") == "a4"
    assert crowd.leave("a3") is None
    assert crowd.leave("a4") is None


def test_among_equals_comes_who_has_waited_longest_since_their_last_turn() -> None:
    crowd = Crowd(FairTurns(1))
    for name in ("a1", "a2", "a3", "b1", "b2", "c1"):
        crowd.come(name)

    order = ["a1"]
    while (following := crowd.leave(order[-1])) is not None:
        order.append(following)

    assert order == ["a1", "a2", "b1", "c1", "a3", "b2"]

"""A clock that stands still until a test moves it."""

from datetime import UTC, datetime, timedelta


class MovableClock:
    """Tells a time in place of ``app.services.clock.utc_now``."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        """Return the time."""
        return self.now

    def move(self, **duration: float) -> None:
        """Move on, for instance by ``minutes=20``."""
        self.now += timedelta(**duration)

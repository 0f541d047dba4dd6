import base64
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Thread
from uuid import UUID

import pyotp
import pytest

from app.errors import CodeWrongError, SecondFactorNotBegunError, SecondFactorOnError
from app.records import User
from app.services.accounts.identity import Identity
from app.services.accounts.second_factors import SecondFactorService
from app.services.container import Services
from tests.app.services.accounts.conftest import actions
from tests.movable_clock import MovableClock


def code_of(seed: str, clock: MovableClock) -> str:
    """Return the code that the app shows in the next step; one can be taken a step."""
    clock.move(seconds=30)
    return pyotp.TOTP(seed).at(clock.now)


def turn_on(identity: Identity, user: User, clock: MovableClock) -> tuple[str, list[str]]:
    """Turn a user's second factor on; return its seed and the recovery codes."""
    identity.second_factors.begin(user.id)
    seed = identity.second_factors.seed(user.id)
    return seed, identity.second_factors.confirm(user.id, code_of(seed, clock))


@pytest.fixture
def factors(identity: Identity) -> SecondFactorService:
    return identity.second_factors


@pytest.mark.parametrize(
    ("unix_time", "code"),
    [(59, "287082"), (1111111109, "081804"), (1234567890, "005924"), (20000000000, "353130")],
)
def test_codes_are_those_of_the_standard(unix_time: int, code: str) -> None:
    """The test vectors of RFC 6238, appendix B, cut to six digits."""
    seed = base64.b32encode(b"12345678901234567890").decode()

    assert pyotp.TOTP(seed).at(unix_time) == code


def test_it_is_on_only_once_a_code_was_right(
    factors: SecondFactorService, alice: User, clock: MovableClock, services: Services
) -> None:
    factors.begin(alice.id)
    seed = factors.seed(alice.id)

    with pytest.raises(CodeWrongError):
        factors.confirm(alice.id, "000000")
    assert not factors.status(alice.id).is_on
    codes = factors.confirm(alice.id, code_of(seed, clock))

    status = factors.status(alice.id)
    assert (status.is_on, status.recovery_codes) == (True, 10)
    assert len(set(codes)) == 10
    assert factors.users() == {alice.id}
    assert actions(services)[-1] == "account.second_factor_on"


def test_the_seed_is_shown_only_while_it_is_set_up(
    identity: Identity, factors: SecondFactorService, alice: User, clock: MovableClock
) -> None:
    turn_on(identity, alice, clock)

    with pytest.raises(SecondFactorNotBegunError):
        factors.seed(alice.id)
    with pytest.raises(SecondFactorNotBegunError):
        factors.qr_svg(alice)
    with pytest.raises(SecondFactorOnError):
        factors.begin(alice.id)


def test_neither_seed_nor_recovery_codes_are_stored_legibly(
    identity: Identity, services: Services, alice: User, clock: MovableClock
) -> None:
    seed, codes = turn_on(identity, alice, clock)

    stored = b"".join(path.read_bytes() for path in services.settings.data_dir.glob("*sqlite3*"))

    assert seed.encode() not in stored
    assert codes[0].encode() not in stored
    assert codes[0].replace("-", "").encode() not in stored


def test_a_seed_that_another_window_replaced_meanwhile_is_not_turned_on(
    factors: SecondFactorService,
    alice: User,
    clock: MovableClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    factors.begin(alice.id)
    code = code_of(factors.seed(alice.id), clock)
    take_step = factors._store.take_step

    def take_step_after_another_window_began(user_id: UUID, step: int) -> bool:
        factors.begin(user_id)
        return take_step(user_id, step)

    monkeypatch.setattr(factors._store, "take_step", take_step_after_another_window_began)

    with pytest.raises(SecondFactorNotBegunError):
        factors.confirm(alice.id, code)
    assert not factors.is_on(alice.id)


def test_a_recovery_code_taken_many_times_at_once_is_right_once(
    identity: Identity, factors: SecondFactorService, alice: User, clock: MovableClock
) -> None:
    _, codes = turn_on(identity, alice, clock)

    def is_right(code: str) -> bool:
        try:
            factors.check(alice.id, code)
        except CodeWrongError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(is_right, codes[:2] * 8))

    assert sum(taken) == 2
    assert factors.status(alice.id).recovery_codes == len(codes) - 2


def test_a_code_is_taken_once_and_none_before_it_afterwards(
    identity: Identity, factors: SecondFactorService, alice: User, clock: MovableClock
) -> None:
    seed, _ = turn_on(identity, alice, clock)
    earlier = code_of(seed, clock)
    code = code_of(seed, clock)
    factors.check(alice.id, code)

    for old in (code, earlier):
        with pytest.raises(CodeWrongError):
            factors.check(alice.id, old)
    factors.check(alice.id, code_of(seed, clock))


def test_a_code_taken_twice_at_once_is_right_once(
    identity: Identity, factors: SecondFactorService, alice: User, clock: MovableClock
) -> None:
    seed, _ = turn_on(identity, alice, clock)
    code = code_of(seed, clock)
    both_ready, refused = Barrier(2), []

    def check() -> None:
        both_ready.wait()
        try:
            factors.check(alice.id, code)
        except CodeWrongError as error:
            refused.append(error)

    threads = [Thread(target=check) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(refused) == 1


@pytest.mark.parametrize(
    ("seconds", "is_taken"), [(-60, False), (-30, True), (30, True), (60, False)]
)
def test_clocks_may_differ_by_one_step(
    identity: Identity,
    factors: SecondFactorService,
    alice: User,
    clock: MovableClock,
    seconds: int,
    is_taken: bool,
) -> None:
    seed, _ = turn_on(identity, alice, clock)
    clock.move(minutes=10)
    code = pyotp.TOTP(seed).at(int(clock.now.timestamp()) + seconds)

    if is_taken:
        factors.check(alice.id, code)
    else:
        with pytest.raises(CodeWrongError):
            factors.check(alice.id, code)


def test_a_recovery_code_is_taken_once_however_it_is_typed(
    identity: Identity, factors: SecondFactorService, alice: User, clock: MovableClock
) -> None:
    _, codes = turn_on(identity, alice, clock)

    factors.check(alice.id, f" {codes[3].upper().replace('-', ' ')} ")

    with pytest.raises(CodeWrongError):
        factors.check(alice.id, codes[3])
    assert factors.status(alice.id).recovery_codes == 9


def test_new_recovery_codes_replace_the_old(
    identity: Identity, factors: SecondFactorService, alice: User, clock: MovableClock
) -> None:
    _, old = turn_on(identity, alice, clock)

    new = factors.renew_recovery_codes(alice.id)

    with pytest.raises(CodeWrongError):
        factors.check(alice.id, old[0])
    factors.check(alice.id, new[0])


def test_recovery_codes_are_of_their_user_alone(
    identity: Identity,
    factors: SecondFactorService,
    alice: User,
    charlie: User,
    clock: MovableClock,
) -> None:
    _, codes = turn_on(identity, alice, clock)
    turn_on(identity, charlie, clock)

    with pytest.raises(CodeWrongError):
        factors.check(charlie.id, codes[0])


def test_turned_off_it_asks_for_nothing(
    identity: Identity, factors: SecondFactorService, alice: User, clock: MovableClock
) -> None:
    seed, codes = turn_on(identity, alice, clock)

    factors.turn_off(alice.id, actor=alice.id)

    assert not factors.is_on(alice.id)
    for code in (code_of(seed, clock), codes[0]):
        with pytest.raises(CodeWrongError):
            factors.check(alice.id, code)
    with pytest.raises(SecondFactorNotBegunError):
        factors.renew_recovery_codes(alice.id)


def test_with_another_secret_key_recovery_codes_are_left(
    identity: Identity, services: Services, alice: User, clock: MovableClock
) -> None:
    seed, codes = turn_on(identity, alice, clock)
    other = SecondFactorService(identity.second_factors._store, "x" * 40, services.audit, clock)

    with pytest.raises(CodeWrongError):
        other.check(alice.id, code_of(seed, clock))
    other.check(alice.id, codes[0])


@pytest.mark.parametrize(
    "code", ["", " ", "abc", "１２３４５６", "0" * 100_000, "\ud800", "-" * 50]
)
def test_odd_codes_are_wrong(
    identity: Identity, alice: User, clock: MovableClock, code: str
) -> None:
    turn_on(identity, alice, clock)

    with pytest.raises(CodeWrongError):
        identity.second_factors.check(alice.id, code)


def test_the_picture_is_an_svg_without_scripts_or_styles(
    factors: SecondFactorService, alice: User
) -> None:
    factors.begin(alice.id)

    svg = factors.qr_svg(alice).decode()

    assert '<svg xmlns="http://www.w3.org/2000/svg"' in svg
    assert "<script" not in svg
    assert "style=" not in svg

import pytest

from app.errors import SealBrokenError
from app.services.sealing import Sealer

KEY = "k" * 40


def test_what_is_sealed_is_opened_with_the_same_key_and_purpose() -> None:
    sealed = Sealer(KEY, "seeds").seal("JBSWY3DPEHPK3PXP")

    assert "JBSWY3DPEHPK3PXP" not in sealed
    assert Sealer(KEY, "seeds").open(sealed) == "JBSWY3DPEHPK3PXP"


@pytest.mark.parametrize(("key", "purpose"), [("x" * 40, "seeds"), (KEY, "scans")])
def test_no_other_key_and_no_other_purpose_opens_it(key: str, purpose: str) -> None:
    sealed = Sealer(KEY, "seeds").seal("secret")

    with pytest.raises(SealBrokenError):
        Sealer(key, purpose).open(sealed)


@pytest.mark.parametrize("sealed", ["", "nonsense", "gAAAA" * 20])
def test_what_was_never_sealed_is_not_opened(sealed: str) -> None:
    with pytest.raises(SealBrokenError):
        Sealer(KEY, "seeds").open(sealed)

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_public_key,
)

from app.errors import SigningKeyError, StorageError
from app.services.certificates.signing import SigningService, is_signed_by, public_pem
from app.storage.database import Database, sqlite_url
from app.storage.signing_key import FILE_NAME, PrivateKeyFile, PublicKeyStore

MESSAGE = b'{"verdict":"fake"}'


@pytest.fixture
def public(tmp_path: Path) -> Iterator[PublicKeyStore]:
    database = Database(sqlite_url(tmp_path))
    yield PublicKeyStore(database)
    database.close()


@pytest.fixture
def signing(tmp_path: Path, public: PublicKeyStore) -> SigningService:
    return SigningService(PrivateKeyFile(tmp_path), public)


def test_the_first_start_makes_a_key_that_only_its_owner_can_read(
    tmp_path: Path, signing: SigningService
) -> None:
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600
    assert [key.id for key in signing.public_keys()] == [signing.signer().key_id]


def test_a_second_start_uses_the_same_key(
    tmp_path: Path, public: PublicKeyStore, signing: SigningService
) -> None:
    again = SigningService(PrivateKeyFile(tmp_path), public)

    assert again.signer().key_id == signing.signer().key_id
    assert len(again.public_keys()) == 1


def test_a_signature_fits_its_message_and_no_other(signing: SigningService) -> None:
    (key,) = signing.public_keys()
    signature = signing.signer().sign(MESSAGE)

    assert is_signed_by(key, signature, MESSAGE)
    assert not is_signed_by(key, signature, MESSAGE + b" ")


@pytest.mark.parametrize("change", [str.upper, lambda s: s + "\n", lambda s: s[:-1], lambda s: ""])
def test_another_spelling_of_a_signature_is_refused(
    signing: SigningService, change: object
) -> None:
    assert callable(change)
    (key,) = signing.public_keys()
    signature = "ab" * 64

    assert not is_signed_by(key, change(signature), MESSAGE)
    assert not is_signed_by(key, change(signing.signer().sign(MESSAGE)), MESSAGE)


def test_what_an_old_key_signed_stays_good_after_a_new_one_came(signing: SigningService) -> None:
    old = signing.signer()
    signature = old.sign(MESSAGE)

    new_id = signing.rotate()

    key = signing.find_key(old.key_id)
    assert key is not None
    assert key.withdrawn is None
    assert is_signed_by(key, signature, MESSAGE)
    assert signing.signer().key_id == new_id != old.key_id
    assert signing.installation == old.key_id


def test_a_running_server_follows_a_rotation_by_another_process(
    tmp_path: Path, public: PublicKeyStore, signing: SigningService
) -> None:
    new_id = SigningService(PrivateKeyFile(tmp_path), public).rotate()

    assert signing.signer().key_id == new_id


def test_a_key_that_others_may_have_can_be_withdrawn(signing: SigningService) -> None:
    old_id = signing.signer().key_id

    signing.rotate(withdraw=True)

    key = signing.find_key(old_id)
    assert key is not None
    assert key.withdrawn is not None


def test_a_withdrawal_that_was_broken_off_withdraws_the_same_key_the_next_time(
    signing: SigningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    old_id = signing.signer().key_id
    with monkeypatch.context() as broken:
        broken.setattr("app.storage.signing_key.write_atomically", full_disk)
        with pytest.raises(StorageError):
            signing.rotate(withdraw=True)

    new_id = signing.rotate(withdraw=True)

    assert {key.id: key.withdrawn is None for key in signing.public_keys()} == {
        old_id: False,
        new_id: True,
    }


def full_disk(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_the_public_key_can_be_read_by_other_tools(signing: SigningService) -> None:
    (key,) = signing.public_keys()

    public = load_pem_public_key(public_pem(key))

    public.verify(bytes.fromhex(signing.signer().sign(MESSAGE)), MESSAGE)  # type: ignore[call-arg, union-attr]


# --- a key of the operator's ----------------------------------------------------------------


def pem_of(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def test_a_key_may_come_from_a_file_which_is_never_written(
    tmp_path: Path, public: PublicKeyStore
) -> None:
    given = tmp_path / "given.pem"
    given.write_bytes(pem_of(Ed25519PrivateKey.generate()))
    given.chmod(0o400)
    signing = SigningService(PrivateKeyFile(tmp_path, given), public)
    first = signing.signer().key_id

    with pytest.raises(SigningKeyError, match="VERISCAN_SIGNING_KEY_FILE"):
        signing.rotate()

    assert not (tmp_path / FILE_NAME).exists()
    given.chmod(0o600)
    given.write_bytes(pem_of(Ed25519PrivateKey.generate()))
    assert signing.signer().key_id != first
    assert len(signing.public_keys()) == 2


@pytest.mark.parametrize(
    "pem",
    [
        b"",
        b"-----BEGIN PRIVATE KEY-----\nnonsense\n-----END PRIVATE KEY-----\n",
        generate_private_key(SECP256R1()).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        ),
        Ed25519PrivateKey.generate().private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"locked")
        ),
    ],
    ids=["empty", "damaged", "another kind", "locked"],
)
def test_a_file_without_a_usable_key_stops_the_start(
    tmp_path: Path, public: PublicKeyStore, pem: bytes
) -> None:
    given = tmp_path / "given.pem"
    given.write_bytes(pem)

    with pytest.raises(SigningKeyError):
        SigningService(PrivateKeyFile(tmp_path, given), public)


def test_a_key_file_that_is_gone_stops_the_start(tmp_path: Path, public: PublicKeyStore) -> None:
    with pytest.raises(StorageError, match="VERISCAN_SIGNING_KEY_FILE"):
        SigningService(PrivateKeyFile(tmp_path, tmp_path / "gone.pem"), public)

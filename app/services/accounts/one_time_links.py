"""One-time links: making them and finding out whether one is still good."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

from app.errors import LinkInvalidError
from app.records import LinkPurpose, OneTimeLink, Role
from app.services.accounts.api_tokens import digest_of, new_secret
from app.services.clock import Clock, utc_now
from app.storage.one_time_links import OneTimeLinkStore

KEPT_AFTER_EXPIRY = timedelta(days=30)  # so that an administrator sees what became of it


class OneTimeLinks:
    """Makes links that work once and not for long; only their digests are kept.

    Args:
        store: Where they are.
        clock: Tells the time.
    """

    def __init__(self, store: OneTimeLinkStore, clock: Clock = utc_now) -> None:
        self._store = store
        self._clock = clock

    def make(self, purpose: LinkPurpose, lifetime: timedelta) -> tuple[OneTimeLink, str]:
        """Return a new link, not kept yet, and its secret."""
        secret, now = new_secret(), self._clock()
        link = OneTimeLink(
            id=uuid4(),
            purpose=purpose,
            digest=digest_of(secret),
            created=now,
            expires=now + lifetime,
        )
        return link, secret

    def keep_for_user(self, link: OneTimeLink, user_id: UUID, made_by: UUID | None) -> None:
        """Keep a link with which a user's password may be set; those before are void."""
        self._store.delete_of_user(user_id)
        self._keep(replace(link, user_id=user_id, made_by=made_by))

    def keep_invitation(self, link: OneTimeLink, email: str, role: Role, made_by: UUID) -> None:
        """Keep an invitation."""
        self._keep(replace(link, email=email, role=role, made_by=made_by))

    def find(self, purpose: LinkPurpose, secret: str) -> OneTimeLink:
        """Return the link of a secret.

        Raises:
            LinkInvalidError: It is unknown, used, expired or for something else.
        """
        link = self._store.find_by_digest(digest_of(secret))
        if (
            link is None
            or link.purpose is not purpose
            or link.used is not None
            or link.expires <= self._clock()
        ):
            raise LinkInvalidError
        return link

    def use(self, link: OneTimeLink) -> None:
        """Use a link up.

        Raises:
            LinkInvalidError: Somebody was quicker.
        """
        if not self._store.use(link.id, self._clock()):
            raise LinkInvalidError

    def give_back(self, link: OneTimeLink) -> None:
        """Make a used link good again, where what it was used for has failed."""
        self._store.give_back(link.id)

    def forget(self, user_id: UUID) -> None:
        """Remove the links with which a user's password may be set."""
        self._store.delete_of_user(user_id)

    def _keep(self, link: OneTimeLink) -> None:
        self._store.delete_expired_before(self._clock() - KEPT_AFTER_EXPIRY)
        self._store.add(link)

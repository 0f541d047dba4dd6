"""Invitations: one-time links with which somebody makes an account."""

from datetime import timedelta
from uuid import UUID

from app.records import LinkPurpose, OneTimeLink, Role
from app.services.accounts.fields import checked_email
from app.services.accounts.one_time_links import OneTimeLinks
from app.services.audit import AuditService
from app.storage.one_time_links import OneTimeLinkStore

LIFETIME = timedelta(days=7)


class InvitationService:
    """Makes, lists and withdraws invitations.

    Args:
        links: Makes and checks the links.
        store: Where they are.
        audit: Where it is recorded who invited.
    """

    def __init__(self, links: OneTimeLinks, store: OneTimeLinkStore, audit: AuditService) -> None:
        self._links = links
        self._store = store
        self._audit = audit

    def invite(
        self, *, actor: UUID, email: str = "", role: Role = Role.CLINICIAN
    ) -> tuple[OneTimeLink, str]:
        """Make an invitation, good for a week; returns it with the secret of its link.

        The secret cannot be shown again; its page is ``/register?invitation=SECRET``.

        Args:
            actor: The administrator who invites.
            email: The only address that may register with it; empty for any.
            role: Of the account that it makes.

        Raises:
            EmailInvalidError: The address cannot be one (field ``email``).
        """
        email = checked_email(email) if email.strip() else ""
        link, secret = self._links.make(LinkPurpose.INVITATION, LIFETIME)
        self._links.keep_invitation(link, email, role, actor)
        self._audit.record("invitation.created", actor=actor, subject=str(link.id), role=role.value)
        return self._links.find(LinkPurpose.INVITATION, secret), secret

    def list_all(self) -> list[OneTimeLink]:
        """Return all invitations of late, used, expired or open, newest first."""
        return self._store.list_of_purpose(LinkPurpose.INVITATION)

    def withdraw(self, invitation_id: UUID, *, actor: UUID) -> None:
        """Make an invitation void.

        Raises:
            NotFoundError: There is no such invitation.
        """
        self._store.delete(invitation_id, LinkPurpose.INVITATION)
        self._audit.record("invitation.withdrawn", actor=actor, subject=str(invitation_id))

    def find(self, secret: str) -> OneTimeLink:
        """Return the invitation of a secret.

        Raises:
            LinkInvalidError: It is unknown, used, expired or withdrawn.
        """
        return self._links.find(LinkPurpose.INVITATION, secret)

    def accept(self, invitation: OneTimeLink) -> None:
        """Use an invitation up.

        Raises:
            LinkInvalidError: Somebody was quicker.
        """
        self._links.use(invitation)

    def give_back(self, invitation: OneTimeLink) -> None:
        """Make an invitation good again, where no account came of it."""
        self._links.give_back(invitation)

"""Removing analyses with their pictures, for good."""

import logging
from collections.abc import Collection
from uuid import UUID

from app.errors import NotFoundError
from app.records import EventFilter, User
from app.services.analyses.judging import JudgingService
from app.services.audit import AuditService
from app.storage.analyses import AnalysisStore
from app.storage.images import ImageStore, Picture

log = logging.getLogger(__name__)


class AnalysisRemoval:
    """Removes analyses, also while they are being judged.

    Args:
        store: Where the analyses are.
        images: Where their pictures are.
        judging: Has those that are under way.
        audit: Where it is recorded who did what.
    """

    def __init__(
        self,
        store: AnalysisStore,
        images: ImageStore,
        judging: JudgingService,
        audit: AuditService,
    ) -> None:
        self._store = store
        self._images = images
        self._judging = judging
        self._audit = audit

    def delete_many(self, owner: User, analysis_ids: Collection[UUID]) -> int:
        """Remove several of a user's own analyses, for good; those of others are left alone.

        Returns:
            How many were removed.

        Raises:
            StorageError: A picture or a record could not be removed; it can be done again.
        """
        own = self._store.own_of(owner.id, analysis_ids)
        self.remove(own)
        ids = " ".join(str(analysis_id) for analysis_id in own)
        self._audit.record("analysis.deleted", actor=owner.id, count=len(own), ids=ids)
        return len(own)

    def remove(self, analysis_ids: Collection[UUID]) -> None:
        """Remove analyses, for good; whoever has it done checks before and records after.

        Raises:
            StorageError: A picture or a record could not be removed; it can be done again.
        """
        self._store.removals.announce(analysis_ids)
        for analysis_id in analysis_ids:
            self._judging.cancel(analysis_id)
            self._images.delete(analysis_id)
        self._store.delete_many(analysis_ids)
        for analysis_id in analysis_ids:  # as in remove_one
            self._images.delete(analysis_id)
        self.settle(analysis_ids)

    def delete_of_user(self, user_id: UUID) -> None:
        """Remove all analyses of a user."""
        for analysis_id in self._store.ids_of_user(user_id):
            try:
                self.remove_one(analysis_id)
            except NotFoundError:
                log.info("An analysis was removed twice at once.")

    def expire(self, analysis_id: UUID) -> None:
        """Remove an analysis that has outlived the time for which this site keeps them.

        Raises:
            NotFoundError: There is none with this id.
            StorageError: It cannot be removed; it can be done again.
        """
        self.remove_one(analysis_id)
        self._audit.record("analysis.expired", actor=None, subject=str(analysis_id))

    def remove_one(self, analysis_id: UUID) -> None:
        """Remove an analysis; whoever has it done checks before and records after.

        Raises:
            NotFoundError: There is none with this id.
            StorageError: It cannot be removed; it can be done again.
        """
        self._store.removals.announce([analysis_id])
        self._judging.cancel(analysis_id)
        self._images.delete(analysis_id)
        self._store.delete(analysis_id)
        # A judgement that came in between has left a heatmap; later ones find no record.
        self._images.delete(analysis_id)
        self.settle([analysis_id])

    def settle(self, analysis_ids: Collection[UUID]) -> None:
        """Forget removals at whose end nobody can store a picture any more.

        A judgement that is just being stored finds no record and takes its heatmap back. Should a
        crash hinder it, the next start finds the removal.
        """
        settled = [one for one in analysis_ids if not self._judging.has(one)]
        if settled:
            self._store.removals.settle(settled)

    def finish(self) -> None:
        """Finish what a crash left half-way: removals, and scans that nobody was told are taken in.

        Only for the start, while nothing is judged.

        Raises:
            StorageError: Something cannot be removed; it is tried again at the next start.
        """
        unfinished, pending = self._store.line(), self._store.removals.pending()
        for analysis_id in (*unfinished, *pending):
            self._images.delete_unfinished(analysis_id)
        left_over = [*pending, *filter(self._is_fragment, unfinished)]
        if left_over:
            self.remove(left_over)

    def _is_fragment(self, analysis_id: UUID) -> bool:
        """Return whether an analysis has no scan, and never had one as far as is recorded."""
        try:
            self._images.stored(analysis_id, Picture.SCAN)
        except NotFoundError:
            accepted = EventFilter(action="analysis.submitted", subject=str(analysis_id))
            return not self._audit.page(accepted, limit=1)
        return False

"""Second opinions, in the SQL database: contested verdicts and what reviewers answered.

A case goes with its analysis: whoever deletes the scan deletes the case and its answers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.detection.labels import Verdict
from app.errors import AlreadyAnsweredError, AlreadyContestedError, CaseClosedError, NotFoundError
from app.records import Opinion, ReviewAnswer, ReviewCase, Settlement
from app.storage.database import ANALYSES, Database
from app.storage.review_tables import REVIEW_ANSWERS, REVIEW_CASES, REVIEW_SCANS

Settle = Callable[[Sequence[Opinion]], Settlement | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class SettledCase:
    """A case that is settled, with what the detector had said.

    Attributes:
        opinions: Of its reviewers, in the order in which they came.
        burned_in_text: Whether the scan may hold text that names the patient.
    """

    case: ReviewCase
    verdict: Verdict
    opinions: tuple[Opinion, ...]
    burned_in_text: bool


class ReviewStore:
    """Keeps cases and answers."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, case: ReviewCase, fingerprint: str) -> None:
        """Keep a new case, with the hash by which the pixels of its scan are known again.

        Raises:
            AlreadyContestedError: The analysis has one.
            NotFoundError: The analysis is gone.
            StorageError: The database failed; nothing is changed.
        """
        analysis = sa.select(ANALYSES.c.id).where(ANALYSES.c.id == case.analysis_id)
        known = sa.select(REVIEW_CASES.c.id).where(REVIEW_CASES.c.analysis_id == case.analysis_id)
        with self._database.writing() as connection:
            # The lock on its row makes two of them come one after the other.
            if connection.execute(analysis.with_for_update()).first() is None:
                raise NotFoundError("analysis")
            if connection.execute(known).first() is not None:
                raise AlreadyContestedError
            connection.execute(REVIEW_CASES.insert().values(_row_of(case)))
            scan = {"case_id": case.id, "fingerprint": fingerprint}
            connection.execute(REVIEW_SCANS.insert().values(scan))

    def answer(self, case_id: UUID, answer: ReviewAnswer, settle: Settle) -> ReviewCase:
        """Keep an answer, and settle the case where the answers suffice; return the case.

        Raises:
            NotFoundError: There is no such case, or it was taken back.
            CaseClosedError: It was settled meanwhile.
            AlreadyAnsweredError: This reviewer has answered it.
            StorageError: The database failed; nothing is changed.
        """
        wanted = sa.select(REVIEW_CASES).where(REVIEW_CASES.c.id == case_id).with_for_update()
        with self._database.writing() as connection:
            row = connection.execute(wanted).mappings().one_or_none()
            if row is None:
                raise NotFoundError("case")
            if row["outcome"] is not None:
                raise CaseClosedError
            answers = _answers(connection, case_id)
            if any(known.reviewer_id == answer.reviewer_id for known in answers):
                raise AlreadyAnsweredError
            connection.execute(REVIEW_ANSWERS.insert().values(_answer_row(case_id, answer)))
            outcome = settle([known.opinion for known in (*answers, answer)])
            if outcome is not None:
                connection.execute(
                    REVIEW_CASES.update()
                    .where(REVIEW_CASES.c.id == case_id)
                    .values(outcome=outcome.value, settled=answer.created)
                )
            return _case_of(connection.execute(wanted).mappings().one())

    def withdraw(self, case_id: UUID) -> None:
        """Remove an open case with its answers.

        Raises:
            CaseClosedError: It is settled, or gone.
            StorageError: The database failed; nothing is changed.
        """
        statement = REVIEW_CASES.delete().where(
            REVIEW_CASES.c.id == case_id, REVIEW_CASES.c.outcome.is_(None)
        )
        with self._database.writing() as connection:
            if connection.execute(statement).rowcount == 0:
                raise CaseClosedError

    def set_may_be_label(self, case_id: UUID, *, may_be_label: bool) -> None:
        """Note whether the owner lets the case be kept as a label."""
        statement = REVIEW_CASES.update().where(REVIEW_CASES.c.id == case_id)
        with self._database.writing() as connection:
            connection.execute(statement.values(may_be_label=may_be_label))

    # --- finding ----------------------------------------------------------------------------

    def get(self, case_id: UUID) -> ReviewCase:
        """Return a case.

        Raises:
            NotFoundError: There is none with this id.
            StorageError: The database failed.
        """
        found = self._cases(sa.select(REVIEW_CASES).where(REVIEW_CASES.c.id == case_id))
        if not found:
            raise NotFoundError("case")
        return found[0]

    def find_of_analysis(self, analysis_id: UUID) -> ReviewCase | None:
        """Return the case of an analysis, or None where its verdict was not contested."""
        found = self._cases(
            sa.select(REVIEW_CASES).where(REVIEW_CASES.c.analysis_id == analysis_id)
        )
        return found[0] if found else None

    def answers(self, case_id: UUID) -> list[ReviewAnswer]:
        """Return the answers to a case, in the order in which they came."""
        with self._database.reading() as connection:
            return _answers(connection, case_id)

    def waiting_for(self, reviewer_id: UUID, *, limit: int) -> list[ReviewCase]:
        """Return open cases of others that a reviewer has not answered, oldest first."""
        return self._cases(
            sa.select(REVIEW_CASES)
            .where(*_waits_for(reviewer_id))
            .order_by(REVIEW_CASES.c.created, REVIEW_CASES.c.id)
            .limit(limit)
        )

    def count_waiting_for(self, reviewer_id: UUID) -> int:
        """Return how many open cases of others a reviewer has not answered."""
        wanted = sa.select(sa.func.count()).select_from(REVIEW_CASES)
        with self._database.reading() as connection:
            return connection.execute(wanted.where(*_waits_for(reviewer_id))).scalar_one()

    def find_waiting_for(self, reviewer_id: UUID, fingerprint: str) -> UUID | None:
        """Return an open case of these pixels that a reviewer has not answered, or None."""
        statement = (
            sa.select(REVIEW_CASES.c.id)
            .join(REVIEW_SCANS, REVIEW_SCANS.c.case_id == REVIEW_CASES.c.id)
            .where(REVIEW_SCANS.c.fingerprint == fingerprint, *_waits_for(reviewer_id))
            .limit(1)
        )
        with self._database.reading() as connection:
            return connection.scalar(statement)

    def answered_by(self, reviewer_id: UUID, *, limit: int) -> list[ReviewCase]:
        """Return the cases that a reviewer has answered, newest first."""
        return self._cases(
            sa.select(REVIEW_CASES)
            .where(REVIEW_CASES.c.id.in_(_answered_by(reviewer_id)))
            .order_by(REVIEW_CASES.c.created.desc(), REVIEW_CASES.c.id)
            .limit(limit)
        )

    def cases_of(self, owner_id: UUID) -> list[ReviewCase]:
        """Return all cases that a user made of their own scans, oldest first."""
        return self._cases(
            sa.select(REVIEW_CASES)
            .where(REVIEW_CASES.c.owner_id == owner_id)
            .order_by(REVIEW_CASES.c.created, REVIEW_CASES.c.id)
        )

    def answers_by(self, reviewer_id: UUID) -> list[tuple[UUID, ReviewAnswer]]:
        """Return all that a reviewer has answered, with the ids of the cases, oldest first."""
        statement = (
            sa.select(REVIEW_ANSWERS)
            .where(REVIEW_ANSWERS.c.reviewer_id == reviewer_id)
            .order_by(REVIEW_ANSWERS.c.created, REVIEW_ANSWERS.c.case_id)
        )
        with self._database.reading() as connection:
            rows = connection.execute(statement).mappings()
            return [(row["case_id"], _answer_of(row)) for row in rows]

    def settled(self) -> list[SettledCase]:
        """Return all settled cases with the detector's verdicts, oldest first."""
        cases = (
            sa.select(REVIEW_CASES, ANALYSES.c.verdict, ANALYSES.c.burned_in_text)
            .join(ANALYSES, ANALYSES.c.id == REVIEW_CASES.c.analysis_id)
            .where(REVIEW_CASES.c.outcome.is_not(None), ANALYSES.c.verdict.is_not(None))
            .order_by(REVIEW_CASES.c.created, REVIEW_CASES.c.id)
        )
        answers = sa.select(REVIEW_ANSWERS.c.case_id, REVIEW_ANSWERS.c.opinion).order_by(
            REVIEW_ANSWERS.c.created, REVIEW_ANSWERS.c.reviewer_id
        )
        opinions: dict[UUID, list[Opinion]] = {}
        with self._database.reading() as connection:
            for case_id, opinion in connection.execute(answers):
                opinions.setdefault(case_id, []).append(Opinion(opinion))
            return [
                SettledCase(
                    case=_case_of(row),
                    verdict=Verdict(row["verdict"]),
                    opinions=tuple(opinions.get(row["id"], ())),
                    burned_in_text=row["burned_in_text"],
                )
                for row in connection.execute(cases).mappings()
            ]

    def _cases(self, statement: sa.Select[Any]) -> list[ReviewCase]:
        with self._database.reading() as connection:
            return [_case_of(row) for row in connection.execute(statement).mappings()]


def _waits_for(reviewer_id: UUID) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        REVIEW_CASES.c.outcome.is_(None),
        REVIEW_CASES.c.owner_id != reviewer_id,
        REVIEW_CASES.c.id.not_in(_answered_by(reviewer_id)),
    )


def _answered_by(reviewer_id: UUID) -> sa.Select[Any]:
    return sa.select(REVIEW_ANSWERS.c.case_id).where(REVIEW_ANSWERS.c.reviewer_id == reviewer_id)


def _answers(connection: sa.Connection, case_id: UUID) -> list[ReviewAnswer]:
    statement = (
        sa.select(REVIEW_ANSWERS)
        .where(REVIEW_ANSWERS.c.case_id == case_id)
        .order_by(REVIEW_ANSWERS.c.created, REVIEW_ANSWERS.c.reviewer_id)
    )
    return [_answer_of(row) for row in connection.execute(statement).mappings()]


def _answer_of(row: sa.RowMapping) -> ReviewAnswer:
    return ReviewAnswer(
        reviewer_id=row["reviewer_id"],
        opinion=Opinion(row["opinion"]),
        comment=row["comment"],
        created=row["created"],
    )


def _answer_row(case_id: UUID, answer: ReviewAnswer) -> dict[str, Any]:
    return {
        "case_id": case_id,
        "reviewer_id": answer.reviewer_id,
        "opinion": answer.opinion.value,
        "comment": answer.comment,
        "created": answer.created,
    }


def _row_of(case: ReviewCase) -> dict[str, Any]:
    return {
        "id": case.id,
        "analysis_id": case.analysis_id,
        "owner_id": case.owner_id,
        "modality": case.modality,
        "reason": case.reason,
        "may_be_label": case.may_be_label,
        "created": case.created,
        "outcome": case.outcome.value if case.outcome else None,
        "settled": case.settled,
    }


def _case_of(row: sa.RowMapping) -> ReviewCase:
    return ReviewCase(
        id=row["id"],
        analysis_id=row["analysis_id"],
        owner_id=row["owner_id"],
        modality=row["modality"],
        reason=row["reason"],
        may_be_label=row["may_be_label"],
        created=row["created"],
        outcome=Settlement(row["outcome"]) if row["outcome"] else None,
        settled=row["settled"],
    )

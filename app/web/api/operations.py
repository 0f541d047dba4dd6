"""What scripts can do through the API: every operation, for its description and for its page.

A test holds it to the routes: every operation, with its method, its variables and the scope that
its guard asks for, is in both or in neither.
"""

from dataclasses import dataclass, field
from typing import Any

from app.records import HistoryOrder, Outcome, Scope
from app.web.api.listing import MAX_PER_PAGE, ORDERS, PER_PAGE
from app.web.api.schemas import (
    BATCH_FORM,
    DATE_TIME,
    MODALITY_KEY,
    SCAN_FORM,
    Schema,
    ref,
)

SCOPES = {
    Scope.READ: "see your analyses, their pictures, reports and notes",
    Scope.ANALYSE: "send scans to be judged",
    Scope.ANNOTATE: "write notes and tags",
    Scope.DELETE: "delete analyses and studies",
}
ALWAYS = ("401", "403", "429", "503")
TAKES = "PNG, JPEG, TIFF, BMP or DICOM"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One thing that scripts can do.

    Attributes:
        name: Unique among all operations.
        answers: What it gives where it succeeds, by status.
        problems: The statuses of what may go wrong, besides those that all operations share.
        body: What it takes, by media type.
    """

    name: str
    summary: str
    scope: Scope
    answers: dict[str, Any]
    problems: tuple[str, ...] = ()
    parameters: tuple[dict[str, Any], ...] = ()
    body: dict[str, Schema] = field(default_factory=dict)

    def described(self) -> dict[str, Any]:
        """Return it as OpenAPI has it."""
        described = {
            "operationId": self.name,
            "summary": self.summary,
            "security": [{"token": [self.scope.value]}],
            "responses": self.answers
            | {status: _refused(status) for status in sorted({*self.problems, *ALWAYS})},
        }
        if self.parameters:
            described["parameters"] = list(self.parameters)
        if self.body:
            content = {media: {"schema": schema} for media, schema in self.body.items()}
            described["requestBody"] = {"required": True, "content": content}
        return described


def _json(description: str, name: str, **more: Any) -> dict[str, Any]:
    content = {"application/json": {"schema": ref(name)}}
    return {"description": description, "content": content, **more}


def _file(description: str, media: str) -> dict[str, Any]:
    return {"description": description, "content": {media: {}}}


def _header(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/headers/{name}"}


def _filter(name: str, schema: Schema, description: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": schema, "description": description}


def _links(*operations: str) -> dict[str, Any]:
    """Return what can be done next with the id in an answer."""
    return {
        operation: {"operationId": operation, "parameters": {"id": "$response.body#/id"}}
        for operation in operations
    }


def _refused(status: str) -> dict[str, Any]:
    return {"$ref": f"#/components/responses/Problem{status}"}


DELETED = {"204": {"description": "Deleted."}}
LATER = {"Location": _header("Location"), "Retry-After": _header("RetryAfter")}
FILTERS = (
    _filter("modality", MODALITY_KEY, "Only this kind of scan."),
    _filter("result", {"enum": [each.value for each in Outcome]}, "Only with this result."),
    _filter("since", DATE_TIME, "Sent at this time or later."),
    _filter("until", DATE_TIME, "Sent before this time."),
    _filter("tag", {"type": "string", "minLength": 1}, "Only with this tag."),
    _filter(
        "sort",
        {"enum": [each.value for each in ORDERS], "default": HistoryOrder.NEWEST.value},
        "Which comes first.",
    ),
    _filter(
        "limit",
        {"type": "integer", "minimum": 1, "maximum": MAX_PER_PAGE, "default": PER_PAGE},
        "How many on a page.",
    ),
    _filter(
        "after",
        {"type": "string", "pattern": "^[0-9]{1,16}_[0-9a-f]{32}$"},
        "Where the page begins; it is in the address of the next page.",
    ),
)

OF_AN_ANALYSIS = (
    "getAnalysis",
    "getImage",
    "getHeatmap",
    "getReportJson",
    "getReportPdf",
    "getNote",
    "putNote",
    "deleteAnalysis",
)

OPERATIONS: dict[str, dict[str, Operation]] = {
    "/modalities": {
        "get": Operation(
            name="listModalities",
            summary="The kinds of scan, and whether each can be judged now",
            scope=Scope.READ,
            answers={"200": _json("All modalities.", "Modalities")},
        )
    },
    "/analyses": {
        "post": Operation(
            name="createAnalysis",
            summary=f"Judge one scan ({TAKES})",
            scope=Scope.ANALYSE,
            body={"multipart/form-data": SCAN_FORM},
            answers={
                "201": _json(
                    "The verdict, or why the analysis failed.",
                    "Analysis",
                    headers={"Location": _header("Location")},
                    links=_links(*OF_AN_ANALYSIS),
                ),
                "202": _json("It takes longer; ask again.", "Analysis", headers=LATER),
            },
            problems=("400", "413", "415", "422"),
        ),
        "get": Operation(
            name="listAnalyses",
            summary="Your analyses, page by page; the slices of a study one by one",
            scope=Scope.READ,
            parameters=FILTERS,
            answers={"200": _json("One page.", "History")},
            problems=("422",),
        ),
    },
    "/analyses/{id}": {
        "get": Operation(
            name="getAnalysis",
            summary="One analysis",
            scope=Scope.READ,
            answers={
                "200": _json(
                    "The analysis; with Retry-After as long as it is not final.",
                    "Analysis",
                    headers={"Retry-After": _header("RetryAfter")},
                )
            },
            problems=("404",),
        ),
        "delete": Operation(
            name="deleteAnalysis",
            summary="Delete an analysis with its pictures",
            scope=Scope.DELETE,
            answers=DELETED,
            problems=("404",),
        ),
    },
    "/analyses/{id}/image": {
        "get": Operation(
            name="getImage",
            summary="The scan as it was judged",
            scope=Scope.READ,
            answers={"200": _file("A picture.", "image/png")},
            problems=("404",),
        )
    },
    "/analyses/{id}/heatmap": {
        "get": Operation(
            name="getHeatmap",
            summary="The evidence for a fake, to be laid over the scan",
            scope=Scope.READ,
            answers={"200": _file("A picture.", "image/png")},
            problems=("404",),
        )
    },
    "/analyses/{id}/report.json": {
        "get": Operation(
            name="getReportJson",
            summary="The report on a finished analysis, signed by this installation, as JSON",
            scope=Scope.READ,
            answers={"200": _json("The report with its signature.", "SignedReport")},
            problems=("404",),
        )
    },
    "/analyses/{id}/report.pdf": {
        "get": Operation(
            name="getReportPdf",
            summary="The report on a finished analysis, signed by this installation, as PDF",
            scope=Scope.READ,
            answers={"200": _file("A document.", "application/pdf")},
            problems=("404",),
        )
    },
    "/analyses/{id}/note": {
        "get": Operation(
            name="getNote",
            summary="Your note on an analysis of your own",
            scope=Scope.READ,
            answers={"200": _json("The note; empty where there is none.", "Note")},
            problems=("404",),
        ),
        "put": Operation(
            name="putNote",
            summary="Write your note on an analysis of your own",
            scope=Scope.ANNOTATE,
            body={"application/json": ref("Note")},
            answers={"200": _json("The note as it is kept.", "Note")},
            problems=("404", "413", "415", "422"),
        ),
    },
    "/uploads": {
        "post": Operation(
            name="createUpload",
            summary=f"Judge several files at once ({TAKES}, also zip archives and series)",
            scope=Scope.ANALYSE,
            body={"multipart/form-data": BATCH_FORM},
            answers={
                "202": _json(
                    "Taken in. What becomes of each file is told at Location.",
                    "Upload",
                    headers=LATER,
                    links=_links("getUpload"),
                )
            },
            problems=("400", "413", "415", "422"),
        )
    },
    "/uploads/{id}": {
        "get": Operation(
            name="getUpload",
            summary="What became of each file of an upload",
            scope=Scope.READ,
            answers={
                "200": _json(
                    "A result for each file; with Retry-After as long as one is not final.",
                    "Upload",
                    headers={"Retry-After": _header("RetryAfter")},
                )
            },
            problems=("404",),
        )
    },
    "/studies/{id}": {
        "get": Operation(
            name="getStudy",
            summary="The verdict on a series, and on its slices in the order of their position",
            scope=Scope.READ,
            answers={
                "200": _json(
                    "The study; with Retry-After as long as it is not final.",
                    "Study",
                    headers={"Retry-After": _header("RetryAfter")},
                )
            },
            problems=("404",),
        ),
        "delete": Operation(
            name="deleteStudy",
            summary="Delete a study with all its slices",
            scope=Scope.DELETE,
            answers=DELETED,
            problems=("404",),
        ),
    },
}

"""A page as a test reads it, with the checks that every page must pass."""

from collections import Counter
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = frozenset({"area", "br", "col", "hr", "img", "input", "link", "meta", "source", "wbr"})
INLINE = frozenset({"a", "b", "code", "em", "span", "strong", "time"})
SILENT = frozenset({"script", "style", "title"})
INPUTS_WITHOUT_LABEL = frozenset({"hidden", "submit", "button"})

Attributes = dict[str, str | None]


@dataclass
class FormElement:
    """A form with the names and values of its fields."""

    attributes: Attributes
    fields: dict[str, str | None] = field(default_factory=dict)


class Page(HTMLParser):
    """A parsed page: its text, links, forms and everything else that tests ask for."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.title = ""
        self.text = ""
        self.elements: list[tuple[str, Attributes]] = []
        self.forms: list[FormElement] = []
        self._open: list[str] = []
        self.feed(html)
        self.text = " ".join(self.text.split())
        self.title = " ".join(self.title.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.elements.append(
            (tag, attributes | {"_inside_label": _flag(value="label" in self._open)})
        )
        if tag == "form":
            self.forms.append(FormElement(attributes))
        elif tag == "input" and "form" in self._open and attributes.get("name"):
            self.forms[-1].fields[str(attributes["name"])] = attributes.get("value")
        if tag not in INLINE:
            self.text += " "
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if "title" in self._open:
            self.title += data
        elif not SILENT.intersection(self._open):
            self.text += data

    def all(self, tag: str) -> list[Attributes]:
        """Return the attributes of every element of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def links(self) -> list[str]:
        """Where the links of the page lead."""
        return [str(a["href"]) for a in self.all("a")]

    @property
    def csrf_token(self) -> str:
        """The token of the first form."""
        return str(next(f.fields["csrf_token"] for f in self.forms if "csrf_token" in f.fields))

    def error_of(self, name: str) -> str | None:
        """Return what is said to be wrong with a field, by the way a screen reader takes."""
        described = " ".join(
            str(attributes.get("aria-describedby") or "")
            for tag, attributes in self.elements
            if attributes.get("name") == name or tag == "fieldset"
        ).split()
        if f"{name}-error" not in described:
            return None
        after = self.html.split(f'id="{name}-error"', 1)[1]
        return after.split("<span>", 1)[1].split("</span>", 1)[0]

    def problems(self) -> list[str]:
        """Return what no page may have."""
        found = []
        if not self.title.removesuffix("· Veriscan").strip():
            found.append("it has no title of its own")
        ids = Counter(a["id"] for _, a in self.elements if a.get("id"))
        found += [
            f"the id {name!r} is there {count} times" for name, count in ids.items() if count > 1
        ]
        if len(self.all("h1")) != 1:
            found.append(f"it has {len(self.all('h1'))} headings of the first level")
        if len(self.all("main")) != 1:
            found.append("it has not one main part")
        found += [problem for form in self.forms for problem in _form_problems(form)]
        found += self._inline_problems()
        found += self._label_problems(set(ids))
        return found

    def _inline_problems(self) -> list[str]:
        found = []
        for tag, attributes in self.elements:
            inline = [name for name in attributes if name == "style" or name.startswith("on")]
            found += [f"{tag} has the inline attribute {name}" for name in inline]
            if tag == "style" or (tag == "script" and not attributes.get("src")):
                found.append(f"there is an inline {tag}")
            for name in ("src", "href", "action"):
                if str(attributes.get(name) or "").startswith(("http:", "https:", "//")):
                    found.append(f"{tag} loads or leads to {attributes[name]}")
        return found

    def _label_problems(self, ids: set[str | None]) -> list[str]:
        found = [f"image {a.get('src')} has no alt" for a in self.all("img") if "alt" not in a]
        labelled = {a.get("for") for a in self.all("label")}
        for attributes in self.all("input"):
            if attributes.get("type") in INPUTS_WITHOUT_LABEL or attributes["_inside_label"]:
                continue
            if attributes.get("id") not in labelled:
                found.append(f"the field {attributes.get('name')} has no label")
        found += [
            f"{name} names {target}, which is not there"
            for _, attributes in self.elements
            for name in ("aria-describedby", "aria-labelledby", "for")
            for target in str(attributes.get(name) or "").split()
            if target not in ids
        ]
        return found


def _flag(*, value: bool) -> str | None:
    return "yes" if value else None


def _form_problems(form: FormElement) -> list[str]:
    if not form.attributes.get("action"):
        return ["a form has no action"]
    if form.attributes.get("method") == "post" and "csrf_token" not in form.fields:
        return [f"the form to {form.attributes['action']} has no CSRF token"]
    return []

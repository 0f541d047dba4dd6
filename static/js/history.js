/* Selecting many lines of the history, and days in the reader's own zone. */

const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const NARROW = "(max-width: 46rem)";

/* --- the filters ------------------------------------------------------------------------- */

const filters = document.querySelector("[data-filters]");

if (filters) {
  const field = (name) => filters.elements.namedItem(name);
  const hint = filters.querySelector("[data-zone-hint]");
  hint.textContent = hint.textContent.replace(/ in [^ ]+\./, ` in your time zone, ${zone}.`);

  const more = filters.querySelector("[data-filters-more]");
  const isInUse = ["modality", "result", "tag", "from", "until"].some((name) => field(name).value);
  if (window.matchMedia(NARROW).matches && !isInUse) more.open = false;
  more.dataset.settled = "";

  filters.addEventListener("submit", () => {
    field("zone").value = field("from").value || field("until").value ? zone : "";
    // What says nothing is left out, so that the address stays short.
    for (const control of filters.elements) control.disabled = control.name && !control.value;
  });
  window.addEventListener("pageshow", () => {
    for (const control of filters.elements) control.disabled = false;
  });
}

/* --- the selection ----------------------------------------------------------------------- */

const selection = document.querySelector("[data-selection]");

if (selection) {
  const boxes = [...selection.querySelectorAll('[name="id"], [name="study"]')];
  const all = selection.querySelector("[data-select-all]");
  const words = selection.querySelector("[data-selection-words]");
  const idle = words.textContent;
  const page = selection.querySelector("[data-select-page]");
  let last = null;

  const refresh = () => {
    const count = boxes.filter((box) => box.checked).length;
    page.checked = count === boxes.length;
    page.indeterminate = count > 0 && count < boxes.length;
    for (const box of [...boxes, page]) box.disabled = all.checked;
    const text = all.checked ? "All of them are ticked." : `${count} ticked.`;
    words.textContent = count > 0 || all.checked ? text : idle;
  };

  page.addEventListener("change", () => {
    for (const box of boxes) box.checked = page.checked;
    refresh();
  });
  all.addEventListener("change", refresh);
  for (const box of boxes) {
    box.addEventListener("click", (event) => {
      // With Shift, everything between this box and the last one follows it.
      if (event.shiftKey && last) {
        const [from, to] = [boxes.indexOf(last), boxes.indexOf(box)].sort((a, b) => a - b);
        for (const between of boxes.slice(from, to + 1)) between.checked = box.checked;
      }
      last = box;
      refresh();
    });
  }
  page.closest("label").hidden = false;
  window.addEventListener("pageshow", refresh);
}

/* The upload form: collects files, shows each with how far it is, and sends them one by one. */

import { dropped, pasted, visible } from "./upload-files.js";
import { Refusal, begin, sendAll } from "./upload-send.js";

const DISPLAYABLE = ["image/png", "image/jpeg", "image/bmp"];
const MAX_PREVIEWS = 60;
const PAUSE_MS = 1500;

const area = document.querySelector("[data-drop]");
const form = area.closest("form");
const [input, folder] = area.querySelectorAll('input[type="file"]');
const list = form.querySelector("[data-picked]");
const words = form.querySelector("[data-picked-words]");
const message = area.querySelector("[data-picked-error]");
const others = form.querySelector("[data-others]");
const button = form.querySelector('[type="submit"]');
const progress = form.querySelector(".progress");
const maxFiles = Number(area.dataset.maxFiles);

let picked = []; // {file, row, label, bar, key, problem, isListed}
let upload = null; // where files go, as long as some of them are left to be sent
let isSending = false;

const megabytes = (bytes) => {
  const size = bytes / 2 ** 20;
  if (size < 0.1) return `${Math.ceil(bytes / 2 ** 10)} KB`;
  return `${size.toFixed(size < 10 ? 1 : 0)} MB`;
};

const limitOf = (file) =>
  Number(/\.zip$/i.test(file.name) ? area.dataset.maxArchiveBytes : area.dataset.maxBytes);

const isTooLarge = (file) => file.size > limitOf(file);

const element = (tag, className, text = "") => {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
};

// --- the list ---------------------------------------------------------------------------------

const preview = (file) => {
  const [, ending = ""] = /\.(\w{1,4})$/.exec(file.name) ?? [];
  const plain = element("span", "thumb", ending.toUpperCase());
  if (!DISPLAYABLE.includes(file.type) || picked.length >= MAX_PREVIEWS) return plain;
  const image = element("img", "thumb");
  image.alt = "";
  image.src = URL.createObjectURL(file);
  image.addEventListener("load", () => URL.revokeObjectURL(image.src));
  image.addEventListener("error", () => image.replaceWith(plain));
  return image;
};

const removeButton = (item) => {
  const remove = element("button", "quiet-button line-remove", "Remove");
  remove.type = "button";
  remove.setAttribute("aria-label", `Remove ${item.file.name}`);
  remove.addEventListener("click", () => {
    picked = picked.filter((other) => other !== item);
    item.row.remove();
    refresh();
    input.focus();
  });
  return remove;
};

const addRow = (file) => {
  const item = { file, key: null, problem: null, isListed: false };
  item.row = document.createElement("li");
  const text = element("div", "line-text");
  item.bar = element("progress", "line-bar");
  item.bar.max = 1;
  item.bar.hidden = true;
  item.bar.setAttribute("aria-label", `Sending ${file.name}`);
  item.note = element("p", "line-note", megabytes(file.size));
  text.append(element("p", "line-name", file.name), item.note, item.bar);
  item.label = element("span", "line-state");
  item.remove = removeButton(item);
  item.row.append(preview(file), text, item.label, item.remove);
  picked.push(item);
  list.append(item.row);
  if (isTooLarge(file)) refuse(item, tooLarge(file));
};

const tooLarge = (file) => `Larger than ${megabytes(limitOf(file))}, the limit of this server.`;

const refuse = (item, problem) => {
  item.problem = problem;
  item.row.classList.add("is-refused");
  item.note.textContent = problem;
  item.label.textContent = "Not taken in";
  item.bar.hidden = true;
};

/** Let a file go once more that did not arrive. */
const renew = (item) => {
  item.problem = null;
  item.row.classList.remove("is-refused");
  item.note.textContent = megabytes(item.file.size);
  item.label.textContent = "";
};

const complain = (problem) => {
  message.textContent = problem;
  message.hidden = problem === "";
};

const unsent = () => picked.filter((item) => !item.isListed);
const whatToDo = () => (others.hidden ? "Analyse" : "Send again");
const sendable = () => unsent().filter((item) => !isTooLarge(item.file));

const refresh = () => {
  list.hidden = picked.length === 0;
  button.textContent = whatToDo();
  words.textContent = picked.length > 1 ? `${picked.length} files` : "";
  complain(picked.length > maxFiles ? `Choose at most ${maxFiles} files at once.` : "");
};

const add = (files) => {
  if (isSending || files.length === 0) return;
  if (picked.some((item) => item.isListed)) clear(); // the last ones are on their way
  files.forEach(addRow);
  refresh();
};

const clear = () => {
  picked = [];
  upload = null;
  others.hidden = true;
  list.replaceChildren();
};

// --- sending ----------------------------------------------------------------------------------

const whatIsMissing = () => {
  if (!form.elements.modality.value) return "Choose the kind of scan first.";
  if (picked.length === 0) return "Choose a file.";
  if (picked.length > maxFiles) return `Choose at most ${maxFiles} files at once.`;
  if (sendable().length > 0) return "";
  const [{ file, problem }] = picked;
  return isTooLarge(file)
    ? `The file is larger than ${megabytes(limitOf(file))}, the limit of this server. Choose single images, or a zip archive of them.`
    : problem;
};

const setSending = (value) => {
  isSending = value;
  button.setAttribute("aria-disabled", String(value));
  button.textContent = value ? form.dataset.busy : whatToDo();
  progress.hidden = !value;
  for (const { remove } of picked) remove.hidden = value;
};

const report = (item, { share, result, problem }) => {
  item.isListed = Boolean(result);
  if (problem ?? result?.problem) refuse(item, problem ?? result.problem);
  else if (result) {
    item.key = result.key;
    item.bar.hidden = true;
    item.label.textContent = result.state === "taken" ? "Taken in" : "Being read";
  } else {
    item.bar.hidden = false;
    item.bar.value = share;
    item.label.textContent = share < 1 ? `Sending, ${Math.round(share * 100)} %` : "Being checked";
  }
  const done = picked.filter((other) => other.key || other.problem).length;
  if (picked.length > 1) words.textContent = `${done} of ${picked.length} files sent`;
};

/** Show meanwhile how far those are that were taken in: one question for all of them. */
const follow = async (url) => {
  while (isSending) {
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    const response = await fetch(url).catch(() => null);
    if (!response?.ok || response.redirected) continue;
    for (const part of (await response.json()).parts) {
      const item = picked.find((other) => other.key === part.key);
      if (item && item.problem === null) item.label.textContent = part.label;
    }
  }
};

const send = async () => {
  const items = sendable();
  items.forEach(renew);
  const token = form.elements.csrf_token.value;
  upload ??= await begin(form.dataset.beginUrl, form.elements.modality.value, token);
  if (items.length > 1) follow(upload.status);
  const files = items.map((item) => item.file);
  await sendAll(upload.files, files, token, (index, news) => report(items[index], news));
};

/** Keep what did not arrive, so that it is named, and can be sent again. */
const keepUnsent = () => {
  picked.filter((item) => item.isListed).forEach((item) => item.row.remove());
  picked = unsent();
  others.hidden = false;
  others.querySelector("a").href = upload.page;
  refresh();
  complain(
    picked.length === 1
      ? "One file did not arrive. It is named below, with the reason."
      : `${picked.length} files did not arrive. They are named below, with the reasons.`,
  );
};

const submit = async () => {
  const missing = whatIsMissing();
  complain(missing);
  if (missing) {
    input.focus();
    return;
  }
  setSending(true);
  try {
    await send();
  } catch (error) {
    setSending(false);
    if (!(error instanceof Refusal)) throw error;
    complain(error.message);
    return;
  }
  const isAnyTaken = picked.some((item) => item.key !== null) || !others.hidden;
  if (isAnyTaken && unsent().length === 0) {
    isSending = false; // so that leaving asks nothing
    window.location.assign(upload.page);
    return;
  }
  setSending(false);
  if (isAnyTaken) keepUnsent();
  else complain(picked.map((item) => item.problem).filter(Boolean)[0]);
};

// --- where files come from --------------------------------------------------------------------

for (const source of [input, folder]) {
  source.addEventListener("change", () => {
    add(source === folder ? visible([...source.files]) : [...source.files]);
    source.value = ""; // the list has them now, and the same file may be picked again
  });
}
for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
  // Anywhere on the page: missing the area would make the browser show the file in place of it.
  window.addEventListener(kind, (event) => {
    event.preventDefault();
    area.classList.toggle("is-over", kind === "dragenter" || kind === "dragover");
  });
}
window.addEventListener("drop", async (event) => {
  try {
    add(await dropped(event.dataTransfer));
  } catch {
    complain("What you dropped could not be read. Pick the files in place of it.");
  }
});
document.addEventListener("paste", (event) => add(pasted(event.clipboardData)));
window.addEventListener("beforeunload", (event) => isSending && event.preventDefault());
// Another kind of scan makes another upload.
form.addEventListener("change", ({ target }) => {
  if (target.name === "modality") upload = null;
});
// Coming back with the browser's "back" shows the page as it was left.
window.addEventListener("pageshow", (event) => {
  if (!event.persisted) return;
  setSending(false);
  clear();
  refresh();
});
// Before any other script hears of it.
form.addEventListener(
  "submit",
  (event) => {
    event.preventDefault();
    if (!isSending) submit();
  },
  { capture: true },
);

input.required = false;
area.classList.add("is-listing");
area.querySelector("[data-drop-hint]").hidden = false;
refresh();

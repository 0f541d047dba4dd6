/* Drag and drop, a preview of what was picked, and the limits of the server before the upload. */

const DISPLAYABLE = ["image/png", "image/jpeg", "image/bmp"];
const area = document.querySelector("[data-drop]");
const input = area.querySelector('input[type="file"]');
const list = area.querySelector("[data-picked]");
const message = area.querySelector("[data-picked-error]");
const maxBytes = Number(area.dataset.maxBytes);
const maxFiles = Number(area.dataset.maxFiles);

const megabytes = (bytes) => {
  const size = bytes / 2 ** 20;
  return `${size.toFixed(size < 1 ? 2 : size < 10 ? 1 : 0)} MB`;
};

const picture = (file) => {
  if (!DISPLAYABLE.includes(file.type)) {
    const box = document.createElement("span");
    box.className = "no-preview";
    box.textContent = "No preview";
    return box;
  }
  const image = document.createElement("img");
  image.alt = "";
  image.src = URL.createObjectURL(file);
  image.addEventListener("load", () => URL.revokeObjectURL(image.src));
  return image;
};

const line = (file) => {
  const item = document.createElement("li");
  const name = document.createElement("span");
  name.className = "name";
  name.textContent = `${file.name} · ${megabytes(file.size)}`;
  name.title = file.name;
  item.append(picture(file), name);
  if (file.size > maxBytes) {
    const warning = document.createElement("span");
    warning.className = "too-large";
    warning.textContent = "Too large";
    item.append(warning);
  }
  return item;
};

const problemWith = (files) => {
  if (files.length > maxFiles) return `Choose at most ${maxFiles} files at once.`;
  const tooLarge = files.filter((file) => file.size > maxBytes).length;
  if (tooLarge === 0) return "";
  const subject = tooLarge === 1 ? "A file is" : `${tooLarge} files are`;
  return `${subject} larger than ${megabytes(maxBytes)}, the limit of this server. Choose a single image instead of a whole study.`;
};

const refresh = () => {
  const files = [...input.files];
  list.replaceChildren(...files.slice(0, maxFiles).map(line));
  list.hidden = files.length === 0;
  const problem = problemWith(files);
  message.textContent = problem;
  message.hidden = problem === "";
  input.setCustomValidity(problem);
};

input.addEventListener("change", refresh);
// Before any other script hears of it: what the server would refuse is not sent to it.
input.form.addEventListener(
  "submit",
  (event) => {
    if (!input.validity.customError) return;
    event.preventDefault();
    input.focus();
  },
  { capture: true },
);
for (const kind of ["dragenter", "dragover"]) {
  area.addEventListener(kind, (event) => {
    event.preventDefault();
    area.classList.add("is-over");
  });
}
for (const kind of ["dragleave", "drop"]) {
  area.addEventListener(kind, (event) => {
    event.preventDefault();
    area.classList.remove("is-over");
  });
}
area.addEventListener("drop", (event) => {
  if (event.dataTransfer.files.length > 0) {
    input.files = event.dataTransfer.files;
    refresh();
  }
});

area.querySelector("[data-drop-hint]").hidden = false;
refresh();

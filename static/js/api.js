/* Lets the reader of the API's description try it, with a token that stays on the page. */

const token = document.querySelector("#token");

const element = (name, text) => {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
};

/* Returns address and options of the request that a form describes. */
const requestOf = (form) => {
  let path = form.dataset.path;
  const query = new URLSearchParams();
  const options = { method: form.dataset.try, headers: {}, credentials: "omit" };
  if (token.value) options.headers.Authorization = `Bearer ${token.value.trim()}`;
  for (const control of form.elements) {
    const place = control.dataset.place;
    if (place === "path") path = path.replace(`{${control.name}}`, encodeURIComponent(control.value));
    if (place === "query" && control.value) query.append(control.name, control.value);
    if (place === "body") {
      options.body = control.value;
      options.headers["Content-Type"] = "application/json";
    }
    if (place === "form") {
      options.body ??= new FormData();
      if (control.type === "file") {
        for (const file of control.files) options.body.append(control.name, file);
      } else if (control.value) {
        options.body.append(control.name, control.value);
      }
    }
  }
  return [query.size ? `${path}?${query}` : path, options];
};

const bodyOf = async (response) => {
  const type = response.headers.get("Content-Type") ?? "";
  if (type.startsWith("image/")) {
    const image = document.createElement("img");
    image.src = URL.createObjectURL(await response.blob());
    image.alt = "The picture that came.";
    return image;
  }
  if (type.includes("json")) {
    const shown = element("pre", JSON.stringify(await response.json(), null, 2));
    shown.tabIndex = 0;
    return shown;
  }
  return element("p", type ? `${(await response.blob()).size} bytes of ${type}.` : "No body.");
};

const SHOWN_HEADERS = ["Location", "Retry-After", "RateLimit", "WWW-Authenticate"];

const send = async (form) => {
  const answer = form.parentElement.querySelector("[data-answer]");
  const button = form.querySelector("button");
  button.setAttribute("aria-disabled", "true");
  answer.replaceChildren(element("p", "Waiting for the answer …"));
  try {
    const [address, options] = requestOf(form);
    const response = await fetch(address, options);
    const lines = SHOWN_HEADERS.filter((name) => response.headers.has(name));
    answer.replaceChildren(
      element("h3", `${response.status} ${response.statusText}`),
      ...lines.map((name) => element("p", `${name}: ${response.headers.get(name)}`)),
      await bodyOf(response),
    );
  } catch {
    answer.replaceChildren(element("p", "The server did not answer. Try again."));
  } finally {
    button.removeAttribute("aria-disabled");
  }
};

for (const hidden of document.querySelectorAll("[data-needs-script]")) hidden.hidden = false;
for (const form of document.querySelectorAll("[data-try]")) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const button = form.querySelector("button");
    if (form.reportValidity() && !button.hasAttribute("aria-disabled")) send(form);
  });
}
const open = () => {
  const named = location.hash && document.getElementById(location.hash.slice(1));
  if (named?.tagName === "DETAILS") named.open = true;
};
window.addEventListener("hashchange", open);
open();

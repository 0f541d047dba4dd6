/* Small help with forms: shows passwords, leads to errors, says that something is under way. */

document.querySelector("[data-error-summary]")?.focus();

for (const field of document.querySelectorAll("[data-password]")) {
  const input = field.querySelector("input");
  const toggle = document.createElement("button");
  toggle.type = "button";
  toggle.className = "password-toggle";
  const show = (isShown) => {
    input.type = isShown ? "text" : "password";
    toggle.textContent = isShown ? "Hide" : "Show";
    toggle.setAttribute("aria-label", isShown ? "Hide the password" : "Show the password");
  };
  show(false);
  toggle.addEventListener("click", () => show(input.type === "password"));
  input.form.addEventListener("submit", () => show(false));
  field.append(toggle);
}

for (const form of document.querySelectorAll("form[data-busy]")) {
  const button = form.querySelector('[type="submit"]');
  const status = form.querySelector("[data-busy-status]");
  const idle = button.textContent;
  const setBusy = (isBusy) => {
    button.setAttribute("aria-disabled", String(isBusy));
    button.textContent = isBusy ? form.dataset.busy : idle;
    status.textContent = isBusy ? status.dataset.busyStatus : "";
    form.querySelector(".progress").hidden = !isBusy;
  };
  form.addEventListener("submit", (event) => {
    if (event.defaultPrevented) return;
    if (button.getAttribute("aria-disabled") === "true") {
      event.preventDefault(); // the first click is already on its way
      return;
    }
    setBusy(true);
  });
  // Coming back with the browser's "back" shows the page as it was left.
  window.addEventListener("pageshow", (event) => event.persisted && setBusy(false));
}

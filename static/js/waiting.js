/* Asks how far everything on the page is that is not finished: one question for all of it. */

const PAUSE_MS = 1500;
const MAX_PAUSE_MS = 15000;
const words = document.querySelector("[data-waiting-words]");
const list = document.querySelector("[data-parts]");
const shown = new Map();

const question = () => {
  const page = document.querySelector("[data-poll-url]");
  if (page) return page.dataset.pollUrl;
  const rows = [...document.querySelectorAll("[data-waiting]")];
  if (rows.length === 0) return null;
  const ids = rows.map((row) => [row.dataset.asks ?? "id", row.dataset.part]);
  return `${rows[0].dataset.statesUrl}?${new URLSearchParams(ids)}`;
};

const ask = async (url) => {
  const response = await fetch(url, { headers: { Accept: "application/json" } });
  if (response.ok && !response.redirected) return response.json();
  if (response.status >= 500) throw new Error(`${response.status}`);
  return null; // signed out or deleted in the meantime: the page itself says what is the matter
};

const place = (key) => {
  const found = document.querySelector(`[data-part="${key}"]`);
  if (found || !list) return found;
  const item = document.createElement("li");
  item.dataset.part = key;
  list.append(item);
  return item;
};

const show = (part) => {
  const element = place(part.key);
  if (!element || shown.get(part.key) === part.html) return;
  shown.set(part.key, part.html);
  element.innerHTML = part.html; // drawn by our own server
  if (part.is_final) delete element.dataset.waiting;
};

const refresh = (state) => {
  state.parts.forEach(show);
  if (list) {
    const keys = new Set(state.parts.map((part) => part.key));
    for (const item of list.querySelectorAll("[data-part]")) {
      if (!keys.has(item.dataset.part)) item.remove();
    }
  }
  const text = state.words ?? state.parts.find((p) => p.key === words?.dataset.wordsOf)?.words;
  // Only what is new is read out.
  if (words && text && words.textContent !== text) words.textContent = text;
};

const watch = async (pauseMs) => {
  const url = question();
  if (url === null) return;
  let nextPauseMs = PAUSE_MS;
  try {
    const state = document.hidden ? undefined : await ask(url);
    if (state === null || (state?.is_final && document.querySelector("[data-reload-when-final]"))) {
      window.location.reload();
      return;
    }
    if (state) refresh(state);
  } catch {
    nextPauseMs = Math.min(pauseMs * 2, MAX_PAUSE_MS); // the server is away; ask less often
  }
  setTimeout(watch, nextPauseMs, nextPauseMs);
};

setTimeout(watch, PAUSE_MS, PAUSE_MS);

/* Asks how far analyses are and shows the page anew once one of them is finished. */

const PAUSE_MS = 1500;
const MAX_PAUSE_MS = 15000;
const words = document.querySelector("[data-waiting-words]");

const TEXT = {
  queued: (waiting) =>
    waiting > 1 ? `Waiting: ${waiting} scans are in the queue.` : "Waiting for its turn.",
  running: () => "The detector is reading the scan.",
};

const ask = async (url) => {
  const response = await fetch(url, { headers: { Accept: "application/json" } });
  // Signed out or deleted in the meantime: the page itself says what is the matter.
  if (!response.ok || response.redirected) return { is_final: true };
  return response.json();
};

const watch = async (url, pauseMs) => {
  let nextPauseMs = PAUSE_MS;
  try {
    const state = await ask(url);
    if (state.is_final) {
      window.location.reload();
      return;
    }
    const text = TEXT[state.status](state.queue_length);
    // Only what is new is read out.
    if (words && words.textContent !== text) words.textContent = text;
  } catch {
    nextPauseMs = Math.min(pauseMs * 2, MAX_PAUSE_MS); // the server is away; ask less often
  }
  setTimeout(watch, nextPauseMs, url, nextPauseMs);
};

for (const element of document.querySelectorAll("[data-status-url]")) {
  setTimeout(watch, PAUSE_MS, element.dataset.statusUrl, PAUSE_MS);
}

/* Switches between light and dark and remembers the choice. */

const YEAR_S = 365 * 24 * 60 * 60;
const sheet = document.querySelector("#dark-colours");
const button = document.querySelector("[data-theme-toggle]");
const label = document.querySelector("[data-theme-label]");

const isDark = () => window.matchMedia(sheet.media).matches;

const describe = () => {
  label.textContent = isDark() ? "Switch to light colours" : "Switch to dark colours";
  button.title = label.textContent;
};

button.addEventListener("click", () => {
  const choice = isDark() ? "light" : "dark";
  sheet.media = choice === "dark" ? "all" : "not all";
  document.cookie = `veriscan-theme=${choice}; path=/; max-age=${YEAR_S}; samesite=lax`;
  describe();
});
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", describe);

describe();
button.hidden = false;

/* One large view of the scan, with the heatmap to be faded in and out over it. */

const stage = document.querySelector("[data-stage]");
const heat = stage.querySelector("[data-heat]");
const toggle = stage.querySelector("[data-heat-toggle]");
const slider = stage.querySelector("[data-heat-opacity]");

const refresh = () => {
  heat.style.opacity = toggle.checked ? Number(slider.value) / 100 : 0;
  slider.disabled = !toggle.checked;
  slider.setAttribute("aria-valuetext", `${slider.value} per cent`);
};

toggle.addEventListener("change", refresh);
slider.addEventListener("input", refresh);

stage.classList.add("is-interactive");
stage.querySelector("[data-heat-controls]").hidden = false;
refresh();

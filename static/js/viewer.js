/* The viewer: a scan's own values on a canvas, to be zoomed, moved and windowed under its heatmap.

   Without it the page shows the same scan and heatmap as pictures. */

import { Contrast } from "./viewer-contrast.js";
import { listen } from "./viewer-gestures.js";
import { Painter } from "./viewer-painter.js";
import { readGreyPng } from "./viewer-png.js";
import { View } from "./viewer-view.js";

const KEY_SHIFT_PIXELS = 40;
const ZOOM_STEP = 1.5;
const SPEAK_AFTER_MS = 500;

const stage = document.querySelector("[data-viewer]");
const part = (name) => stage.querySelector(`[data-viewer-${name}]`);
const number = (text) => (text ? Number(text) : null);

const fetched = async (url) => {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`The server answered ${response.status}.`);
  return response.arrayBuffer();
};

const pictureOf = (url) =>
  new Promise((resolve, reject) => {
    const picture = new Image();
    picture.addEventListener("load", () => resolve(picture));
    picture.addEventListener("error", () => reject(new Error("The heatmap did not load.")));
    picture.src = url;
  });

class Viewer {
  constructor(scan) {
    this.scan = scan;
    this.canvas = part("canvas");
    this.view = new View(scan.width, scan.height);
    this.painter = new Painter(this.canvas, scan);
    this.contrast = new Contrast({
      maximum: scan.maximum,
      black: number(stage.dataset.black),
      white: number(stage.dataset.white),
    });
    this.heat = null;
    this.hasCross = false;
    this.isDue = false;
    const colours = getComputedStyle(stage);
    this.background = colours.getPropertyValue("--stage").trim();
    this.foreground = colours.getPropertyValue("--stage-accent").trim();
  }

  /* --- what is shown --- */

  draw() {
    if (this.isDue) return;
    this.isDue = true;
    requestAnimationFrame(() => {
      this.isDue = false;
      this.painter.paint(this.view, {
        heat: part("heat")?.checked ? this.heat : null,
        opacity: Number(part("opacity")?.value ?? 0) / 100,
        hasCross: this.hasCross,
        background: this.background,
        foreground: this.foreground,
      });
    });
  }

  develop() {
    const { contrast } = this;
    this.painter.develop(contrast.ends);
    for (const [name, value] of [["level", contrast.level], ["width", contrast.width]]) {
      part(name).value = value;
      part(name).setAttribute("aria-valuetext", contrast.words(value));
      part(`${name}-words`).textContent = contrast.words(value);
    }
    this.draw();
  }

  moved() {
    const { view } = this;
    part("zoom-words").textContent = `${view.magnification.toFixed(1)}×`;
    part("zoom-out").setAttribute("aria-disabled", String(view.isFitted));
    const ownsDrag = !view.isFitted || this.isDraggingContrast;
    this.canvas.classList.toggle("owns-drag", ownsDrag);
    this.draw();
  }

  readAt(x, y) {
    const pixel = this.view.pixelAt(x, y);
    if (!pixel) return "Beside the scan";
    const stored = this.scan.values[pixel.row * this.scan.width + pixel.column];
    return `Column ${pixel.column}, row ${pixel.row}: ${this.contrast.reading(stored)}`;
  }

  readMiddle() {
    const { canvas } = this;
    const text = this.readAt(canvas.width / 2, canvas.height / 2);
    part("reading").textContent = text;
    return text;
  }

  /* After the keyboard: the cross says where, the words say what; spoken once keys rest. */
  showMiddle() {
    this.hasCross = true;
    const text = this.readMiddle();
    clearTimeout(this.speaking);
    this.speaking = setTimeout(() => {
      const { magnification } = this.view;
      const { level, width } = this.contrast;
      part("spoken").textContent =
        `${text}. Zoom ${magnification.toFixed(1)} times. ` +
        `Level ${this.contrast.words(level)}, width ${this.contrast.words(width)}.`;
    }, SPEAK_AFTER_MS);
  }

  /* --- what is done to it --- */

  get isDraggingContrast() {
    return part("drag-contrast").checked;
  }

  fit() {
    this.view.fit();
    this.moved();
  }

  zoom(factor, x, y) {
    this.view.zoom(factor, x, y);
    this.moved();
  }

  shift(dx, dy) {
    this.view.move(dx, dy);
    this.moved();
  }

  drag(dx, dy) {
    if (!this.isDraggingContrast) {
      this.shift(dx, dy);
      return;
    }
    const { contrast, canvas } = this;
    const perPixel = contrast.span / Math.min(canvas.width, canvas.height);
    this.setContrast(contrast.level + dy * perPixel, contrast.width + dx * perPixel);
  }

  setContrast(level, width) {
    this.contrast.set(level, width);
    this.develop();
  }

  resize() {
    const density = window.devicePixelRatio;
    const { canvas } = this;
    canvas.width = Math.max(1, Math.round(canvas.clientWidth * density));
    canvas.height = Math.max(1, Math.round(canvas.clientHeight * density));
    this.view.resize(canvas.width, canvas.height);
    this.moved();
  }

  /* --- how it is told --- */

  listen() {
    new ResizeObserver(() => this.resize()).observe(this.canvas);
    listen(this.canvas, {
      drag: (dx, dy) => this.drag(dx, dy),
      shift: (dx, dy) => this.shift(dx, dy),
      zoom: (factor, x, y) => this.zoom(factor, x, y),
      fit: () => this.fit(),
      isFitted: () => this.view.isFitted,
      hover: (x, y) => {
        this.hasCross = false;
        part("reading").textContent = this.readAt(x, y);
        this.draw();
      },
      leave: () => (part("reading").textContent = part("reading").dataset.idle),
      refused: () => (part("reading").textContent = part("reading").dataset.wheel),
    });
    this.canvas.addEventListener("keydown", (event) => this.#key(event));
    this.canvas.addEventListener("blur", () => {
      this.hasCross = false;
      this.draw();
    });
    this.#listenToControls();
  }

  #listenToControls() {
    part("zoom-in").addEventListener("click", () => this.zoom(ZOOM_STEP));
    part("zoom-out").addEventListener("click", () => this.zoom(1 / ZOOM_STEP));
    part("fit").addEventListener("click", () => this.fit());
    part("reset").addEventListener("click", () => this.#preset(() => this.contrast.reset()));
    part("stretch").addEventListener("click", () =>
      this.#preset(() => this.contrast.stretch(this.scan.values)),
    );
    for (const name of ["drag-move", "drag-contrast"]) {
      part(name).addEventListener("change", () => this.moved());
    }
    for (const [name, low] of [["level", this.contrast.low], ["width", 0]]) {
      const slider = part(name);
      Object.assign(slider, { min: low, max: low + this.contrast.span, step: "any" });
      slider.addEventListener("input", () =>
        this.setContrast(Number(part("level").value), Number(part("width").value)),
      );
    }
    part("heat")?.addEventListener("change", () => this.#heatChanged());
    part("opacity")?.addEventListener("input", () => this.#heatChanged());
    const whole = part("whole");
    whole.hidden = !document.fullscreenEnabled;
    whole.addEventListener("click", () =>
      document.fullscreenElement ? document.exitFullscreen() : stage.requestFullscreen(),
    );
    document.addEventListener("fullscreenchange", () => {
      whole.setAttribute("aria-pressed", String(document.fullscreenElement !== null));
    });
  }

  #preset(change) {
    change();
    this.develop();
  }

  #heatChanged() {
    const slider = part("opacity");
    slider.disabled = !part("heat").checked;
    slider.setAttribute("aria-valuetext", `${slider.value} of 100`);
    this.draw();
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const isArrow = event.key.startsWith("Arrow");
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const action = event.shiftKey && isArrow ? this.#contrastKeys[key] : this.#keys[key];
    if (!action) return;
    event.preventDefault();
    action();
    this.showMiddle();
    this.draw();
  }

  #keys = {
    "+": () => this.zoom(ZOOM_STEP),
    "=": () => this.zoom(ZOOM_STEP),
    "-": () => this.zoom(1 / ZOOM_STEP),
    0: () => this.fit(),
    Home: () => this.fit(),
    ArrowLeft: () => this.shift(KEY_SHIFT_PIXELS, 0),
    ArrowRight: () => this.shift(-KEY_SHIFT_PIXELS, 0),
    ArrowUp: () => this.shift(0, KEY_SHIFT_PIXELS),
    ArrowDown: () => this.shift(0, -KEY_SHIFT_PIXELS),
    r: () => this.#preset(() => this.contrast.reset()),
    h: () => part("heat")?.click(),
  };

  #contrastKeys = {
    ArrowUp: () => this.#nudge(1, 0),
    ArrowDown: () => this.#nudge(-1, 0),
    ArrowLeft: () => this.#nudge(0, -1),
    ArrowRight: () => this.#nudge(0, 1),
  };

  #nudge(levels, widths) {
    const { contrast } = this;
    this.setContrast(
      contrast.level + levels * contrast.step,
      contrast.width + widths * contrast.step,
    );
  }
}

/* Shows the pictures that a browser without scripts would show. */
const fallBack = () => {
  const pictures = stage.querySelector("noscript").textContent;
  part("frame").innerHTML = pictures;
};

const begin = async () => {
  part("frame").hidden = false;
  const heat = stage.dataset.heatmap ? pictureOf(stage.dataset.heatmap) : null;
  heat?.catch(() => {}); // is waited for below
  const viewer = new Viewer(await readGreyPng(await fetched(stage.dataset.image)));
  part("waiting").remove();
  for (const name of ["canvas", "zoom", "controls", "help"]) part(name).hidden = false;
  part("reading").textContent = part("reading").dataset.idle;
  viewer.listen();
  viewer.resize();
  viewer.develop();
  viewer.heat = await heat;
  viewer.draw();
  stage.dataset.viewer = "ready";
};

begin().catch(fallBack);

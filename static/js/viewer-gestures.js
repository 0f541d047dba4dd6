/* Mouse, pen and fingers on the canvas: tells what they mean, and leaves the page its scrolling. */

const WHEEL_PER_DOUBLING = 400; // in pixels of scrolling
const LINE_PIXELS = 16;

/* act: drag(dx, dy), shift(dx, dy), zoom(factor, x, y), hover(x, y) and leave() in pixels of the
   canvas; fit() and isFitted(); refused() for the wheel. */
export const listen = (canvas, act) => {
  const fingers = new Map();
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    const density = canvas.width / box.width;
    return { x: (event.clientX - box.left) * density, y: (event.clientY - box.top) * density };
  };

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    const at = place(event);
    fingers.set(event.pointerId, at);
    act.hover(at.x, at.y);
  });
  canvas.addEventListener("pointermove", (event) => {
    const now = place(event);
    act.hover(now.x, now.y);
    const before = fingers.get(event.pointerId);
    if (!before) return;
    const [other] = [...fingers].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
    fingers.set(event.pointerId, now);
    if (other) pinch(act, other, before, now);
    else act.drag(now.x - before.x, now.y - before.y);
  });
  for (const ending of ["pointerup", "pointercancel", "lostpointercapture"]) {
    canvas.addEventListener(ending, (event) => fingers.delete(event.pointerId));
  }
  // What a finger has read stays until the next touch.
  canvas.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && act.leave());
  canvas.addEventListener("dblclick", (event) => {
    const { x, y } = place(event);
    if (act.isFitted()) act.zoom(2, x, y);
    else act.fit();
  });

  // Two fingers zoom the scan, never the page.
  canvas.addEventListener(
    "touchstart",
    (event) => event.touches.length > 1 && event.preventDefault(),
    { passive: false },
  );
  canvas.addEventListener("wheel", (event) => turn(canvas, act, event, place(event)), {
    passive: false,
  });
};

const pinch = (act, other, before, now) => {
  const distance = (at) => Math.hypot(at.x - other.x, at.y - other.y) || 1;
  act.zoom(distance(now) / distance(before), (now.x + other.x) / 2, (now.y + other.y) / 2);
  act.shift((now.x - before.x) / 2, (now.y - before.y) / 2);
};

/* The wheel scrolls the page until the scan has been clicked, or with the control key held, which
   is also what a pinch on a touchpad sends. */
const turn = (canvas, act, event, { x, y }) => {
  if (document.activeElement !== canvas && !event.ctrlKey && !event.metaKey) {
    act.refused();
    return;
  }
  const pixels = event.deltaMode === 0 ? event.deltaY : event.deltaY * LINE_PIXELS;
  if (pixels > 0 && act.isFitted()) return; // it cannot get smaller: the page scrolls on
  event.preventDefault();
  act.zoom(2 ** (-pixels / WHEEL_PER_DOUBLING), x, y);
};

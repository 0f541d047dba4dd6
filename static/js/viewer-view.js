/* Where a scan lies on the canvas: its scale and its corner, in pixels of the canvas. */

const GREATEST_SCALE = 32;

export class View {
  constructor(width, height) {
    Object.assign(this, { width, height, boxWidth: 1, boxHeight: 1, scale: 0, x: 0, y: 0 });
  }

  get fittingScale() {
    return Math.min(this.boxWidth / this.width, this.boxHeight / this.height);
  }

  get isFitted() {
    return this.scale <= this.fittingScale * 1.001;
  }

  /* How many times larger than the whole scan fitted into the canvas. */
  get magnification() {
    return this.scale / this.fittingScale;
  }

  fit() {
    this.scale = this.fittingScale;
    this.#keepInside();
  }

  /* Takes a new size of the canvas; what was in the middle stays there. */
  resize(boxWidth, boxHeight) {
    const wasFitted = this.scale === 0 || this.isFitted;
    const [dx, dy] = [(boxWidth - this.boxWidth) / 2, (boxHeight - this.boxHeight) / 2];
    Object.assign(this, { boxWidth, boxHeight });
    if (wasFitted) this.fit();
    else this.move(dx, dy);
  }

  /* Zooms; the point (x, y) of the canvas stays where it is. */
  zoom(factor, x = this.boxWidth / 2, y = this.boxHeight / 2) {
    const least = this.fittingScale;
    const scale = Math.min(
      Math.max(this.scale * factor, least),
      Math.max(GREATEST_SCALE, least),
    );
    this.x = x - ((x - this.x) * scale) / this.scale;
    this.y = y - ((y - this.y) * scale) / this.scale;
    this.scale = scale;
    this.#keepInside();
  }

  move(dx, dy) {
    this.x += dx;
    this.y += dy;
    this.#keepInside();
  }

  /* The pixel of the scan at a point of the canvas; null beside the scan. */
  pixelAt(x, y) {
    const column = Math.floor((x - this.x) / this.scale);
    const row = Math.floor((y - this.y) / this.scale);
    const isInside = column >= 0 && row >= 0 && column < this.width && row < this.height;
    return isInside ? { column, row } : null;
  }

  #keepInside() {
    this.x = kept(this.x, this.width * this.scale, this.boxWidth);
    this.y = kept(this.y, this.height * this.scale, this.boxHeight);
  }
}

/* In the middle where there is room to spare, otherwise without a gap at either side. */
const kept = (start, length, room) =>
  length <= room ? (room - length) / 2 : Math.min(0, Math.max(start, room - length));

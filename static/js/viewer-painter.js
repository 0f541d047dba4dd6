/* Paints a scan, its heatmap and a cross in the middle onto the canvas. */

const OPAQUE = 0xff000000;
const PIXELS_SHOW_FROM = 6; // pixels of the screen a pixel of the scan: below, they are smoothed
const CROSS_ARM = 9;

export class Painter {
  constructor(canvas, { width, height, maximum, values }) {
    this.values = values;
    this.maximum = maximum;
    this.context = canvas.getContext("2d", { alpha: false });
    this.picture = new OffscreenCanvas(width, height);
    this.pixels = new ImageData(width, height);
  }

  /* Turns the scan's values into greys: those up to low are black, those from high on white. */
  develop([low, high]) {
    const greys = new Uint32Array(this.maximum + 1);
    for (let value = 0; value <= this.maximum; value += 1) {
      const share = Math.min(Math.max((value - low) / (high - low), 0), 1);
      greys[value] = (OPAQUE | (Math.round(share * 255) * 0x010101)) >>> 0;
    }
    const { values } = this;
    const target = new Uint32Array(this.pixels.data.buffer);
    for (let at = 0; at < values.length; at += 1) target[at] = greys[values[at]];
    this.picture.getContext("2d").putImageData(this.pixels, 0, 0);
  }

  paint(view, { heat, opacity, hasCross, background, foreground }) {
    const { context } = this;
    const place = [view.x, view.y, view.width * view.scale, view.height * view.scale];
    context.fillStyle = background;
    context.fillRect(0, 0, view.boxWidth, view.boxHeight);
    context.imageSmoothingEnabled = view.scale < PIXELS_SHOW_FROM;
    context.imageSmoothingQuality = "high";
    context.drawImage(this.picture, ...place);
    if (heat && opacity > 0) {
      context.globalAlpha = opacity;
      context.imageSmoothingEnabled = true;
      context.drawImage(heat, ...place);
      context.globalAlpha = 1;
    }
    if (hasCross) this.#paintCross(view.boxWidth / 2, view.boxHeight / 2, foreground);
  }

  #paintCross(x, y, colour) {
    const { context } = this;
    context.beginPath();
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      context.moveTo(x + 3 * dx, y + 3 * dy);
      context.lineTo(x + CROSS_ARM * dx, y + CROSS_ARM * dy);
    }
    context.lineWidth = 2;
    context.strokeStyle = colour;
    context.stroke();
  }
}

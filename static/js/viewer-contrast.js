/* Which of a scan's values are shown from black to white, and how a value is written. */

const STEPS = 50; // from one end of the values to the other, by the keyboard
const LEAST_SHARE = 1 / 100; // of all values, the narrowest window

export class Contrast {
  /* maximum: the greatest stored number. black, white: what 0 and it stand for in Hounsfield
     units; null where they are mere greys. */
  constructor({ maximum, black, white }) {
    this.isHounsfield = black !== null;
    this.maximum = maximum;
    this.low = this.isHounsfield ? black : 0;
    this.high = this.isHounsfield ? white : maximum;
    this.span = this.high - this.low;
    this.step = this.span / STEPS;
    this.reset();
  }

  /* Shows what the detector was shown. */
  reset() {
    this.set((this.low + this.high) / 2, this.span);
  }

  set(level, width) {
    this.level = within(level, this.low, this.high);
    this.width = within(width, this.span * LEAST_SHARE, this.span);
  }

  /* Shows the middle 98 of 100 values of this scan from black to white. */
  stretch(values) {
    const counts = new Uint32Array(this.maximum + 1);
    for (const value of values) counts[value] += 1;
    const valueAt = (share) => {
      let [left, value] = [share * values.length, 0];
      for (; value < this.maximum && left > counts[value]; value += 1) left -= counts[value];
      return this.valueOf(value);
    };
    const [first, last] = [valueAt(0.01), valueAt(0.99)];
    this.set((first + last) / 2, last - first);
  }

  /* The stored numbers, not necessarily whole, that are drawn black and white. */
  get ends() {
    const scale = this.maximum / this.span;
    return [
      (this.level - this.width / 2 - this.low) * scale,
      (this.level + this.width / 2 - this.low) * scale,
    ];
  }

  valueOf(stored) {
    return this.low + (stored / this.maximum) * this.span;
  }

  /* What a pixel holds, in words. */
  reading(stored) {
    if (!this.isHounsfield) return `grey ${stored} of ${this.maximum}`;
    if (stored === 0) return `${this.words(this.low)} or less`;
    if (stored === this.maximum) return `${this.words(this.high)} or more`;
    return this.words(this.valueOf(stored));
  }

  words(value) {
    const figure = String(Math.round(value)).replace("-", "−");
    return this.isHounsfield ? `${figure} HU` : figure;
  }
}

const within = (value, low, high) => Math.min(Math.max(value, low), high);

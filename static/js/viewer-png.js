/* Reads greyscale PNG files at their full depth: a browser's own decoder keeps 8 of 16 bits. */

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
const GREY_WITHOUT_ALPHA = 0;

/* Returns {width, height, maximum, values}; values are whole numbers from 0, row by row. */
export const readGreyPng = async (buffer) => {
  const { header, packed } = partsOf(buffer);
  const [width, height] = [header.getUint32(0), header.getUint32(4)];
  const [bits, colour, interlace] = [header.getUint8(8), header.getUint8(9), header.getUint8(12)];
  if (colour !== GREY_WITHOUT_ALPHA || interlace !== 0 || (bits !== 8 && bits !== 16)) {
    throw new Error("This PNG is not one of a scan.");
  }
  const sampleBytes = bits / 8;
  const rows = await inflated(packed);
  const rowBytes = width * sampleBytes;
  if (rows.length !== (rowBytes + 1) * height) throw new Error("This PNG is damaged.");
  const bytes = unfiltered(rows, rowBytes, sampleBytes);
  return { width, height, maximum: 2 ** bits - 1, values: bits === 8 ? bytes : paired(bytes) };
};

const partsOf = (buffer) => {
  const view = new DataView(buffer);
  if (SIGNATURE.some((byte, at) => view.getUint8(at) !== byte)) throw new Error("This is no PNG.");
  const packed = [];
  let header = null;
  for (let at = SIGNATURE.length; at < buffer.byteLength; ) {
    const length = view.getUint32(at);
    const name = String.fromCharCode(...new Uint8Array(buffer, at + 4, 4));
    if (name === "IHDR") header = new DataView(buffer, at + 8, length);
    if (name === "IDAT") packed.push(new Uint8Array(buffer, at + 8, length));
    at += length + 12; // with the length itself, the name and the checksum
  }
  return { header, packed };
};

const inflated = async (packed) => {
  const stream = new Blob(packed).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
};

/* Undoes the prediction of each row from its neighbours (PNG specification, section 9). */
const unfiltered = (rows, rowBytes, step) => {
  const height = rows.length / (rowBytes + 1);
  const bytes = new Uint8Array(rowBytes * height);
  for (let row = 0; row < height; row += 1) {
    const source = row * (rowBytes + 1);
    const filter = rows[source];
    const target = row * rowBytes;
    for (let at = 0; at < rowBytes; at += 1) {
      const left = at >= step ? bytes[target + at - step] : 0;
      const above = row > 0 ? bytes[target + at - rowBytes] : 0;
      const corner = at >= step && row > 0 ? bytes[target + at - rowBytes - step] : 0;
      bytes[target + at] = rows[source + 1 + at] + predicted(filter, left, above, corner);
    }
  }
  return bytes;
};

const predicted = (filter, left, above, corner) => {
  if (filter === 0) return 0;
  if (filter === 1) return left;
  if (filter === 2) return above;
  if (filter === 3) return (left + above) >> 1;
  const estimate = left + above - corner;
  const [toLeft, toAbove] = [Math.abs(estimate - left), Math.abs(estimate - above)];
  const toCorner = Math.abs(estimate - corner);
  if (toLeft <= toAbove && toLeft <= toCorner) return left;
  return toAbove <= toCorner ? above : corner;
};

const paired = (bytes) => {
  const values = new Uint16Array(bytes.length / 2);
  for (let at = 0; at < values.length; at += 1) {
    values[at] = (bytes[2 * at] << 8) | bytes[2 * at + 1];
  }
  return values;
};

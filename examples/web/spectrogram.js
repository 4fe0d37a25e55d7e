// A spectrogram on a canvas: 80 dB below the loudest of all stems, low frequencies at the bottom.

const SIZE = 512;
const RANGE_DB = 80;

export function spectrum(samples, start) {
  const real = new Float64Array(SIZE);
  const imaginary = new Float64Array(SIZE);
  for (let i = 0; i < SIZE; i += 1) {
    const hann = 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / SIZE);
    real[reversed(i)] = hann * (samples[start + i] ?? 0);
  }
  for (let span = 1; span < SIZE; span *= 2) {
    for (let k = 0; k < span; k += 1) {
      const [c, s] = [Math.cos((Math.PI * k) / span), -Math.sin((Math.PI * k) / span)];
      for (let i = k; i < SIZE; i += 2 * span) {
        const j = i + span;
        const [r, m] = [real[j] * c - imaginary[j] * s, real[j] * s + imaginary[j] * c];
        [real[j], imaginary[j]] = [real[i] - r, imaginary[i] - m];
        [real[i], imaginary[i]] = [real[i] + r, imaginary[i] + m];
      }
    }
  }
  return Float64Array.from({ length: SIZE / 2 }, (_, bin) => real[bin] ** 2 + imaginary[bin] ** 2);
}

function reversed(index) {
  let out = 0;
  for (let bit = 1, at = index; bit < SIZE; bit *= 2, at >>= 1) out = out * 2 + (at & 1);
  return out;
}

// Columns of power of a stem's first channel, as many as there is room for.
export function columnsOf(samples, width) {
  const step = Math.max(1, (samples.length - SIZE) / Math.max(1, width - 1));
  return Array.from({ length: width }, (_, x) => spectrum(samples, Math.round(x * step)));
}

export function loudest(columns) {
  return columns.reduce((most, column) => column.reduce((a, b) => Math.max(a, b), most), 1e-12);
}

export function drawSpectrogram(canvas, columns, most) {
  canvas.width = columns.length;
  canvas.height = SIZE / 2;
  const pen = canvas.getContext("2d");
  const image = pen.createImageData(canvas.width, canvas.height);
  for (let x = 0; x < columns.length; x += 1) {
    for (let bin = 0; bin < SIZE / 2; bin += 1) {
      const level = 1 + (10 * Math.log10(columns[x][bin] / most + 1e-12)) / RANGE_DB;
      image.data.set(colour(Math.max(0, level)), 4 * ((SIZE / 2 - 1 - bin) * canvas.width + x));
    }
  }
  pen.putImageData(image, 0, 0);
}

// From black by violet and orange to a pale yellow.
const STOPS = [[4, 4, 16], [72, 22, 110], [168, 46, 100], [236, 106, 50], [252, 246, 180]];

function colour(level) {
  const place = Math.min(level, 0.9999) * (STOPS.length - 1);
  const [low, high] = [STOPS[Math.floor(place)], STOPS[Math.floor(place) + 1]];
  const mixed = low.map((value, i) => Math.round(value + (high[i] - value) * (place % 1)));
  return [...mixed, 255];
}

// A recording through the windows of a model, as sgn_rt.Separator lays them; lengths in samples at the model's rate.

export function layoutOf({ config, overlap_add }) {
  if (!overlap_add) throw new Error("bundle.json: got no overlap_add, expected a bundle of today. Export it again.");
  const { discard_samples: discard, fade_samples: fade } = overlap_add;
  const window = config.window_samples;
  return { window, discard, fade, step: window - 2 * discard - fade };
}

// Windows of a recording: where each begins, from which sample of the recording on it is heard, up to which no later one
// changes it, and where it ends to be heard. The last one ends with the recording.
export function windowsOf(length, { window, discard, fade, step }) {
  const windows = [];
  for (let first = 0; first < length; ) {
    const whole = windows.length * step + window <= length;
    const start = whole ? windows.length * step : Math.max(0, length - window);
    const settled = whole ? (windows.length + 1) * step + discard : length;
    windows.push({ start, first, until: whole ? settled + fade : length });
    first = settled;
  }
  return windows;
}

// What is shorter than a window goes on mirrored.
export function cut(samples, start, size) {
  if (start + size <= samples.length) return samples.slice(start, start + size);
  const { length } = samples;
  return Float32Array.from({ length: size }, (_, i) => {
    const at = (start + i) % (2 * length);
    return samples[at < length ? at : 2 * length - 1 - at];
  });
}

// Adds what is heard of a window to a source, cross-faded with the window before it.
export function join(out, source, { start, first, until }, fade) {
  for (let at = first; at < until; at += 1) {
    const faded = first > 0 && at - first < fade;
    const weight = faded ? Math.fround(Math.sin((0.5 * Math.PI * (at - first + 0.5)) / fade) ** 2) : 1;
    out[at] += weight * (source[at - start] - out[at]);
  }
}

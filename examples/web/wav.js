// A WAV file of 32-bit floating point.

export function wav(channels, rate) {
  const frames = channels[0].length;
  const size = 4 * frames * channels.length;
  const view = new DataView(new ArrayBuffer(44 + size));
  const text = (at, word) => [...word].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, 36 + size, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 3, true); // floating point
  view.setUint16(22, channels.length, true);
  view.setUint32(24, rate, true);
  view.setUint32(28, 4 * rate * channels.length, true);
  view.setUint16(32, 4 * channels.length, true);
  view.setUint16(34, 32, true);
  text(36, "data");
  view.setUint32(40, size, true);
  for (const [c, samples] of channels.entries()) {
    samples.forEach((sample, i) => view.setFloat32(44 + 4 * (i * channels.length + c), sample, true));
  }
  return new Blob([view.buffer], { type: "audio/wav" });
}

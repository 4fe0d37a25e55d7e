// A waveform on a canvas: lowest and highest sample of every column, and how far it has played.

export class Waveform {
  constructor(canvas, buffer, scale) {
    this.canvas = canvas;
    this.buffer = buffer;
    this.scale = scale;
    this.part = 0;
    this.columns = [];
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(canvas);
  }

  close() {
    this.observer.disconnect();
  }

  resize() {
    const ratio = window.devicePixelRatio || 1;
    const width = Math.round(this.canvas.clientWidth * ratio);
    const height = Math.round(this.canvas.clientHeight * ratio);
    if (!width || !height) return;
    if (width !== this.columns.length) this.columns = extremes(this.buffer, width);
    this.canvas.width = width;
    this.canvas.height = height;
    this.draw(this.part);
  }

  draw(part) {
    this.part = part;
    const { width, height } = this.canvas;
    const pen = this.canvas.getContext("2d");
    const colour = getComputedStyle(this.canvas).getPropertyValue("--stem") || "gray";
    pen.clearRect(0, 0, width, height);
    const middle = height / 2;
    pen.fillStyle = colour;
    for (let x = 0; x < this.columns.length; x += 1) {
      pen.globalAlpha = x < part * width ? 1 : 0.45;
      const [low, high] = this.columns[x];
      const top = middle - high * this.scale * middle;
      pen.fillRect(x, top, 1, Math.max(1, (high - low) * this.scale * middle));
    }
    pen.globalAlpha = 1;
  }
}

function extremes(buffer, width) {
  const samples = buffer.getChannelData(0);
  const step = samples.length / width;
  return Array.from({ length: width }, (_, x) => {
    let low = 0;
    let high = 0;
    const stop = Math.min(samples.length, Math.ceil((x + 1) * step));
    for (let at = Math.floor(x * step); at < stop; at += 1) {
      if (samples[at] < low) low = samples[at];
      else if (samples[at] > high) high = samples[at];
    }
    return [low, high];
  });
}

export function peak(buffer) {
  let most = 0;
  for (let channel = 0; channel < buffer.numberOfChannels; channel += 1) {
    for (const sample of buffer.getChannelData(channel)) most = Math.max(most, Math.abs(sample));
  }
  return most;
}

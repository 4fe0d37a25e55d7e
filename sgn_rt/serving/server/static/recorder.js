// Runs in the audio thread: passes on what a microphone hears, as one channel.

const BLOCK = 2048;

class Recorder extends AudioWorkletProcessor {
  constructor() {
    super();
    this.block = new Float32Array(BLOCK);
    this.filled = 0;
  }

  process([input]) {
    if (!input.length) return true;
    const samples = input[0];
    for (let at = 0; at < samples.length; at += 1) {
      let sum = 0;
      for (const channel of input) sum += channel[at];
      this.block[this.filled] = sum / input.length;
      this.filled += 1;
      if (this.filled === BLOCK) {
        this.port.postMessage(this.block, [this.block.buffer]);
        this.block = new Float32Array(BLOCK);
        this.filled = 0;
      }
    }
    return true;
  }
}

registerProcessor("recorder", Recorder);

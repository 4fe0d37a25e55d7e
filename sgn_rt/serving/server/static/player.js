// Plays decoded stems together, sample by sample in step, from any position.

const LEAD_S = 0.03; // so that all of them begin in the same block of the audio thread

export class Player {
  constructor(context, mixer, buffers) {
    this.context = context;
    this.mixer = mixer;
    this.buffers = buffers;
    this.duration = Math.max(0, ...buffers.map((buffer) => buffer.duration));
    this.playing = false;
    this.offset = 0; // where it stands while it does not play
    this.began = 0; // the context's time at which position 0 would have sounded
    this.nodes = [];
  }

  get position() {
    if (!this.playing) return this.offset;
    return Math.min(this.duration, Math.max(0, this.context.currentTime - this.began));
  }

  async play() {
    await this.context.resume();
    if (this.playing) return;
    if (this.offset >= this.duration) this.offset = 0;
    const at = this.context.currentTime + LEAD_S;
    this.nodes = this.buffers.map((buffer, index) => {
      const node = this.context.createBufferSource();
      node.buffer = buffer;
      node.connect(this.mixer.strips[index].gain);
      node.start(at, this.offset);
      return node;
    });
    this.began = at - this.offset;
    this.playing = true;
  }

  pause() {
    this.offset = this.position;
    this.playing = false;
    for (const node of this.nodes) {
      node.stop();
      node.disconnect();
    }
    this.nodes = [];
  }

  async seek(seconds) {
    const was = this.playing;
    if (was) this.pause();
    this.offset = Math.min(this.duration, Math.max(0, seconds));
    if (was && this.offset < this.duration) await this.play(); // from its end it would begin anew
  }
}

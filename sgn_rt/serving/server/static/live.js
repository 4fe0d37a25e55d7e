// The tab of live sound: blocks go to the server while it comes, and stems sound as they come back.

import { Mixer } from "./mixer.js";
import { chosenCategories, clock, find, make, onFile, paint, percent, readable, showProblem } from "./parts.js";
import { openSocket } from "./server.js";
import { fileSource, microphoneSource } from "./sources.js";

const LEAD_S = 0.3; // between a block's coming and its sounding, for what comes late
const MOST_WAITING_S = 4; // of sound that the network has not taken
const MOST_EVENTS = 200;

let session = null;

export function setUpLive() {
  onFile(find("live-drop"), find("live-file"), (file) => start((context) => fileSource(context, file)));
  find("microphone").addEventListener("click", () => start(microphoneSource));
  find("stop").addEventListener("click", () => session?.end());
}

function enter(state, text = "") {
  find("panel-live").dataset.state = state;
  const idle = ["idle", "failed"].includes(state);
  find("sources").hidden = !(idle || state === "ended");
  find("live").hidden = idle;
  find("stop").hidden = state === "ended";
  find("live-doing").textContent = text;
  find("categories").disabled = find("latency").disabled = !(idle || state === "ended");
}

async function start(open) {
  session?.close();
  find("categories").disabled = false;
  showProblem(null);
  enter("opening", "Connecting …");
  const own = new Session();
  session = own;
  try {
    await own.open(open);
  } catch (error) {
    own.fail(error);
  }
}

class Session {
  constructor() {
    this.context = new AudioContext();
    this.mixer = new Mixer(this.context);
    this.stopSource = () => {};
    this.closed = false;
    this.samples = 0; // that have come
    this.playAt = 0; // the context's time at which the next block sounds
    this.levels = [];
  }

  async open(openSource) {
    const source = await openSource(this.context);
    if (this.closed) return source.stop?.();
    this.stopSource = source.stop ?? this.stopSource;
    await this.context.resume();
    this.source = source;
    this.socket = openSocket();
    this.socket.onopen = () => this.say(this.startMessage());
    this.socket.onmessage = ({ data }) => {
      if (typeof data === "string") this.hear(JSON.parse(data));
      else this.play(new Float32Array(data));
    };
    this.socket.onclose = ({ code }) => {
      if (!this.closed && code !== 1000) {
        this.fail(new Error("The server ended the stream, or is gone."));
      }
    };
  }

  startMessage() {
    const categories = chosenCategories();
    const latency = find("latency").value;
    return {
      type: "start",
      sample_rate: this.context.sampleRate,
      channels: this.source.channels,
      categories: categories.length ? categories : null,
      latency_s: latency ? Number(latency) : null,
      sample_format: "f32le",
    };
  }

  say(message) {
    this.socket.send(JSON.stringify(message));
  }

  hear(message) {
    if (message.type === "started") this.begin(message);
    else if (message.type === "presence") this.note(message);
    else if (message.type === "overload") this.noteLine(undefined, "The server was too busy for a moment.");
    else if (message.type === "error") this.fail(new Error(message.error.message));
    else if (message.type === "ended") this.finish();
  }

  begin(started) {
    this.channels = started.channels;
    find("events").replaceChildren();
    find("live-clock").value = clock(0);
    this.rows = started.categories.map((name) => this.row(name));
    find("strips").replaceChildren(...this.rows.map(({ item }) => item));
    this.byName = new Map(started.categories.map((name, index) => [name, this.rows[index]]));
    const delay = started.latency_samples / started.sample_rate;
    enter("running", `${this.source.name}, ${delay.toFixed(1)} s later`);
    const room = MOST_WAITING_S * started.sample_rate * started.channels * 4;
    const send = (block) => {
      if (this.closed || this.socket.bufferedAmount > room) return false;
      this.socket.send(block);
      return true;
    };
    this.stopSource = this.source.run(send, () => this.end(), (error) => this.fail(error));
    this.animate();
  }

  row(name) {
    const item = make("li");
    paint(item, name);
    const bar = make("div");
    const strip = this.mixer.add(readable(name));
    item.append(
      make("div", {}, make("span", { className: "name", textContent: readable(name) })),
      make("div", { className: "level" }, bar),
      make("div", { className: "buttons" }, ...this.mixer.buttons(strip, item)),
    );
    return { item, bar, strip, level: 0 };
  }

  play(block) {
    const frame = this.rows.length * this.channels;
    const length = block.length / frame;
    if (!length) return;
    const rate = this.context.sampleRate;
    const now = this.context.currentTime;
    if (this.playAt < now) this.playAt = Math.ceil((now + LEAD_S) * rate) / rate;
    for (const [index, row] of this.rows.entries()) {
      const buffer = this.context.createBuffer(this.channels, length, rate);
      for (let channel = 0; channel < this.channels; channel += 1) {
        const plane = buffer.getChannelData(channel);
        for (let at = 0, from = index * this.channels + channel; at < length; at += 1, from += frame) {
          plane[at] = block[from];
          row.level = Math.max(row.level, Math.abs(plane[at]));
        }
      }
      const node = this.context.createBufferSource();
      node.buffer = buffer;
      node.connect(row.strip.gain);
      node.start(this.playAt);
    }
    this.playAt += length / rate;
    this.samples += length;
    find("live-clock").value = clock(this.samples / rate);
  }

  note({ kind, category, time_s: time, probability }) {
    this.byName.get(category)?.item.classList.toggle("present", kind === "appeared");
    const word = kind === "appeared" ? "appeared" : "went";
    this.noteLine(time, `${readable(category)} ${word} (${percent(probability)})`);
  }

  noteLine(time, text) {
    if (find("events").firstChild?.lastChild.textContent === text) return;
    const when = time === undefined ? "" : `${time.toFixed(1)} s`;
    find("events").prepend(make("li", {}, make("time", { textContent: when }), make("span", { textContent: text })));
    while (find("events").children.length > MOST_EVENTS) find("events").lastChild.remove();
  }

  // Meters: decibels from -60 to full scale, which fall slowly.
  animate() {
    for (const row of this.rows) {
      const level = 1 + Math.log10(Math.max(row.level, 1e-3)) / 3;
      row.bar.style.transform = `scaleX(${Math.min(1, Math.max(0, level))})`;
      row.level *= 0.93;
    }
    this.frame = requestAnimationFrame(() => this.animate());
  }

  end() {
    this.stopSource();
    if (this.socket?.readyState !== WebSocket.OPEN) return this.closeTo("idle");
    this.say({ type: "end" });
    enter("ending", "The last of it is on its way …");
  }

  finish() {
    const rest = Math.max(0, this.playAt - this.context.currentTime);
    enter("ended", `${this.source.name} is over.`);
    this.stopSource();
    setTimeout(() => this.close(), rest * 1000);
  }

  fail(error) {
    if (this.closed) return;
    this.closeTo("failed");
    showProblem(error);
  }

  closeTo(state) {
    this.close();
    enter(state);
  }

  close() {
    if (this.closed) return;
    this.closed = true;
    this.stopSource();
    this.socket?.close();
    cancelAnimationFrame(this.frame);
    this.context.close();
  }
}

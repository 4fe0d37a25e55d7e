// The tab of a recording: it goes to the server whole, and its stems come back.

import { Mixer } from "./mixer.js";
import { chosenCategories, clock, find, make, onFile, paint, percent, readable, showProblem } from "./parts.js";
import { Player } from "./player.js";
import { separate } from "./server.js";
import { peak, Waveform } from "./waveform.js";
import { readZip } from "./zip.js";

let limits = {};
let last = null; // the file that was separated last
let work = null; // an AbortController while one is in work
let shown = null; // what is on the page: player, waveforms, addresses of Blobs

export function setUpRecording(model) {
  limits = model.limits ?? {};
  if (limits.max_bytes) {
    find("limits").textContent = `Up to ${Math.round(limits.max_bytes / 2 ** 20)} MiB. Any common format.`;
  }
  onFile(find("drop"), find("file"), start);
  find("again").addEventListener("click", () => start(last));
  find("cancel").addEventListener("click", () => work?.abort());
  find("play").addEventListener("click", toggle);
  find("seek").addEventListener("input", () => shown?.player.seek(find("seek").valueAsNumber));
}

function enter(state) {
  find("panel-file").dataset.state = state;
  find("progress").hidden = !["sending", "separating", "receiving"].includes(state);
  find("result").hidden = state !== "ready";
  find("again").hidden = !last;
}

const DOING = { sending: "Sending", separating: "Separating", receiving: "Receiving the stems" };

function told(phase, part) {
  enter(phase);
  const bar = find("bar");
  if (part === undefined) bar.removeAttribute("value");
  else bar.value = part;
  const text = part === undefined ? `${DOING[phase]} …` : `${DOING[phase]}, ${percent(part)}`;
  if (find("doing").textContent !== text) find("doing").textContent = text;
}

async function start(file) {
  work?.abort();
  clear();
  showProblem(null);
  const own = new AbortController();
  [work, last] = [own, file];
  told("sending", 0);
  try {
    if (limits.max_bytes && file.size > limits.max_bytes) {
      throw new Error(`${file.name} is larger than this server takes. Send a part of it, or FLAC.`);
    }
    const zip = await separate(file, options(), (phase, part) => work === own && told(phase, part), own.signal);
    const result = await decoded(zip);
    if (work !== own) return;
    show(file, zip, result);
    enter("ready");
  } catch (error) {
    if (work !== own) return;
    enter(error.name === "AbortError" ? "idle" : "failed");
    if (error.name !== "AbortError") showProblem(named(error, file));
  }
}

// The server does not know what the file is called here.
function named(error, file) {
  return new Error(error.message.replace(/^recording:/, `${file.name}:`));
}

function options() {
  const chosen = { format: find("format").value, residual: find("residual").checked };
  const categories = chosenCategories();
  return categories.length ? { ...chosen, categories: categories.join(",") } : chosen;
}

async function decoded(zip) {
  const files = await readZip(zip);
  const report = JSON.parse(await files.get("report.json").text());
  const context = new AudioContext();
  const stems = [];
  for (const [name, fileName] of Object.entries(report.stems)) {
    const file = files.get(fileName);
    stems.push({ name, fileName, file, buffer: await context.decodeAudioData(await file.arrayBuffer()) });
  }
  return { report, stems, context };
}

function clear() {
  if (!shown) return;
  shown.player.pause();
  shown.context.close();
  for (const waveform of shown.waveforms) waveform.close();
  for (const address of shown.addresses) URL.revokeObjectURL(address);
  cancelAnimationFrame(shown.frame);
  shown = null;
}

function show(file, zip, { report, stems, context }) {
  const mixer = new Mixer(context);
  const scale = 1 / Math.max(1e-6, ...stems.map((stem) => peak(stem.buffer)));
  shown = { context, waveforms: [], addresses: [], frame: 0 };
  const address = (blob) => {
    shown.addresses.push(URL.createObjectURL(blob));
    return shown.addresses.at(-1);
  };
  find("stems").replaceChildren(...stems.map((stem) => row(stem, report, mixer, scale, address)));
  shown.player = new Player(context, mixer, stems.map((stem) => stem.buffer));
  find("title").textContent = file.name;
  find("summary").textContent = summary(report, stems);
  find("all").href = address(zip);
  find("all").download = `${file.name.replace(/\.[^.]+$/, "")}.stems.zip`;
  find("seek").max = shown.player.duration;
  find("play").disabled = find("seek").disabled = !stems.length;
  find("play").parentElement.hidden = !stems.length;
  tick();
}

function summary(report, stems) {
  const length = `${clock(report.duration_s)} of sound, ${report.timings_s.separate.toFixed(1)} s of work`;
  return stems.length ? `${length}.` : `${length}. Nothing that the model knows is in it; choose a sound to have it separated all the same.`;
}

function row(stem, report, mixer, scale, address) {
  const item = make("li");
  paint(item, stem.name);
  const presence = report.presence[stem.name];
  const canvas = make("canvas");
  canvas.setAttribute("aria-hidden", "true");
  canvas.addEventListener("click", (event) => {
    shown.player.seek((event.offsetX / canvas.clientWidth) * shown.player.duration);
  });
  shown.waveforms.push(new Waveform(canvas, stem.buffer, scale));
  const download = make("a", { className: "button", href: address(stem.file), download: stem.fileName, textContent: "Save" });
  download.setAttribute("aria-label", `Save ${readable(stem.name)}`);
  const figure = presence === undefined ? "what is left" : `presence ${percent(presence)}`;
  item.append(
    make("div", {}, make("span", { className: "name", textContent: readable(stem.name) }),
      make("span", { className: "quiet", textContent: figure })),
    canvas,
    make("div", { className: "buttons" }, ...mixer.buttons(mixer.add(readable(stem.name)), item), download),
  );
  return item;
}

async function toggle() {
  if (shown.player.playing) shown.player.pause();
  else await shown.player.play();
}

function tick() {
  const { player, waveforms } = shown;
  if (player.playing && player.position >= player.duration) {
    player.pause();
    player.offset = player.duration;
  }
  const { position, duration } = player;
  const text = `${clock(position)} / ${clock(duration)}`;
  if (find("clock").value !== text) find("clock").value = text;
  find("seek").value = position;
  find("seek").setAttribute("aria-valuetext", text);
  find("play").classList.toggle("playing", player.playing);
  find("play").setAttribute("aria-label", player.playing ? "Pause" : "Play");
  for (const waveform of waveforms) {
    const part = duration ? position / duration : 0;
    if (waveform.part !== part) waveform.draw(part);
  }
  shown.frame = requestAnimationFrame(tick);
}

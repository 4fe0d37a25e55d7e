// The page: reads the model, has a worker separate what is dropped, shows and plays the stems.
import { address, importable, read } from "./assets.js";
import { Mixer } from "./mixer.js";
import { chosenCategories, clock, find, make, onFile, paint, percent, readable, setCategories, showProblem } from "./parts.js";
import { Player } from "./player.js";
import { columnsOf, drawSpectrogram, loudest } from "./spectrogram.js";
import { peak, Waveform } from "./waveform.js";
import { wav } from "./wav.js";

const PRESENT = 0.5;
const COLUMNS = 480;
const MOST_THREADS = 8;
const KINDS = { wasm: "WebAssembly", webgpu: "WebGPU" };

const isOneFile = Boolean(document.querySelector("[data-asset]"));

let config = null;
let worker = null;
let isReady = false; // whether the worker has the model
let last = null; // name of the recording in work, and when that began
let shown = null; // what is on the page: player, waveforms, addresses of Blobs

async function begin() {
  try {
    const manifest = JSON.parse(new TextDecoder().decode(await read("bundle/bundle.json")));
    config = manifest.config;
    const graph = manifest.artifacts.find(({ kind, precision }) => kind === "waveform" && precision === "fp32");
    if (!graph) throw new Error("bundle: got one without waveform.fp32, expected it. Export it: see docs/elsewhere.md.");
    find("model").textContent = `${manifest.name}: ${config.categories.length} sounds, ${config.sample_rate} Hz`;
    setCategories(config.categories);
    find("chips").replaceChildren(...config.categories.map(chip));
    await load(manifest, graph);
  } catch (error) {
    fail(error);
  }
}

function chip(name) {
  const input = make("input", { type: "checkbox", value: name, className: "unseen" });
  return make("label", {}, input, make("span", { textContent: readable(name) }));
}

async function load(manifest, { path, external }) {
  const gpu = !isOneFile && Boolean(await navigator.gpu?.requestAdapter()); // its runtime is not in the one file
  const runtime = gpu ? "ort.webgpu.bundle.min.mjs" : "ort.wasm.bundle.min.mjs";
  const binary = gpu ? "ort-wasm-simd-threaded.asyncify.wasm" : "ort-wasm-simd-threaded.wasm";
  const threads = crossOriginIsolated ? Math.min(MOST_THREADS, navigator.hardwareConcurrency) : 1;
  told("Reading the model", 0);
  const files = [];
  for (const name of external) {
    files.push({ path: name, data: await read(`bundle/${name}`, (part) => told("Reading the weights", part)) });
  }
  const content = await read(`bundle/${path}`, (part) => told("Reading the model", part));
  const wasm = await read(binary, (part) => told("Reading the runtime", part));
  told("Preparing");
  worker = new Worker(await address("worker.js"));
  worker.onmessage = ({ data }) => ANSWERS[data.kind](data);
  worker.onerror = (event) => fail(new Error(event.message || "The worker did not start in this browser."));
  const module = importable(runtime);
  const moved = [content, wasm, ...files.map(({ data }) => data)];
  worker.postMessage({ kind: "open", manifest, graph: content, external: files, module, wasm, threads, gpu }, moved);
  find("engine").dataset.threads = threads;
}

function enter(state) {
  find("work").dataset.state = state;
  find("progress").hidden = !["loading", "separating"].includes(state);
  find("cancel").hidden = state !== "separating";
  find("result").hidden = state !== "ready";
  find("file").disabled = !["idle", "ready", "failed"].includes(state) || !isReady;
}

function told(doing, part) {
  if (part === undefined) find("bar").removeAttribute("value");
  else find("bar").value = part;
  const text = part === undefined ? `${doing} …` : `${doing}, ${percent(part)}`;
  if (find("doing").textContent !== text) find("doing").textContent = text;
}

function fail(error) {
  showProblem(error);
  enter("failed");
}

function tellEngine(engine, more = "") {
  const threads = Number(find("engine").dataset.threads);
  const why = crossOriginIsolated ? "" : ", as this page is not cross-origin isolated";
  const where = engine === "wasm" ? `, ${threads} ${threads === 1 ? "thread" : "threads"}${threads === 1 ? why : ""}` : "";
  find("engine").textContent = `Computed here, by ${KINDS[engine]}${where}.${more}`;
}

const ANSWERS = {
  ready({ engine }) {
    isReady = true;
    tellEngine(engine);
    enter("idle");
  },
  progress: ({ part }) => told("Separating", part),
  fallback({ ratio }) {
    tellEngine("wasm", ` WebGPU differs here (${ratio.toFixed(0)} dB), so it is not used.`);
  },
  cancelled: () => enter("idle"),
  problem: ({ message }) => fail(new Error(message)),
  stems(answer) {
    show(answer);
    enter("ready");
  },
};

async function start(file) {
  if (find("file").disabled) return;
  clear();
  showProblem(null);
  enter("separating");
  told("Reading the recording");
  let buffer;
  try {
    // Decoding brings it to the model's rate.
    const context = new OfflineAudioContext(1, 1, config.sample_rate);
    buffer = await context.decodeAudioData(await file.arrayBuffer());
  } catch {
    fail(new Error(`${file.name} cannot be read by this browser. Try WAV, FLAC or MP3.`));
    return;
  }
  const names = chosenCategories();
  const categories = (names.length ? names : config.categories).map((name) => config.categories.indexOf(name));
  const channels = Array.from({ length: buffer.numberOfChannels }, (_, c) => buffer.getChannelData(c).slice());
  last = { name: file.name, began: performance.now(), named: names.length > 0 };
  told("Separating", 0);
  worker.postMessage({ kind: "separate", channels, categories }, channels.map((samples) => samples.buffer));
}

function clear() {
  if (!shown) return;
  shown.player.pause();
  shown.context.close();
  for (const waveform of shown.waveforms) waveform.close();
  for (const each of shown.addresses) URL.revokeObjectURL(each);
  cancelAnimationFrame(shown.frame);
  shown = null;
}

function show({ stems, presence, categories, engine }) {
  const context = new AudioContext();
  const kept = categories
    .map((category, s) => ({ name: config.categories[category], presence: presence[category], channels: stems[s] }))
    .filter((stem) => last.named || stem.presence > PRESENT);
  for (const stem of kept) {
    stem.buffer = context.createBuffer(stem.channels.length, stem.channels[0].length, config.sample_rate);
    stem.channels.forEach((samples, c) => stem.buffer.copyToChannel(samples, c));
    stem.columns = columnsOf(stem.channels[0], COLUMNS);
  }
  const mixer = new Mixer(context);
  const scale = 1 / Math.max(1e-6, ...kept.map((stem) => peak(stem.buffer)));
  const most = Math.max(...kept.map((stem) => loudest(stem.columns)));
  shown = { context, waveforms: [], cursors: [], addresses: [], frame: 0 };
  find("stems").replaceChildren(...kept.map((stem) => row(stem, mixer, scale, most)));
  shown.player = new Player(context, mixer, kept.map((stem) => stem.buffer));
  const seconds = ((performance.now() - last.began) / 1000).toFixed(1);
  find("title").textContent = last.name;
  find("summary").textContent = kept.length
    ? `${clock(shown.player.duration)} of sound, ${seconds} s of work by ${KINDS[engine]}.`
    : "Nothing that the model knows is in it; choose a sound to have it separated all the same.";
  find("play").parentElement.hidden = !kept.length;
  find("seek").max = shown.player.duration;
  tick();
}

function row(stem, mixer, scale, most) {
  const item = make("li");
  paint(item, stem.name);
  const [wave, spectrogram] = [make("canvas"), make("canvas", { className: "spectrogram" })];
  const cursor = make("div", { className: "cursor" });
  const pictures = make("div", { className: "pictures" }, wave, spectrogram, cursor);
  pictures.setAttribute("aria-hidden", "true");
  pictures.addEventListener("click", (event) => {
    const { left, width } = pictures.getBoundingClientRect();
    shown.player.seek(((event.clientX - left) / width) * shown.player.duration);
  });
  shown.waveforms.push(new Waveform(wave, stem.buffer, scale));
  shown.cursors.push(cursor);
  drawSpectrogram(spectrogram, stem.columns, most);
  shown.addresses.push(URL.createObjectURL(wav(stem.channels, config.sample_rate)));
  const save = make("a", { className: "button", href: shown.addresses.at(-1), download: `${stem.name}.wav`, textContent: "Save" });
  save.setAttribute("aria-label", `Save ${readable(stem.name)}`);
  item.append(
    make("div", {}, make("span", { className: "name", textContent: readable(stem.name) }),
      make("span", { className: "quiet", textContent: `presence ${percent(stem.presence)}` })),
    pictures,
    make("div", { className: "buttons" }, ...mixer.buttons(mixer.add(readable(stem.name)), item), save),
  );
  return item;
}

async function toggle() {
  if (shown.player.playing) shown.player.pause();
  else await shown.player.play();
}

function tick() {
  const { player, waveforms, cursors } = shown;
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
  const part = duration ? position / duration : 0;
  for (const waveform of waveforms) if (waveform.part !== part) waveform.draw(part);
  for (const cursor of cursors) cursor.style.left = `${100 * part}%`;
  shown.frame = requestAnimationFrame(tick);
}

onFile(find("drop"), find("file"), start);
find("cancel").addEventListener("click", () => worker.postMessage({ kind: "cancel" }));
find("play").addEventListener("click", toggle);
find("seek").addEventListener("input", () => shown?.player.seek(find("seek").valueAsNumber));
enter("loading");
begin();

"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const COLOURS = ["#1f77b4", "#d95f02", "#1b9e77", "#7570b3", "#e7298a", "#8c6d1f", "#666666", "#17a2b8"];
const colour = (place) => COLOURS[place % COLOURS.length];
const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

// Planes: rows from the lowest frequency up, 0 to 255.
for (const plane of [data.spectrogram, ...data.masks, ...data.claims]) plane.values = bytes(plane.bytes);
const at = (plane, row, column) => plane.values[row * plane.columns + column] / 255;

const MAGMA = [[0, 0, 4], [81, 18, 124], [183, 55, 121], [252, 137, 97], [252, 253, 191]];
const VIRIDIS = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];
const DIVERGING = [[67, 147, 195], [247, 247, 247], [214, 96, 77]];
function ramp(stops, value) {
  const place = Math.min(Math.max(value, 0), 1) * (stops.length - 1);
  const low = Math.min(Math.floor(place), stops.length - 2), part = place - low;
  return stops[low].map((from, i) => from + part * (stops[low + 1][i] - from));
}
function picture(rows, columns, rgb) {
  const canvas = document.createElement("canvas");
  canvas.width = columns;
  canvas.height = rows;
  const image = new ImageData(columns, rows);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const [red, green, blue, alpha = 255] = rgb(rows - 1 - row, column);
      image.data.set([red, green, blue, alpha], 4 * (row * columns + column));
    }
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}
const drawn = new Map();
function planePicture(key, plane, stops) {
  if (!drawn.has(key)) {
    const table = Array.from({ length: 256 }, (_, i) => ramp(stops, i / 255));
    drawn.set(key, picture(plane.rows, plane.columns,
      (row, column) => table[plane.values[row * plane.columns + column]]));
  }
  return drawn.get(key);
}

function fitted(canvas) {
  const scale = window.devicePixelRatio || 1;
  const width = Math.round(canvas.clientWidth * scale), height = Math.round(canvas.clientHeight * scale);
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, width, height);
  context.scale(scale, scale);
  return [context, canvas.clientWidth, canvas.clientHeight];
}
const rowOf = (hz) => {
  let row = data.hz.findIndex((each) => each >= hz);
  return row < 0 ? data.hz.length : row;
};
function letters(context, text, x, y) {
  context.font = "12px system-ui, sans-serif";
  context.strokeStyle = "rgba(0,0,0,.7)";
  context.lineWidth = 3;
  context.strokeText(text, x, y);
  context.fillStyle = "#fff";
  context.fillText(text, x, y);
}
function drawPlane() {
  const [context, width, height] = fitted($("plane"));
  const what = $("what").value, which = Number($("which").value);
  $("which").disabled = what === "none";
  context.imageSmoothingEnabled = false;
  context.drawImage(planePicture("spectrogram", data.spectrogram, MAGMA), 0, 0, width, height);
  let legend = `0 to -${data.range} dB of the loudest`;
  if (what === "masks") {
    context.drawImage(planePicture(`mask ${which}`, data.masks[which], VIRIDIS), 0, 0, width, height);
    legend = "dark: nothing passes; bright: all of it";
  } else if (what === "claims") {
    const claims = data.claims[which];
    context.globalAlpha = 0.6;
    context.drawImage(planePicture(`claims ${which}`, claims, VIRIDIS), 0, 0, width, height);
    context.globalAlpha = 1;
    legend = `bright: the most that its token claims of one place, ${claims.most.toPrecision(2)}`;
  } else if (what === "occlusions") {
    legend = drawOcclusion(context, width, height, data.occlusions[which]);
  }
  for (const hz of [100, 200, 500, 1000, 2000, 5000, 10000, 20000]) {
    if (hz <= data.hz[data.hz.length - 1]) {
      letters(context, `${hz} Hz`, 4, height * (1 - rowOf(hz) / data.hz.length) + 4);
    }
  }
  $("legend").textContent = legend;
  const shown = what === "none" ? "the recording" : `${$("what").selectedOptions[0].text} ${data.names[which]}`;
  $("plane").setAttribute("aria-label", `Time and frequency: ${shown}`);
}
function drawOcclusion(context, width, height, found) {
  if (!found) return "not looked at, as it is not heard";
  const rows = found.fall.length, columns = found.fall[0].length;
  const cells = picture(rows, columns, (row, column) => {
    const fall = found.fall[row][column];
    return [...ramp(DIVERGING, fall > 0 ? 1 : 0), 255 * Math.min(Math.abs(fall) * 1.5, 0.85)];
  });
  const left = found.start / data.duration * width, wide = data.window / data.duration * width;
  context.drawImage(cells, left, 0, wide, height);
  context.strokeStyle = "#fff";
  context.strokeRect(left, 0, wide, height);
  found.fall.forEach((row, i) => row.forEach((fall, j) => {
    if (Math.abs(fall) < 0.05) return;
    letters(context, fall.toFixed(2), left + (j + 0.3) * wide / columns, height * (1 - (i + 0.4) / rows));
  }));
  return "red: presence falls by so much when this part is silent; blue: it rises";
}
function drawPresence() {
  const [context, width, height] = fitted($("presence"));
  const x = (second) => second / data.duration * width, y = (value) => height - 4 - value * (height - 8);
  context.strokeStyle = "#888";
  context.setLineDash([4, 4]);
  for (const threshold of new Set(data.thresholds)) {
    context.beginPath();
    context.moveTo(0, y(threshold));
    context.lineTo(width, y(threshold));
    context.stroke();
  }
  context.setLineDash([]);
  data.presence.forEach((values, place) => {
    context.strokeStyle = context.fillStyle = colour(place);
    context.lineWidth = 2;
    context.beginPath();
    values.forEach((value, i) => context.lineTo(x(data.starts[i] + data.window / 2), y(value)));
    context.stroke();
    values.forEach((value, i) => {
      if (!data.own[i]) return;
      context.beginPath();
      context.arc(x(data.starts[i] + data.window / 2), y(value), 4, 0, 7);
      context.fill();
    });
  });
  $("presence").setAttribute("aria-label", "Presence over time, each window at its middle: " +
    data.names.map((name, i) => `${name} at most ${Math.max(...data.presence[i]).toFixed(2)}`).join(", "));
}
function nearestWindow(second) {
  let best = 0;
  const distance = (i) => Math.abs(data.starts[i] + data.window / 2 - second);
  data.starts.forEach((_, i) => { if (distance(i) < distance(best)) best = i; });
  return best;
}
function tell(second, height) {
  const plane = data.spectrogram;
  const column = Math.min(Math.floor(second / data.duration * plane.columns), plane.columns - 1);
  const parts = [`${second.toFixed(2)} s`];
  const window = nearestWindow(second);
  let row = null;
  if (height !== null) {
    row = Math.min(Math.max(Math.floor(height * plane.rows), 0), plane.rows - 1);
    parts.push(`${Math.round(data.hz[row])} Hz`, `${((at(plane, row, column) - 1) * data.range).toFixed(0)} dB`);
  }
  const each = data.names.map((name, i) => {
    const said = [`presence ${data.presence[i][window].toFixed(2)}`];
    if (row !== null) {
      const claims = data.claims[i];
      said.unshift(`mask ${at(data.masks[i], row, column).toFixed(2)}`,
        `claims ${(at(claims, Math.floor(row * claims.rows / plane.rows), column) * claims.scale).toPrecision(2)}`);
    }
    return `${name}: ${said.join(", ")}`;
  });
  $("readout").textContent = `${parts.join(", ")}. ${each.join("; ")}.`;
}

// Sound: all stems run together, so that they stay in step; who is not heard has a gain of 0.
let audio = null, stems = [], playing = false, from = 0, since = 0;
const position = () => playing ? Math.min(from + audio.currentTime - since, data.duration) : from;
async function load() {
  if (audio) return;
  const context = new AudioContext();
  const buffers = await Promise.all(data.sounds.map((sound) => context.decodeAudioData(bytes(sound.flac).buffer)));
  buffers.forEach((buffer, i) => {
    stems[i].buffer = buffer;
    stems[i].gain = context.createGain();
    stems[i].gain.connect(context.destination);
  });
  audio = context;
  mix();
}
function mix() {
  const alone = stems.some((stem) => stem.solo);
  for (const stem of stems) {
    const audible = !stem.mute && (!alone || stem.solo);
    stem.row.dataset.audible = audible;
    if (stem.gain) stem.gain.gain.setTargetAtTime(audible ? 1 : 0, audio.currentTime, 0.01);
  }
}
function silence() {
  for (const stem of stems) {
    if (stem.source) stem.source.stop();
    stem.source = null;
  }
}
function sound() {
  for (const stem of stems) {
    stem.source = audio.createBufferSource();
    stem.source.buffer = stem.buffer;
    stem.source.connect(stem.gain);
    stem.source.start(0, from);
  }
  since = audio.currentTime;
}
async function play() {
  $("play").disabled = true;
  try {
    await load();
    await audio.resume();
  } catch (error) {
    $("trouble").hidden = false;
    $("trouble").textContent = `No sound: this browser cannot play FLAC (${error.message}).`;
    return;
  } finally {
    $("play").disabled = false;
  }
  if (from >= data.duration) from = 0;
  sound();
  playing = true;
  $("play").textContent = "Pause";
  requestAnimationFrame(follow);
}
function pause() {
  from = position();
  playing = false;
  silence();
  $("play").textContent = "Play";
  show();
}
function seek(second) {
  from = Math.min(Math.max(second, 0), data.duration);
  if (playing) {
    silence();
    sound();
  }
  show();
}
function show() {
  const second = position();
  $("position").value = second;
  $("time").textContent = `${second.toFixed(1)} of ${data.duration.toFixed(1)} s`;
  for (const cursor of document.querySelectorAll(".cursor")) {
    cursor.style.left = `calc(${second / data.duration} * (100% - 2px))`;
  }
}
function follow() {
  if (!playing) return;
  if (position() >= data.duration) {
    pause();
    return;
  }
  show();
  tell(position(), null);
  requestAnimationFrame(follow);
}

function toggle(stem, key, label) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = label;
  button.setAttribute("aria-label", `${label} ${stem.name}`);
  button.setAttribute("aria-pressed", "false");
  button.addEventListener("click", () => {
    stem[key] = !stem[key];
    button.setAttribute("aria-pressed", stem[key]);
    mix();
  });
  return button;
}
data.sounds.forEach((each, i) => {
  const stem = { name: each.name, solo: false, mute: false, row: document.createElement("li") };
  const label = document.createElement("span");
  label.className = "label";
  const known = i < data.names.length;
  label.textContent = known ? `${each.name} ${Math.max(...data.presence[i].filter((_, w) => data.own[w])).toFixed(2)}` : each.name;
  if (known) stem.row.style.setProperty("--colour", colour(i));
  stem.row.append(label, toggle(stem, "solo", "Solo"), toggle(stem, "mute", "Mute"));
  $("stems").append(stem.row);
  stems.push(stem);
});
data.names.forEach((name, i) => $("which").append(new Option(name, i)));
$("position").max = data.duration;
$("play").addEventListener("click", () => (playing ? pause() : play()));
$("position").addEventListener("input", () => seek(Number($("position").value)));
$("what").addEventListener("change", drawPlane);
$("which").addEventListener("change", drawPlane);
for (const id of ["plane", "presence"]) {
  const place = (event) => {
    const box = $(id).getBoundingClientRect();
    const second = Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1) * data.duration;
    return [second, id === "plane" ? 1 - (event.clientY - box.top) / box.height : null];
  };
  $(id).addEventListener("pointermove", (event) => tell(...place(event)));
  $(id).addEventListener("click", (event) => {
    seek(place(event)[0]);
    tell(...place(event));
  });
}

const SVG = "http://www.w3.org/2000/svg";
function node(kind, attributes, parent) {
  const made = document.createElementNS(SVG, kind);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  parent.append(made);
  return made;
}
for (const map of data.maps) {
  const figure = document.createElement("figure");
  const svg = node("svg", { viewBox: "0 0 300 240", role: "img",
    "aria-label": `Embeddings of every window by ${map.method.toUpperCase()}` }, figure);
  const [xs, ys] = [0, 1].map((axis) => map.points.map((point) => point[axis]));
  const scale = (values, value, size) => {
    const low = Math.min(...values), high = Math.max(...values);
    return 12 + (size - 24) * (high > low ? (value - low) / (high - low) : 0.5);
  };
  map.points.forEach((point, i) => {
    const category = Math.floor(i / data.starts.length), window = i % data.starts.length;
    const circle = node("circle", { cx: scale(xs, point[0], 300), cy: 240 - scale(ys, point[1], 240), r: 4,
      fill: colour(category), "fill-opacity": 0.75 }, svg);
    node("title", {}, circle).textContent = `${data.names[category]}, window at ` +
      `${data.starts[window].toFixed(1)} s, presence ${data.presence[category][window].toFixed(2)}`;
    circle.addEventListener("click", () => seek(data.starts[window]));
  });
  const caption = document.createElement("figcaption");
  const kept = map.kept === null ? "" : `, ${(100 * map.kept).toFixed(0)} % of the variance`;
  caption.textContent = `Embeddings of every window, ${map.method.toUpperCase()}${kept}: ` +
    "colours as above; point at one, or click to go there.";
  figure.append(caption);
  $("maps").append(figure);
}

function draw() {
  drawPlane();
  drawPresence();
}
new ResizeObserver(draw).observe($("plane"));
mix();
show();
draw();

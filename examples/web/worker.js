// Runs the network, so that the page stays at hand: a `waveform` graph in ONNX Runtime Web, window after window.
import { cut, join, layoutOf, windowsOf } from "./windows.js";

const SURE_DB = 90; // of a GPU's window beside the processor's: the limit of parity in float32

let ort = null;
let model = null; // manifest, layout, graph, external data
let session = null;
let engine = null; // webgpu, where it is there and was not found wrong, or wasm
let sure = false; // whether a GPU has been compared
let cancelled = false;

async function open({ manifest, graph, external, module, wasm, threads, gpu }) {
  ort = await import(module);
  ort.env.wasm.wasmBinary = wasm;
  ort.env.wasm.numThreads = threads;
  ort.env.logLevel = "error";
  model = { manifest, layout: layoutOf(manifest), graph: new Uint8Array(graph), external };
  engine = gpu ? "webgpu" : "wasm";
  session = await opened(engine);
  postMessage({ kind: "ready", engine });
}

function opened(provider) {
  const externalData = model.external.map(({ path, data }) => ({ path, data: new Uint8Array(data) }));
  return ort.InferenceSession.create(model.graph, { executionProviders: [provider], externalData });
}

async function answered(by, window, categories) {
  const feeds = {
    mixture: new ort.Tensor("float32", window, [1, window.length]),
    categories: new ort.Tensor("int64", BigInt64Array.from(categories, BigInt), [categories.length]),
  };
  const { sources, presence } = await by.run(feeds, ["sources", "presence"]);
  return { sources: sources.data, presence: presence.data };
}

// The first window of a GPU is computed by the processor, too: a GPU that differs is not used.
async function heard(window, categories) {
  const answer = await answered(session, window, categories);
  if (engine !== "webgpu" || sure) return answer;
  const processor = await opened("wasm");
  const right = await answered(processor, window, categories);
  const ratio = snr(answer.sources, right.sources);
  if (ratio >= SURE_DB) {
    sure = true;
    await processor.release();
    return answer;
  }
  await session.release();
  [session, engine] = [processor, "wasm"];
  postMessage({ kind: "fallback", ratio });
  return right;
}

function snr(estimate, reference) {
  let signal = 0;
  let noise = 0;
  for (let i = 0; i < reference.length; i += 1) {
    signal += reference[i] ** 2;
    noise += (estimate[i] - reference[i]) ** 2;
  }
  return noise ? 10 * Math.log10(signal / noise) : Infinity;
}

async function separate({ channels, categories }) {
  cancelled = false;
  const { layout } = model;
  const length = channels[0].length;
  const windows = windowsOf(length, layout);
  const stems = categories.map(() => channels.map(() => new Float32Array(length)));
  const highest = new Float32Array(model.manifest.config.categories.length);
  const all = windows.length * channels.length;
  let done = 0;
  for (const [channel, samples] of channels.entries()) {
    for (const window of windows) {
      const answer = await heard(cut(samples, window.start, layout.window), categories);
      answer.presence.forEach((value, i) => (highest[i] = Math.max(highest[i], value)));
      for (const [s, stem] of stems.entries()) {
        join(stem[channel], answer.sources.subarray(s * layout.window, (s + 1) * layout.window), window, layout.fade);
      }
      done += 1;
      postMessage({ kind: "progress", part: done / all });
      await new Promise((resolve) => setTimeout(resolve)); // so that a word of the page is heard
      if (cancelled) return postMessage({ kind: "cancelled" });
    }
  }
  const buffers = stems.flat().map((stem) => stem.buffer);
  postMessage({ kind: "stems", stems, presence: [...highest], categories, engine }, buffers);
}

const WORK = { open, separate, cancel: () => (cancelled = true) };

onmessage = async ({ data }) => {
  try {
    await WORK[data.kind](data);
  } catch (error) {
    postMessage({ kind: "problem", message: String(error?.message ?? error) });
  }
};

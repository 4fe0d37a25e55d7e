// Graphs on onnxruntime-web, for sgn_rt.portability.web: node web.mjs MODULE, asked on stdin, answering on stdout.
// A message is two lengths (uint32, little-endian), a header of JSON, and the bytes of its arrays, one after the other.
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";

const ort = await import(pathToFileURL(process.argv[2]).href);
ort.env.wasm.numThreads = 1;
ort.env.logLevel = "fatal"; // what it refuses, it says in its error

const ARRAYS = { float32: Float32Array, int64: BigInt64Array, float16: Uint16Array };
const sessions = new Map();
let opened = 0;

async function open({ open: graph, external }) {
  const folder = dirname(graph);
  const externalData = external.map((path) => ({ path, data: readFileSync(join(folder, path)) }));
  const content = readFileSync(graph);
  const session = await ort.InferenceSession.create(content, { executionProviders: ["wasm"], externalData });
  opened += 1;
  sessions.set(opened, session);
  return [{ number: opened }, []];
}

async function run({ run: number, inputs, outputs }, content) {
  const feeds = {};
  let at = 0;
  for (const { name, dtype, shape } of inputs) {
    const values = new ARRAYS[dtype](shape.reduce((size, axis) => size * axis, 1));
    new Uint8Array(values.buffer).set(content.subarray(at, at + values.byteLength));
    at += values.byteLength;
    feeds[name] = new ort.Tensor(dtype, values, shape);
  }
  const answers = await sessions.get(number).run(feeds, outputs);
  const found = outputs.map((name) => answers[name]);
  const described = found.map(({ type, dims }) => ({ dtype: type, shape: dims }));
  return [{ outputs: described }, found.map(({ data }) => Buffer.from(data.buffer, data.byteOffset, data.byteLength))];
}

async function close({ close: number }) {
  await sessions.get(number)?.release();
  sessions.delete(number);
  return [{}, []];
}

const WORK = { open, run, close };

function answer(header, arrays) {
  const text = Buffer.from(JSON.stringify(header));
  const lengths = Buffer.alloc(8);
  lengths.writeUInt32LE(text.length, 0);
  lengths.writeUInt32LE(arrays.reduce((size, array) => size + array.length, 0), 4);
  process.stdout.write(Buffer.concat([lengths, text, ...arrays]));
}

let pending = Buffer.alloc(0);
for await (const part of process.stdin) {
  pending = Buffer.concat([pending, part]);
  while (pending.length >= 8) {
    const text = pending.readUInt32LE(0);
    const size = 8 + text + pending.readUInt32LE(4);
    if (pending.length < size) break;
    const header = JSON.parse(pending.subarray(8, 8 + text).toString());
    const content = pending.subarray(8 + text, size);
    pending = pending.subarray(size);
    try {
      const [word] = Object.keys(header);
      answer(...(await WORK[word](header, content)));
    } catch (error) {
      answer({ error: String(error?.message ?? error) }, []);
    }
  }
}

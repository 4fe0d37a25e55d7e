// Reads the zip that the server writes: files that are stored, not compressed, below 4 GiB.

const END = 0x06054b50;
const ENTRY = 0x02014b50;
const END_BYTES = 22;

async function bytes(blob, start, stop) {
  return new DataView(await blob.slice(start, stop).arrayBuffer());
}

// Name -> Blob of the file, in the zip's order.
export async function readZip(blob) {
  const end = await bytes(blob, Math.max(0, blob.size - END_BYTES), blob.size);
  if (end.byteLength < END_BYTES || end.getUint32(0, true) !== END) {
    throw new Error("What the server sent ends early. Try again.");
  }
  const size = end.getUint32(12, true);
  const start = end.getUint32(16, true);
  if (start === 0xffffffff) throw new Error("The stems are too large for this page. Use the client.");
  const directory = await bytes(blob, start, start + size);
  const files = new Map();
  for (let at = 0; at + 46 <= size && directory.getUint32(at, true) === ENTRY; ) {
    const length = directory.getUint32(at + 20, true);
    const [name, extra, comment] = [28, 30, 32].map((field) => directory.getUint16(at + field, true));
    const local = directory.getUint32(at + 42, true);
    if (directory.getUint16(at + 10, true) !== 0) throw new Error("The server's zip is compressed.");
    const text = new TextDecoder().decode(new Uint8Array(directory.buffer, at + 46, name));
    const header = await bytes(blob, local, local + 30);
    const begin = local + 30 + header.getUint16(26, true) + header.getUint16(28, true);
    files.set(text, blob.slice(begin, begin + length));
    at += 46 + name + extra + comment;
  }
  return files;
}

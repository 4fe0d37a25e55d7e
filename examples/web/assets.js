// The page's files: beside it, or inside of it where it is one file.

function held(name) {
  return document.querySelector(`script[data-asset="${name}"]`);
}

// Of base64, in pieces: addresses with data in them may be as long as a model in few browsers.
function decoded(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text).buffer;
  const piece = 1 << 20; // a multiple of four letters
  const parts = [];
  for (let at = 0; at < text.length; at += piece) {
    parts.push(Uint8Array.from(atob(text.slice(at, at + piece)), (letter) => letter.charCodeAt(0)));
  }
  return new Blob(parts).arrayBuffer();
}

export async function read(name, told = () => {}) {
  const inside = held(name);
  if (inside) {
    const text = inside.textContent;
    inside.remove(); // its memory
    return decoded(text);
  }
  let response;
  try {
    response = await fetch(name);
  } catch {
    throw new Error(
      `${name} cannot be read. A browser reads no files beside a page that was opened as a file: serve the folder, or open the page that is one file.`,
    );
  }
  if (!response.ok) throw new Error(`${name}: got status ${response.status}, expected the file beside this page.`);
  const size = Number(response.headers.get("Content-Length")) || 0;
  const parts = [];
  let got = 0;
  for (const reader = response.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    got += value.length;
    if (size) told(Math.min(1, got / size));
  }
  return new Blob(parts).arrayBuffer();
}

// The address of a worker's script.
export async function address(name) {
  if (!held(name)) return new URL(name, document.baseURI).href;
  return URL.createObjectURL(new Blob([await read(name)], { type: "text/javascript" }));
}

// The address of a script for a worker to import: one that came from a disk may import what is in its address alone.
export function importable(name) {
  const inside = held(name);
  if (!inside) return new URL(name, document.baseURI).href;
  return `data:text/javascript;base64,${inside.textContent.trim()}`;
}

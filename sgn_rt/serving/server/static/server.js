// What is asked of the server, and what it answers. Addresses are relative: a proxy may put the
// server below a path of its own.

let token = "";

export function useToken(value) {
  token = value;
}

// What the server refuses, in its own words; `status` is HTTP's, 0 where it did not answer.
export class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

const GONE = "The server does not answer. Is it still running, and the network there?";

function headers() {
  return token ? { Authorization: `Bearer ${token}` } : {};
}

function refusal(status, text) {
  try {
    return new Refusal(status, JSON.parse(text).error.message);
  } catch {
    return new Refusal(status, `The server answered with status ${status}, and no reason.`);
  }
}

export async function askModel() {
  let response;
  try {
    response = await fetch("model", { headers: headers() });
  } catch {
    throw new Refusal(0, GONE);
  }
  if (!response.ok) throw refusal(response.status, await response.text());
  return response.json();
}

// Sends a file; resolves with a zip as a Blob. `told(phase, done)` hears of "sending" and
// "receiving" with the part that is done, and of "separating". Only XMLHttpRequest tells how
// much was sent.
export function separate(file, options, told, signal) {
  const query = new URLSearchParams(options);
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", `separate?${query}`);
    request.responseType = "blob";
    request.setRequestHeader("Accept", "application/zip");
    for (const [name, value] of Object.entries(headers())) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => told("sending", event.loaded / event.total);
    request.upload.onload = () => told("separating");
    request.onprogress = (event) => {
      if (request.status === 200) told("receiving", event.lengthComputable ? event.loaded / event.total : undefined);
    };
    request.onload = async () => {
      if (request.status === 200) resolve(request.response);
      else reject(refusal(request.status, await request.response.text()));
    };
    request.onerror = () => reject(new Refusal(0, GONE));
    request.onabort = () => reject(new DOMException("", "AbortError"));
    signal.addEventListener("abort", () => request.abort(), { once: true });
    request.send(file);
  });
}

export function openSocket() {
  const address = new URL("stream", document.baseURI);
  address.protocol = address.protocol.replace("http", "ws");
  const socket = new WebSocket(address, token ? ["bearer", token] : []);
  socket.binaryType = "arraybuffer";
  return socket;
}

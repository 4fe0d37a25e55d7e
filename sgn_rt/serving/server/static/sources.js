// Where live sound comes from: a file as fast as it sounds, or a microphone. Each gives
// interleaved blocks to `send`, calls `ended` where it has an end, and has `stop`.

const BLOCK_S = 0.1;
const MOST_CHANNELS = 2;

export async function fileSource(context, file) {
  let buffer;
  try {
    buffer = await context.decodeAudioData(await file.arrayBuffer());
  } catch {
    throw new Error(`${file.name} cannot be read by this browser. Try WAV, FLAC or MP3, or the other tab.`);
  }
  const channels = Math.min(MOST_CHANNELS, buffer.numberOfChannels);
  return { name: file.name, channels, run: (send, ended) => paced(buffer, channels, send, ended) };
}

function paced(buffer, channels, send, ended) {
  const planes = Array.from({ length: channels }, (_, channel) => buffer.getChannelData(channel));
  const began = performance.now();
  let at = 0;
  const step = () => {
    const due = Math.min(buffer.length, Math.ceil(((performance.now() - began) / 1000 + BLOCK_S) * buffer.sampleRate));
    if (due > at && send(interleaved(planes, at, due))) at = due;
    if (at >= buffer.length) {
      clearInterval(timer);
      ended();
    }
  };
  const timer = setInterval(step, BLOCK_S * 1000);
  return () => clearInterval(timer);
}

function interleaved(planes, start, stop) {
  const block = new Float32Array((stop - start) * planes.length);
  for (const [channel, plane] of planes.entries()) {
    for (let at = start; at < stop; at += 1) block[(at - start) * planes.length + channel] = plane[at];
  }
  return block;
}

export async function microphoneSource(context) {
  if (!navigator.mediaDevices) {
    throw new Error("Browsers lend a microphone to https and localhost alone. Open this page so.");
  }
  let media;
  try {
    media = await navigator.mediaDevices.getUserMedia({
      audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
    });
  } catch (error) {
    const denied = error.name === "NotAllowedError";
    throw new Error(denied ? "The browser was not allowed to use the microphone." : "No microphone was found.");
  }
  const stop = () => media.getTracks().forEach((track) => track.stop());
  try {
    await context.audioWorklet.addModule(new URL("recorder.js", import.meta.url));
  } catch (error) {
    stop();
    throw error;
  }
  const run = (send, ended, failed) => {
    const node = new AudioWorkletNode(context, "recorder", { numberOfOutputs: 0 });
    node.port.onmessage = ({ data }) => {
      if (!send(data)) failed(new Error("The network is too slow for live sound. Try the other tab."));
    };
    context.createMediaStreamSource(media).connect(node);
    return () => {
      node.port.onmessage = null;
      stop();
    };
  };
  return { name: "Microphone", channels: 1, run, stop };
}

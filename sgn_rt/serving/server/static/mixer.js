// Gains of several sources that sound together, each of which may be muted or alone.

const FADE_S = 0.015;

export class Mixer {
  constructor(context) {
    this.context = context;
    this.strips = [];
  }

  add(name) {
    const gain = this.context.createGain();
    gain.connect(this.context.destination);
    const strip = { name, gain, muted: false, solo: false, row: null };
    this.strips.push(strip);
    return strip;
  }

  // Two buttons for a strip; the row shows whether it is heard.
  buttons(strip, row) {
    strip.row = row;
    const make = (word, property) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = word;
      button.setAttribute("aria-label", `${word} ${strip.name}`);
      button.setAttribute("aria-pressed", "false");
      button.addEventListener("click", () => {
        strip[property] = !strip[property];
        button.setAttribute("aria-pressed", String(strip[property]));
        this.apply();
      });
      return button;
    };
    return [make("Solo", "solo"), make("Mute", "muted")];
  }

  apply() {
    const anySolo = this.strips.some((strip) => strip.solo);
    for (const strip of this.strips) {
      const heard = !strip.muted && (strip.solo || !anySolo);
      strip.gain.gain.setTargetAtTime(heard ? 1 : 0, this.context.currentTime, FADE_S);
      strip.row?.classList.toggle("silent", !heard);
    }
  }

  close() {
    for (const strip of this.strips) strip.gain.disconnect();
    this.strips = [];
  }
}

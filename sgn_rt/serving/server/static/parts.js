// Small things that both tabs use.

export const find = (id) => document.getElementById(id);

export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

export function clock(seconds) {
  const whole = Math.floor(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

export const percent = (share) => `${Math.round(share * 100)} %`;

export const readable = (name) => name.replaceAll("_", " ");

export function showProblem(error) {
  find("problem").textContent = error ? error.message : "";
  find("problem").hidden = !error;
}

// A colour of its own for each category, the same in both tabs.
let colours = new Map();

export function setCategories(names) {
  colours = new Map(names.map((name, index) => [name, Math.round((360 * index) / names.length)]));
}

export function paint(row, name) {
  const hue = colours.get(name);
  const colour = hue === undefined ? "var(--soft)" : `hsl(${hue} 45% var(--stem-lightness))`;
  row.style.setProperty("--stem", colour);
}

export function chosenCategories() {
  return [...document.querySelectorAll("#chips input:checked")].map((input) => input.value);
}

// Files come by the input or by a drop on its label; the same file may come twice.
export function onFile(drop, input, take) {
  input.addEventListener("change", () => {
    const [file] = input.files;
    input.value = "";
    if (file) take(file);
  });
  for (const kind of ["dragenter", "dragover"]) {
    drop.addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.add("over");
    });
  }
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    const [file] = event.dataTransfer.files;
    if (file) take(file);
  });
}

// The page: what the server knows, its token, the tabs.

import { setUpLive } from "./live.js";
import { find, make, readable, setCategories, showProblem } from "./parts.js";
import { setUpRecording } from "./recording.js";
import { askModel, useToken } from "./server.js";

async function begin() {
  showProblem(null);
  let model;
  try {
    model = await askModel();
  } catch (error) {
    const locked = error.status === 401;
    find("entry").hidden = !locked;
    find("model").textContent = "";
    if (locked && !find("token").value) find("token").focus();
    else showProblem(error);
    return;
  }
  find("entry").hidden = true;
  showModel(model);
  find("work").hidden = false;
}

function showModel(model) {
  find("model").textContent =
    `${model.name} knows ${model.categories.length} sounds, up to ${(model.sample_rate / 2000).toFixed(1)}\u00a0kHz.`;
  setCategories(model.categories);
  find("chips").replaceChildren(
    ...model.categories.map((name) =>
      make("label", {}, make("input", { type: "checkbox", value: name, className: "unseen" }), readable(name)),
    ),
  );
  find("chips").addEventListener("change", tellChosen);
  tellChosen();
  setUpRecording(model);
  setUpLive();
}

function tellChosen() {
  const all = find("panel-file").hidden ? "all of them" : "whatever is there";
  const some = document.querySelector("#chips input:checked");
  find("chosen").textContent = some ? "" : `· nothing chosen: ${all}`;
}

function setUpTabs() {
  const tabs = [...document.querySelectorAll("[role=tab]")];
  const select = (chosen) => {
    for (const tab of tabs) {
      tab.setAttribute("aria-selected", String(tab === chosen));
      tab.tabIndex = tab === chosen ? 0 : -1;
      find(tab.getAttribute("aria-controls")).hidden = tab !== chosen;
    }
    showProblem(null);
    tellChosen();
  };
  for (const [index, tab] of tabs.entries()) {
    tab.addEventListener("click", () => select(tab));
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = tabs[(index + step + tabs.length) % tabs.length];
      next.focus();
      select(next);
    });
  }
}

find("entry").addEventListener("submit", (event) => {
  event.preventDefault();
  useToken(find("token").value.trim());
  begin();
});
// A file that misses its place is not opened instead of the page.
for (const kind of ["dragover", "drop"]) {
  document.addEventListener(kind, (event) => event.preventDefault());
}
setUpTabs();
begin();

// The launch page: search, chips, the summary, and the data that comes with the choice. It works without all this.
import { refresh } from "./refresh.js";

const form = document.getElementById("launch");
const list = document.getElementById("experiments");
const hardware = document.getElementById("hardware");
const chosen = document.getElementById("chosen");
const checked = (name) => form.querySelector(`[name=${name}]:checked`);
const say = (what, text) => { form.querySelector(`[data-summary=${what}]`).textContent = text || "–"; };

function chips() {
  const boxes = list ? [...list.querySelectorAll("input:checked")] : [];
  chosen.hidden = !boxes.length;
  chosen.replaceChildren(...boxes.map((box) => {
    const item = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    button.className = "chip chip-button";
    button.title = "Remove";
    button.append(`${box.dataset.label} `, span("chip-soft", box.dataset.hint), span("visually-hidden", ", remove"));
    const cross = span("chip-soft", "×");
    cross.setAttribute("aria-hidden", "true");
    button.append(cross);
    button.onclick = () => { box.checked = false; box.dispatchEvent(new Event("change", { bubbles: true })); box.focus(); };
    item.append(button);
    return item;
  }));
}

function span(css, text) {
  const element = document.createElement("span");
  element.className = css;
  element.textContent = text;
  return element;
}

function search(words) {
  let any = false, inGroup = false;
  for (const row of [...list.children].reverse()) {
    if (row.id === "experiment-none" || row.dataset.more !== undefined) continue;
    if (row.dataset.group !== undefined) {
      row.hidden = !inGroup;
      continue;
    }
    row.hidden = !words.every((word) => row.dataset.search.toLowerCase().includes(word));
    inGroup ||= !row.hidden;
    any ||= !row.hidden;
  }
  document.getElementById("experiment-none").hidden = any;
}

function summary() {
  const environment = checked("environment"), flavour = checked("flavour"), layout = checked("layout");
  const screens = !environment || environment.dataset.apps.split(" ").includes("desktop");
  const fit = form.resolution.value === "fit";
  const dual = layout?.value === "dual";
  form.querySelectorAll("[data-with-screens]").forEach((part) => { part.hidden = !screens; });
  form.querySelectorAll("[data-without-screens]").forEach((part) => { part.hidden = screens; });
  form.querySelector("[data-screen='0']").hidden = fit;
  form.querySelector("[data-screen='1']").hidden = fit || !dual;
  say("environment", environment?.dataset.label);
  say("flavour", flavour && `${flavour.dataset.label} (${flavour.dataset.hint})`);
  say("life", flavour?.dataset.life);
  const wait = flavour?.dataset.wait;
  form.querySelector("[data-summary-wait]").hidden = !wait;
  say("wait", wait);
  const sizes = [form.screen0, form.screen1].slice(0, dual ? 2 : 1).map((field) => field.value.replace("x", " × "));
  say("display", layout && `${layout.dataset.label}, ${fit ? "fits your windows" : sizes.join(" and ")}`);
}

form.addEventListener("change", ({ target }) => {
  summary();
  if (target.name === "experiments") {
    chips();
    refresh(document.getElementById("grants"));
    refresh(hardware);
  }
});
const searching = document.getElementById("experiment-search");
searching?.addEventListener("input", () => search(searching.value.toLowerCase().replace("doi:", "").split(/\s+/)));
searching?.addEventListener("keydown", (event) => { if (event.key === "Enter") event.preventDefault(); });
// Where there are more than the page lists, the server looks through all of them a moment later.
list?.addEventListener("htmx:afterSwap", chips);
hardware.addEventListener("htmx:afterSwap", summary);
addEventListener("pageshow", () => { chips(); summary(); });

// What ends soon, inside the desktop: the right to its data, its lifetime, or its running while nothing happens in it.
// The server words it; here it is asked for anew when something changed, and said aloud as its time comes near.
import { toast } from "./toasts.js";

const MINUTE = 60_000, LONGEST = 24 * 24 * 60 * MINUTE; // browsers count no further
const box = document.getElementById("endings");
const dismissed = new Set();
let timers = [];

async function load() {
  const response = await fetch(box.dataset.at, { credentials: "same-origin" }).catch(() => null);
  if (!response?.ok || response.redirected) return;
  box.innerHTML = await response.text();
  show(false);
}

function show(first) {
  timers.forEach(clearTimeout);
  timers = [];
  for (const note of box.querySelectorAll("[data-ends]")) {
    if (dismissed.has(note.dataset.key)) note.hidden = true;
    const left = Date.parse(note.dataset.ends) - Date.now();
    const before = note.dataset.before.split(" ").map(Number);
    const say = () => toast(sentence(note.dataset), "danger");
    if (first && left > 0 && left < before[0] * MINUTE) say();
    for (const minutes of before) {
      const wait = left - minutes * MINUTE;
      if (wait > 0 && wait < LONGEST) timers.push(setTimeout(say, wait));
    }
  }
}

function sentence({ ends, what, words }) {
  const minutes = Math.max(1, Math.round((Date.parse(ends) - Date.now()) / MINUTE));
  const span = minutes < 90 ? `${minutes} minute${minutes === 1 ? "" : "s"}` : `${Math.round(minutes / 60)} hours`;
  return `${what} in ${span}. ${words}`;
}

box.addEventListener("refresh", load);
box.addEventListener("click", ({ target }) => {
  const note = target.closest("[data-dismiss]")?.closest("[data-ends]");
  if (!note) return;
  dismissed.add(note.dataset.key);
  note.hidden = true;
});
box.addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  const button = form.querySelector("button");
  button.disabled = true;
  const response = await fetch(form.action, {
    method: "POST", body: new FormData(form), headers: { "HX-Request": "true" }, credentials: "same-origin",
  }).catch(() => null);
  const told = JSON.parse(response?.headers.get("HX-Trigger") ?? "{}").toast;
  toast(told?.text ?? "The portal could not do this. Try again in a moment.", told?.level ?? "danger");
  button.disabled = false;
  load();
});
show(true);

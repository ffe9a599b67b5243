// Who is in the desktop. The server writes the list; here it is asked for anew when somebody came, left, or may
// something else, and said aloud. Events: `mode` {mode}, `asked` {name} once for each request to be let in.
import { showInvalid } from "./fields.js";
import { toast } from "./toasts.js";

const WAYS = { control: "in control", watch: "watching", jupyter: "in JupyterLab" };

export default class People extends EventTarget {
  constructor(box, count) {
    super();
    this.box = box;
    this.count = count;
    this.here = this._here();
    this.asked = new Set();
    box.addEventListener("refresh", () => this.load());
    box.addEventListener("submit", (event) => this._send(event));
    box.addEventListener("input", ({ target }) => { if (target.dataset.candidates) this._search(target); });
    this._show();
    queueMicrotask(() => { for (const form of box.querySelectorAll("[data-request]")) this._ask(form.dataset); });
  }

  get mode() { return this.box.querySelector("[data-mode]")?.dataset.mode; }

  async load() {
    if (this.box.querySelector("form :focus:not(button)")) { // somebody is choosing: not under their hands
      clearTimeout(this._later);
      this._later = setTimeout(() => this.load(), 1000);
      return;
    }
    const response = await fetch(this.box.dataset.at, { credentials: "same-origin" }).catch(() => null);
    if (!response?.ok || response.redirected) return;
    const before = { mode: this.mode, here: this.here };
    this.box.innerHTML = await response.text();
    this.here = this._here();
    this._show();
    for (const [key, { name, way }] of this.here) if (!before.here.has(key) && name !== "You") toast(`${name} is here, ${way}.`);
    for (const [key, { name, account }] of before.here) {
      const stays = [...this.here.values()].some((one) => one.account === account);
      if (!this.here.has(key) && !stays && name !== "You") toast(`${name} left.`);
    }
    for (const form of this.box.querySelectorAll("[data-request]")) this._ask(form.dataset);
    if (this.mode !== before.mode) this.dispatchEvent(new CustomEvent("mode", { detail: { mode: this.mode } }));
  }

  _ask({ request, name }) {
    if (this.asked.has(request)) return;
    this.asked.add(request);
    this.dispatchEvent(new CustomEvent("asked", { detail: { name } }));
  }

  _here() {
    return new Map([...this.box.querySelectorAll("[data-here]")].map(({ dataset }) => {
      const [account, mode] = dataset.here.split(" ");
      return [dataset.here, { account, name: dataset.name, way: WAYS[mode] }];
    }));
  }

  _show() {
    const people = new Set([...this.here.values()].map(({ account }) => account)).size;
    this.count.textContent = people > 1 ? String(people) : "";
  }

  async _send(event) {
    event.preventDefault();
    const form = event.target;
    const response = await fetch(form.action, {
      method: "POST",
      body: new FormData(form, event.submitter),
      headers: { "HX-Request": "true" },
      credentials: "same-origin",
    }).catch(() => null);
    const told = JSON.parse(response?.headers.get("HX-Trigger") ?? "{}").toast;
    toast(told?.text ?? "The portal could not do this. Try again in a moment.", told?.level ?? "danger");
    if (showInvalid(form, response?.headers.get("HX-Trigger"))) return; // what was typed stays, to be mended
    document.activeElement?.blur();
    this.load();
  }

  _search(field) {
    clearTimeout(this._typing);
    this._typing = setTimeout(async () => {
      const url = `${field.dataset.candidates}?search=${encodeURIComponent(field.value)}`;
      const response = await fetch(url, { credentials: "same-origin" }).catch(() => null);
      const list = this.box.querySelector("#share-user");
      if (response?.ok && list) list.innerHTML = await response.text();
    }, 250);
  }
}

// The clipboard, both ways: by itself where the browser allows it, through a text field otherwise.
import { toast } from "./toasts.js";

const LONGEST = 1_000_000; // characters; the broker caps it too

export default class Clipboard {
  constructor(panel) {
    this.field = panel.querySelector("textarea");
    this.rfb = null;
    this.closed = panel.querySelector("[data-clipboard=send]").disabled; // nothing may be copied into it
    this._last = null;
    panel.querySelector("[data-clipboard=send]").addEventListener("click", () => this.send(this.field.value));
    panel.querySelector("[data-clipboard=read]").addEventListener("click", () => this.read());
    addEventListener("focus", () => this.readIfGranted());
  }

  attach(rfb) {
    this.rfb = rfb;
    rfb.addEventListener("clipboard", async ({ detail: { text } }) => {
      this.field.value = this._last = text;
      await navigator.clipboard?.writeText(text).catch(() => {}); // not allowed: it is in the panel
    });
    this.readIfGranted();
  }

  send(text) {
    if (!text || text === this._last) return;
    if (text.length > LONGEST) {
      toast("This text is too long for the clipboard: save it to a file in your home instead.", "danger");
      return;
    }
    this._last = text;
    this.rfb?.clipboardPasteFrom(text);
  }

  async read() {
    try {
      const text = await navigator.clipboard.readText();
      this.field.value = text;
      this.send(text);
    } catch {
      this.field.focus(); // paste it here then
    }
  }

  async readIfGranted() {
    if (this.closed) return;
    const permission = await navigator.permissions?.query({ name: "clipboard-read" }).catch(() => null);
    if (permission?.state === "granted" && document.hasFocus()) await this.read();
  }
}

// The second screen: a window of its own, that shows monitor 2. Both windows find each other again after a reload.
// Events of the first window: `opened`, `closed`, `refused` {text}; of the second: `sent-away`.
const NAME = "visa-second-screen";
const POLL = 1000;

// Where the window goes: onto another physical screen where the browser tells of one, else beside this window.
async function place() {
  const beside = { left: screenX + outerWidth, top: screenY, width: outerWidth, height: outerHeight };
  if (!("getScreenDetails" in window) || !screen.isExtended) return beside;
  try {
    const { screens, currentScreen } = await getScreenDetails();
    const other = screens.find((one) => one !== currentScreen);
    if (!other) return beside;
    return { left: other.availLeft, top: other.availTop, width: other.availWidth, height: other.availHeight };
  } catch {
    return beside; // not allowed: the window can still be moved by hand
  }
}

export class FirstWindow extends EventTarget {
  constructor(id, url) {
    super();
    this.url = url;
    this.open = false;
    this._window = null;
    this._channel = new BroadcastChannel(`second screen ${id}`);
    this._channel.addEventListener("message", ({ data }) => {
      if (data === "here") this._set(true);
      if (data === "gone") this._set(false);
    });
    this._channel.postMessage("who is there?");
    setInterval(() => { if (this._window?.closed) this._set(false); }, POLL); // also when it crashed
  }

  async show() {
    const { left, top, width, height } = await place();
    this._window = window.open(this.url, NAME, `popup,left=${left},top=${top},width=${width},height=${height}`);
    if (!this._window) {
      const text = "Your browser blocked the second window. Allow pop-ups for this page and try again.";
      this.dispatchEvent(new CustomEvent("refused", { detail: { text } }));
    }
  }

  dismiss() {
    this._channel.postMessage("go");
    this._window?.close();
    this._set(false);
  }

  _set(open) {
    if (!open) this._window = null;
    if (open === this.open) return;
    this.open = open;
    this.dispatchEvent(new CustomEvent(open ? "opened" : "closed"));
  }
}

export class SecondWindow extends EventTarget {
  constructor(id) {
    super();
    const channel = new BroadcastChannel(`second screen ${id}`);
    channel.addEventListener("message", ({ data }) => {
      if (data === "who is there?") channel.postMessage("here");
      if (data === "go") {
        this.dispatchEvent(new CustomEvent("sent-away"));
        window.close();
      }
    });
    addEventListener("pagehide", () => channel.postMessage("gone"));
    channel.postMessage("here");
  }
}

// noVNC's client, for desktops with several monitors: it knows the screens and can ask for others (message 251).
// With the option `monitor` (1 is the leftmost) it draws that screen alone, and asks for no other pixels.
// Also counts what statistics need. Events beside noVNC's own: `screens` {screens}, `layoutrefused` {status}.
import RFB from "../../vendor/novnc/core/rfb.js";
import { place } from "./desktop-monitor.js";

const PROBE = { x: 0, y: 0, width: 1, height: 1 };

export default class DesktopRFB extends RFB {
  constructor(target, socket, options) {
    super(target, socket, options);
    this.monitor = options.monitor ?? null;
    this.screens = [];
    this._at = { x: 0, y: 0 };
    if (this.monitor) place(this._sock, this._at);
    this.frames = 0;
    this.bytes = 0;
    this.latency = null; // ms from asking for one pixel until it is here
    this._probed = null;
    // Whoever leaves the picture with keys held, by the toolbar's shortcut for example, must not leave them held there.
    this._canvas.addEventListener("blur", () => this._keyboard._allKeysUp());
    socket.addEventListener("message", ({ data }) => { this.bytes += data.byteLength; });
  }

  get canvas() { return this._canvas; }
  get size() { return { width: this._fbWidth, height: this._fbHeight }; }

  // `list`: [{id, x, y, width, height}], together the whole desktop.
  setScreens(list) {
    const socket = this._sock;
    if (this._rfbConnectionState !== "connected" || !this._supportsSetDesktopSize) return;
    socket.sQpush8(251);
    socket.sQpush8(0);
    socket.sQpush16(Math.max(...list.map((screen) => screen.x + screen.width)));
    socket.sQpush16(Math.max(...list.map((screen) => screen.y + screen.height)));
    socket.sQpush8(list.length);
    socket.sQpush8(0);
    for (const { id, x, y, width, height } of list) {
      socket.sQpush32(id);
      for (const number of [x, y, width, height]) socket.sQpush16(number);
      socket.sQpush32(0);
    }
    socket.flush();
  }

  probe() {
    if (this._rfbConnectionState !== "connected") return;
    this._probed = performance.now();
    RFB.messages.fbUpdateRequest(this._sock, false, PROBE.x, PROBE.y, PROBE.width, PROBE.height);
  }

  _handleExtendedDesktopSize() {
    const socket = this._sock;
    if (socket.rQwait("ExtendedDesktopSize", 4)) return false;
    const length = 4 + 16 * socket.rQpeek8();
    if (socket.rQwait("ExtendedDesktopSize", length)) return false;
    const bytes = socket.rQpeekBytes(length);
    const { x: asker, y: status } = this._FBU;
    const refused = asker === 1 && status !== 0;
    const screens = screensIn(bytes);
    const mine = this.monitor && !refused ? this._mine(screens) : null;
    const moved = mine && (mine.x !== this._at.x || mine.y !== this._at.y);
    if (mine) {
      this._FBU.width = mine.width;
      this._FBU.height = mine.height;
      this._at = { x: mine.x, y: mine.y };
      place(this._sock, this._at);
    }
    const done = super._handleExtendedDesktopSize();
    if (moved) RFB.messages.fbUpdateRequest(this._sock, false, 0, 0, this._fbWidth, this._fbHeight);
    if (refused) {
      this.dispatchEvent(new CustomEvent("layoutrefused", { detail: { status } }));
    } else {
      this.screens = screens;
      this.dispatchEvent(new CustomEvent("screens", { detail: { screens: this.screens } }));
    }
    return done;
  }

  // Until the desktop has this window's own screen, the nearest that there is.
  _mine(screens) {
    return screens.find(({ id }) => id === this.monitor - 1) ?? screens[Math.min(this.monitor, screens.length) - 1];
  }

  _handleDataRect() {
    const { x, y } = this._FBU;
    this._FBU.x = x - this._at.x;
    this._FBU.y = y - this._at.y;
    const probed = this._FBU.x === PROBE.x && this._FBU.y === PROBE.y;
    const done = super._handleDataRect();
    this._FBU.x = x; // a decoder that waits for more is called again with it
    this._FBU.y = y;
    if (done && this._probed !== null && probed) {
      this.latency = performance.now() - this._probed;
      this._probed = null;
    }
    return done;
  }

  _framebufferUpdate() {
    const done = super._framebufferUpdate();
    if (done) this.frames += 1;
    return done;
  }
}

function screensIn(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: bytes[0] }, (_, index) => {
    const at = 4 + 16 * index;
    return {
      id: view.getUint32(at),
      x: view.getUint16(at + 4),
      y: view.getUint16(at + 6),
      width: view.getUint16(at + 8),
      height: view.getUint16(at + 10),
    };
  }).sort((a, b) => a.x - b.x || a.y - b.y);
}

// noVNC's client, for desktops with several monitors: it knows the screens and can ask for others (message 251).
// Also counts what statistics need. Events beside noVNC's own: `screens` {screens}, `layoutrefused` {status}.
import RFB from "../../vendor/novnc/core/rfb.js";

const PROBE = { x: 0, y: 0, width: 1, height: 1 };

export default class DesktopRFB extends RFB {
  constructor(target, socket, options) {
    super(target, socket, options);
    this.screens = [];
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
    const done = super._handleExtendedDesktopSize();
    if (asker === 1 && status !== 0) {
      this.dispatchEvent(new CustomEvent("layoutrefused", { detail: { status } }));
    } else {
      this.screens = screensIn(bytes);
      this.dispatchEvent(new CustomEvent("screens", { detail: { screens: this.screens } }));
    }
    return done;
  }

  _handleDataRect() {
    const { x, y } = this._FBU;
    const done = super._handleDataRect();
    if (done && this._probed !== null && x === PROBE.x && y === PROBE.y) {
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

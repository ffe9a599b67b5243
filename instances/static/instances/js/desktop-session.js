// Holding a seat at a desktop: a fresh ticket for each attempt, again and again until the portal says that it is over.
// Events: `opened` {rfb}, `connected` {rfb}, `interrupted` {seconds, reason}, `closed` {kind, reason}, `connecting`; `frozen` just before the
// picture goes. Kinds: stopped, removed, gone, signed-out, left.
import DesktopRFB from "./desktop-rfb.js";
import { NoSeat, seat } from "./seat.js";

const CLOSED = { TICKET: 4001, REVOKED: 4003, NOT_RUNNING: 4004 };
const SLOWEST = 15, PATIENCE = 20000, REFUSALS = 3;
const SOON_BACK = ["queued", "starting", "restarting", "ready"];

export default class Session extends EventTarget {
  constructor(target, connections, mode, monitor = null) {
    super();
    this.mode = mode;
    this.monitor = monitor; // the one screen that this window shows; null: all
    this.target = target;
    this.connections = connections;
    this.rfb = null;
    this.over = false;
    this._failures = 0;
    this._refusals = 0;
    this._attempt = 0;
  }

  async connect() {
    if (this.over) return;
    clearTimeout(this._timer);
    const attempt = ++this._attempt;
    this._say("connecting");
    let given;
    try {
      given = await seat(this.connections, "desktop", { mode: this.mode, monitor: this.monitor });
    } catch (error) {
      if (!(error instanceof NoSeat)) throw error;
      if (attempt === this._attempt) this._noSeat(error);
      return;
    }
    if (attempt === this._attempt && !this.over) this._open(given);
  }

  // What its person may do from now on; the broker lets pass no more than that, whatever is set here.
  setMode(mode) {
    this.mode = mode;
    if (this.rfb) this.rfb.viewOnly = mode !== "control";
  }

  reconnect() {
    const socket = this._socket;
    this._drop();
    socket?.close();
    this._failures = 0;
    this.connect();
  }

  leave() {
    this._end("left", "");
  }

  _open({ url, ticket, protocol }) {
    const socket = new WebSocket(url, [protocol, `ticket.${ticket}`]);
    this._socket = socket;
    socket.addEventListener("close", (event) => { if (socket === this._socket) this._closed(event); });
    const rfb = new DesktopRFB(this.target, socket, { shared: true, monitor: this.monitor });
    this.rfb = rfb;
    rfb.viewOnly = this.mode !== "control";
    this._say("opened", { rfb });
    const late = setTimeout(() => socket.close(), PATIENCE);
    rfb.addEventListener("connect", () => {
      clearTimeout(late);
      if (this.rfb !== rfb) return;
      this._failures = this._refusals = 0;
      this._say("connected", { rfb });
    });
    socket.addEventListener("close", () => clearTimeout(late));
  }

  _closed({ code, reason }) {
    this._drop();
    if (code === CLOSED.REVOKED) this._end("removed", reason);
    else if (code === CLOSED.TICKET && ++this._refusals >= REFUSALS) this._end("removed", reason);
    else this._later(code === CLOSED.NOT_RUNNING ? "The desktop ended." : "");
  }

  _noSeat({ status, message, answer }) {
    if (status === 401) this._end("signed-out", message);
    else if (status === 404) this._end("gone", message);
    else if (status === 409 && !SOON_BACK.includes(answer.state)) this._end("stopped", message);
    else if (status >= 400 && status < 500 && status !== 409) this._end("removed", message);
    else this._later(message);
  }

  _drop() {
    if (this.rfb) this._say("frozen", { canvas: this.rfb.canvas });
    const rfb = this.rfb;
    this.rfb = this._socket = null;
    rfb?.disconnect();
  }

  _later(reason) {
    if (this.over) return;
    const seconds = Math.min(2 ** this._failures++, SLOWEST);
    this._timer = setTimeout(() => this.connect(), seconds * 1000);
    this._say("interrupted", { seconds, reason });
  }

  _end(kind, reason) {
    this.over = true;
    this._attempt += 1;
    clearTimeout(this._timer);
    const socket = this._socket;
    this._drop();
    socket?.close();
    this._say("closed", { kind, reason });
  }

  _say(type, detail = {}) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

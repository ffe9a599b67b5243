// What flows, once a second while the panel is open.
export default class Statistics {
  constructor(panel) {
    this.panel = panel;
    this.rfb = null;
    setInterval(() => this.measure(), 1000);
  }

  attach(rfb) {
    this.rfb = rfb;
    this.before = { at: performance.now(), frames: rfb.frames, bytes: rfb.bytes };
  }

  measure() {
    const { rfb, before } = this;
    if (!rfb) return;
    const now = { at: performance.now(), frames: rfb.frames, bytes: rfb.bytes };
    this.before = now;
    if (this.panel.hidden) return;
    const seconds = (now.at - before.at) / 1000;
    this.show("fps", `${Math.round((now.frames - before.frames) / seconds)} per second`);
    this.show("rate", `${(((now.bytes - before.bytes) * 8) / 1e6 / seconds).toFixed(2)} Mbit/s`);
    this.show("latency", rfb.latency === null ? "–" : `about ${Math.round(rfb.latency)} ms`);
    this.show("size", `${rfb.size.width} × ${rfb.size.height}`);
    this.show("screens", String(rfb.screens.length || 1));
    rfb.probe();
  }

  show(name, text) {
    this.panel.querySelector(`[data-statistic=${name}]`).textContent = text;
  }
}

// The desktop page: puts the session, the screens and the toolbar together.
import Clipboard from "./desktop-clipboard.js";
import { draw, freeze, lift } from "./desktop-curtain.js";
import "./desktop-ending.js";
import { press } from "./desktop-keys.js";
import { same, screensFor } from "./desktop-layout.js";
import { FirstWindow, SecondWindow } from "./desktop-second.js";
import People from "./desktop-people.js";
import Session from "./desktop-session.js";
import Statistics from "./desktop-statistics.js";
import Toolbar from "./desktop-toolbar.js";
import "./live.js";
import { toast } from "./toasts.js";

const root = document.documentElement;
const target = document.getElementById("screen");
const pill = document.getElementById("pill");
const second = target.dataset.monitor === "2";
const kept = `layout ${target.dataset.id}${second ? " 2" : ""}`; // as it was last changed in this browser
const choice = { ...JSON.parse(document.getElementById("display").textContent), ...recall() };
const session = new Session(target, target.dataset.connections, target.dataset.mode, second ? 2 : null);
const clipboard = new Clipboard(document.getElementById("panel-clipboard"));
const statistics = new Statistics(document.getElementById("panel-statistics"));
const toolbar = new Toolbar(pill, () => session.rfb?.focus());
const layout = document.getElementById("panel-layout");

session.addEventListener("connecting", () => {
  root.dataset.connection = root.dataset.connection === "interrupted" ? "interrupted" : "connecting";
  draw("connecting");
});
session.addEventListener("connected", ({ detail: { rfb } }) => {
  root.dataset.connection = "connected";
  rfb.background = "transparent";
  view(rfb);
  clipboard.attach(rfb);
  statistics.attach(rfb);
  lift();
  rfb.focus();
  arrange();
});
session.addEventListener("frozen", ({ detail: { canvas } }) => freeze(canvas));
session.addEventListener("interrupted", ({ detail }) => {
  root.dataset.connection = "interrupted";
  draw("interrupted", detail);
});
session.addEventListener("closed", ({ detail }) => {
  root.dataset.connection = "closed";
  draw(detail.kind, detail);
});
document.addEventListener("visa:instance", ({ detail }) => {
  const mine = detail.instance === target.dataset.id;
  if (mine && detail.state === "ready" && root.dataset.connection === "interrupted") session.reconnect();
});

function watch(rfb) {
  rfb.addEventListener("screens", ({ detail: { screens } }) => {
    root.dataset.screens = screens.length;
    if (rfb === session.rfb && !rfb.arranged) arrange();
  });
  rfb.addEventListener("layoutrefused", () => toast("The desktop cannot have this layout.", "danger"));
}
session.addEventListener("opened", ({ detail: { rfb } }) => watch(rfb));

// Asks for the chosen screens; what the desktop makes of it comes back as `screens`.
function arrange() {
  const { rfb } = session;
  if (session.mode !== "control" || !rfb?.screens.length || root.dataset.connection !== "connected") return;
  rfb.arranged = true;
  if (session.monitor) {
    // How large this window is; what the desktop is told of all windows is the broker's business.
    const [{ width, height }] = screensFor({ ...choice, layout: "single" }, target.clientWidth, target.clientHeight);
    rfb.setScreens([{ id: session.monitor - 1, x: 0, y: 0, width, height }]);
    return;
  }
  const wanted = screensFor(choice, target.clientWidth, target.clientHeight, rfb.screens);
  if (!same(wanted, rfb.screens)) rfb.setScreens(wanted);
}

let settled;
new ResizeObserver(() => {
  clearTimeout(settled);
  settled = setTimeout(() => { if (choice.fit) arrange(); }, 250);
}).observe(target);

function view(rfb) {
  rfb.scaleViewport = layout.querySelector("[name=view]:checked").value === "fit";
}

layout.addEventListener("change", ({ target: field }) => {
  if (field.name === "view") {
    if (session.rfb) view(session.rfb);
    return;
  }
  choice.layout = layout.querySelector("[name=layout]:checked").value;
  const resolution = layout.querySelector("[name=resolution]").value;
  choice.fit = resolution === "fit";
  if (!choice.fit) {
    const [width, height] = resolution.split("x").map(Number);
    choice.screens = [{ width, height }];
  }
  remember();
  arrange();
});

function recall() {
  try { return JSON.parse(localStorage.getItem(kept)) ?? {}; } catch { return {}; }
}

function remember() {
  const { layout: screens, fit, screens: sizes } = choice;
  try { localStorage.setItem(kept, JSON.stringify({ layout: screens, fit, screens: sizes })); } catch { /* not kept */ }
}

// The panel says what holds, also where this browser remembers otherwise than the page was written.
function fillPanel() {
  layout.querySelector(`[name=layout][value=${choice.layout}]`).checked = true;
  const [{ width, height }] = choice.screens;
  const select = layout.querySelector("[name=resolution]");
  select.value = choice.fit ? "fit" : `${width}x${height}`;
}

const actions = {
  full: async () => {
    if (document.fullscreenElement) await document.exitFullscreen();
    else {
      await root.requestFullscreen();
      await navigator.keyboard?.lock?.().catch(() => {}); // Esc and Alt-Tab go to the desktop; hold Esc to leave
    }
    session.rfb?.focus();
  },
  shot: () => session.rfb?.toBlob((blob) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = `${target.dataset.name} ${new Date().toISOString().slice(0, 19).replaceAll(":", ".")}.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }, "image/png"),
  reconnect: () => session.reconnect(),
  leave: () => session.leave(),
  shut: () => window.close(),
};

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-do]");
  if (button) actions[button.dataset.do]();
  const key = event.target.closest("[data-keys]");
  if (key && session.rfb) {
    press(session.rfb, key.dataset.keys);
    toolbar.closePanels();
    session.rfb.focus();
  }
});
target.addEventListener("pointerdown", () => toolbar.closePanels());
addEventListener("online", () => { if (root.dataset.connection === "interrupted") session.reconnect(); });
document.addEventListener("fullscreenchange", () => {
  pill.querySelector("[data-do=full]").setAttribute("aria-pressed", String(Boolean(document.fullscreenElement)));
});

// What only those in control have a use for is not there for who watches.
function showMode(mode) {
  root.dataset.mode = mode;
  pill.querySelector("[data-slot=watching]").hidden = mode === "control";
  for (const tool of pill.querySelectorAll("[data-control]")) tool.hidden = mode !== "control";
}

const people = new People(document.getElementById("people"), pill.querySelector("[data-slot=count]"));
people.addEventListener("mode", ({ detail: { mode } }) => {
  session.setMode(mode);
  showMode(mode);
  toolbar.closePanels();
  toast(mode === "control" ? "You have control now." : "You watch now: your keys and clicks change nothing.");
  arrange();
});
people.addEventListener("asked", ({ detail: { name } }) => {
  toast(`${name} asks you something: see People.`, "warning");
  const opener = pill.querySelector("[data-panel=panel-people]");
  toolbar.show();
  if (opener.getAttribute("aria-expanded") !== "true") toolbar.toggle(opener);
});
showMode(session.mode);

if (second) new SecondWindow(target.dataset.id).addEventListener("sent-away", () => session.leave());
else {
  const button = pill.querySelector("[data-do=second]");
  const other = new FirstWindow(target.dataset.id, button.dataset.url);
  const show = (open) => {
    button.setAttribute("aria-pressed", String(open));
    button.ariaLabel = button.title = open ? "Close the second screen" : "Open a second screen";
    layout.querySelector("[data-one-window]").disabled = open;
    session.monitor = open ? 1 : null;
    session.reconnect();
  };
  other.addEventListener("opened", () => show(true));
  other.addEventListener("closed", () => show(false));
  other.addEventListener("refused", ({ detail }) => toast(detail.text, "danger"));
  actions.second = () => (other.open ? other.dismiss() : other.show());
}

fillPanel();
root.dataset.connection = "connecting";
session.connect();

// The pill at the top: shown when the pointer comes near, on Ctrl+Alt+Shift, and while something in it has the focus.
const NEAR = 70; // px from the top
const GREETING = 3500;

export default class Toolbar {
  constructor(pill, giveBackFocus) {
    this.pill = pill;
    this.giveBackFocus = giveBackFocus;
    this.timer = null;
    addEventListener("pointermove", (event) => this.pointer(event));
    addEventListener("keydown", (event) => this.key(event), true);
    pill.addEventListener("click", (event) => {
      const opener = event.target.closest("[data-panel]");
      if (opener) this.toggle(opener);
    });
    this.show(GREETING);
  }

  pointer({ clientX, clientY }) {
    const { left, right } = this.pill.getBoundingClientRect();
    if (clientY < NEAR && clientX > left - NEAR && clientX < right + NEAR) this.show();
  }

  key(event) {
    if (event.ctrlKey && event.altKey && event.shiftKey && ["Control", "Alt", "Shift"].includes(event.key)) {
      event.stopPropagation(); // ours, not the desktop's
      if (this.pill.contains(document.activeElement)) this.hide();
      else {
        this.show();
        this.pill.querySelector("button, a").focus();
      }
    } else if (event.key === "Escape" && this.pill.contains(document.activeElement)) {
      this.hide();
      event.stopPropagation();
    }
  }

  toggle(opener) {
    const panel = document.getElementById(opener.dataset.panel);
    const open = panel.hidden;
    this.closePanels();
    panel.hidden = !open;
    opener.setAttribute("aria-expanded", String(open));
  }

  closePanels() {
    for (const opener of this.pill.querySelectorAll("[data-panel]")) {
      document.getElementById(opener.dataset.panel).hidden = true;
      opener.setAttribute("aria-expanded", "false");
    }
  }

  get busy() {
    return this.pill.matches(":hover, :focus-within") || this.pill.querySelector("[aria-expanded=true]") !== null;
  }

  show(milliseconds = 900) {
    this.pill.classList.add("pill-shown");
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      if (this.busy) this.show();
      else this.pill.classList.remove("pill-shown");
    }, milliseconds);
  }

  hide() {
    this.closePanels();
    this.pill.classList.remove("pill-shown");
    this.giveBackFocus();
  }
}

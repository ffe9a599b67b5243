// Keys that the browser or the local desktop would keep for itself. X11 keysyms with the physical key's code.
const KEYS = {
  control: [0xffe3, "ControlLeft"],
  alt: [0xffe9, "AltLeft"],
  shift: [0xffe1, "ShiftLeft"],
  super: [0xffeb, "MetaLeft"],
  delete: [0xffff, "Delete"],
  backspace: [0xff08, "Backspace"],
  tab: [0xff09, "Tab"],
  escape: [0xff1b, "Escape"],
  f4: [0xffc1, "F4"],
  f11: [0xffc8, "F11"],
  print: [0xff61, "PrintScreen"],
};

// `combination`: names joined by "+", pressed in order and released in reverse.
export function press(rfb, combination) {
  const keys = combination.split("+").map((name) => KEYS[name]);
  for (const [keysym, code] of keys) rfb.sendKey(keysym, code, true);
  for (const [keysym, code] of keys.reverse()) rfb.sendKey(keysym, code, false);
}

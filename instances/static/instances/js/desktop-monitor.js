// noVNC speaks of the picture that it draws. A window of one monitor draws a part of the desktop: what it asks for and
// points at is moved to where that monitor is. noVNC has no place for this but its message writers.
import RFB from "../../vendor/novnc/core/rfb.js";

const COPY_RECT = 1; // its source may lie on another monitor, whose pixels are not here
const places = new WeakMap(); // by the socket wrapper of a window of one monitor: {x, y}
const { messages } = RFB;
const plain = { ...messages };
const at = (socket) => places.get(socket) ?? { x: 0, y: 0 };

messages.fbUpdateRequest = (socket, incremental, x, y, width, height) => {
  const { x: left, y: top } = at(socket);
  plain.fbUpdateRequest(socket, incremental, x + left, y + top, width, height);
};
messages.enableContinuousUpdates = (socket, enable, x, y, width, height) => {
  const { x: left, y: top } = at(socket);
  plain.enableContinuousUpdates(socket, enable, x + left, y + top, width, height);
};
for (const name of ["pointerEvent", "extendedPointerEvent"]) {
  messages[name] = (socket, x, y, mask) => {
    const { x: left, y: top } = at(socket);
    plain[name](socket, x + left, y + top, mask);
  };
}
messages.clientEncodings = (socket, encodings) => {
  plain.clientEncodings(socket, places.has(socket) ? encodings.filter((one) => one !== COPY_RECT) : encodings);
};

export function place(socket, { x, y }) {
  places.set(socket, { x, y });
}

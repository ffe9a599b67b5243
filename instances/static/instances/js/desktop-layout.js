// From what somebody chose ({layout, fit, screens}) and the window's size to the desktop's screens. Pure.
const SMALLEST = 320;

export function screensFor(choice, windowWidth, windowHeight, current = []) {
  const count = choice.layout === "dual" ? 2 : 1;
  const sizes = choice.fit ? halves(windowWidth, windowHeight, count) : fixed(choice.screens, count);
  const ids = idsFor(count, current);
  let x = 0;
  return sizes.map(({ width, height }, index) => {
    const screen = { id: ids[index], x, y: 0, width, height };
    x += width;
    return screen;
  });
}

export function same(a, b) {
  const flat = (screens) => screens.map(({ x, y, width, height }) => `${x},${y},${width},${height}`).join(";");
  return flat(a) === flat(b);
}

function halves(width, height, count) {
  const each = Math.max(SMALLEST, Math.floor(width / count / 2) * 2); // even: what video encoders like
  return Array.from({ length: count }, () => ({ width: each, height: Math.max(SMALLEST, Math.floor(height)) }));
}

function fixed(screens, count) {
  return Array.from({ length: count }, (_, index) => screens[Math.min(index, screens.length - 1)]);
}

function idsFor(count, current) {
  const ids = current.slice(0, count).map((screen) => screen.id);
  for (let id = 0; ids.length < count; id += 1) if (!ids.includes(id)) ids.push(id);
  return ids;
}

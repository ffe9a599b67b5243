// Says inside the desktop when the right to its data ends: at once if that is within a day, and again as it comes near.
import { toast } from "./toasts.js";

const MINUTE = 60_000;
const BEFORE = [24 * 60, 60, 10, 1];

export function announceEnding({ dataset: { ends, ending } }) {
  if (!ends) return;
  const left = Date.parse(ends) - Date.now();
  const say = () => toast(`Access ends in ${words(Date.parse(ends) - Date.now())}. ${ending}`, "danger");
  if (left > 0 && left < BEFORE[0] * MINUTE) say();
  for (const minutes of BEFORE) {
    const wait = left - minutes * MINUTE;
    if (wait > 0) setTimeout(say, wait);
  }
}

function words(left) {
  const minutes = Math.max(1, Math.round(left / MINUTE));
  if (minutes < 90) return `${minutes} minute${minutes === 1 ? "" : "s"}`;
  return `${Math.round(minutes / 60)} hours`;
}

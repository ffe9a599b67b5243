// Moments in the reader's zone and words: `<time data-when="relative|date|datetime|clock">`, `[data-ticking]`.
const zone = "en-GB";
const exact = new Intl.DateTimeFormat(zone, { dateStyle: "full", timeStyle: "long" });
const styles = {
  date: new Intl.DateTimeFormat(zone, { day: "numeric", month: "short", year: "numeric" }),
  datetime: new Intl.DateTimeFormat(zone, { dateStyle: "medium", timeStyle: "short" }),
  clock: new Intl.DateTimeFormat(zone, { hour: "2-digit", minute: "2-digit", second: "2-digit" }),
};
const words = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const units = [["year", 31557600], ["month", 2629800], ["day", 86400], ["hour", 3600], ["minute", 60]];

function relative(moment) {
  const seconds = (moment - Date.now()) / 1000;
  const [unit, size] = units.find(([, size]) => Math.abs(seconds) >= size) ?? [];
  if (!unit) return "just now";
  return words.format(unit === "day" ? days(moment) : Math.trunc(seconds / size), unit);
}

// By the calendar: 30 hours from a morning is tomorrow, from an evening the day after.
function days(moment) {
  return Math.round((new Date(moment).setHours(0, 0, 0, 0) - new Date().setHours(0, 0, 0, 0)) / 86400000);
}

export function elapsed(milliseconds) {
  const seconds = Math.max(0, milliseconds / 1000);
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const minutes = Math.floor(seconds / 60);
  return minutes < 60 ? `${minutes} min ${Math.floor(seconds % 60)} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

function word() {
  for (const element of document.querySelectorAll("time[data-when]")) {
    const moment = new Date(element.dateTime);
    const style = styles[element.dataset.when];
    const text = style ? style.format(moment) : relative(moment);
    if (element.textContent !== text) element.textContent = text;
    element.title = exact.format(moment);
  }
}

function tick() {
  for (const element of document.querySelectorAll("[data-ticking]")) {
    element.textContent = elapsed(Date.now() - new Date(element.dataset.ticking));
  }
}

word();
tick();
setInterval(word, 30000);
setInterval(tick, 100);
document.addEventListener("htmx:load", () => { word(); tick(); });

// The list of events, newest first.

import { $, make } from "./dom.js";

const MOST = 200;
let newest = 0;

export function showLog(events) {
  for (const event of events) {
    if (event.number <= newest) continue;
    newest = event.number;
    const time = new Date(event.at * 1000);
    const about = [event.stream, event.event.replaceAll("-", " ")].filter(Boolean).join(": ");
    const details = Object.entries(event.details ?? {})
      .map(([name, value]) => `${name} ${value}`)
      .join(", ");
    const kind = { WARNING: "warn", ERROR: "bad", CRITICAL: "bad" }[event.level.toUpperCase()] ?? "";
    $("log").prepend(
      make("li", { cls: kind },
        make("time", { text: time.toLocaleTimeString(), attrs: { datetime: time.toISOString() } }),
        details ? `${about} (${details})` : about,
      ),
    );
  }
  while ($("log").children.length > MOST) $("log").lastChild.remove();
}

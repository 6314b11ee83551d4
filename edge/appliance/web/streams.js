// One stream: its picture, its figures, its lanes and its outputs.

import { post } from "./api.js";
import { $, act, ask, make, setText } from "./dom.js";
import { showPreview } from "./preview.js";

const NAMES = { faces: "Faces", plates: "Licence plates", text: "Private text", speech: "Spoken words" };
const STATES = {
  off: ["off", "warn"],
  starting: ["starting", ""],
  ok: ["at work", "good"],
  late: ["too slow: pictures leave masked", "bad"],
  missing: ["not working: pictures leave masked", "bad"],
};
const OUTPUTS = { connected: "good", connecting: "", waiting: "warn", stalled: "bad", closed: "warn" };
const MINUTE_MS = 60000;

let name = null;
const masked = new Map(); // stream → [[time, {cause: frames}], …] of the last minute

export const chosen = () => name;

export function showStreams(status) {
  const { streams } = status;
  if (!streams.some((stream) => stream.name === name)) name = streams[0]?.name ?? null;
  tabs(streams);
  for (const stream of streams) remember(stream);
  const stream = streams.find((one) => one.name === name);
  if (!stream) return;
  showPreview(status, stream.name);
  setText($("state"), stream.state);
  setText($("size"), stream.width ? `${stream.width} × ${stream.height}` : "");
  problems([...new Set([...status.problems, ...stream.problems, ...(status.refused ? [status.refused] : [])])]);
  figures(status, stream);
  lanes(stream);
  outputs(stream);
}

function tabs(streams) {
  const box = $("streams");
  box.hidden = streams.length < 2;
  const names = streams.map((stream) => stream.name).join("\n");
  if (box.dataset.names !== names) {
    box.dataset.names = names;
    box.replaceChildren(
      ...streams.map((stream) =>
        make("button", { text: stream.name, attrs: { type: "button" }, on: { click: () => (name = stream.name) } }),
      ),
    );
  }
  for (const button of box.children) button.setAttribute("aria-pressed", String(button.textContent === name));
}

function remember(stream) {
  const past = masked.get(stream.name) ?? [];
  const now = Date.now();
  past.push([now, stream.masked_by]);
  while (past[0][0] < now - MINUTE_MS) past.shift();
  masked.set(stream.name, past);
}

function maskedLately(stream) {
  const before = masked.get(stream.name)[0][1];
  const causes = Object.entries(stream.masked_by)
    .map(([cause, frames]) => [cause, frames - (before[cause] ?? 0)])
    .filter(([, frames]) => frames > 0);
  return causes.map(([cause, frames]) => `${frames} (${cause})`).join(", ") || "0";
}

function figures(status, stream) {
  const { machine } = status;
  const lags = stream.lanes.filter((lane) => lane.on && lane.lag_s !== null).map((lane) => lane.lag_s);
  const temperatures = Object.values(machine.temperatures_c);
  const rows = {
    "Pictures a second": stream.fps.toFixed(1),
    Delay: `${stream.delay_s.toFixed(1)} s`,
    "Slowest judge": lags.length ? `${Math.max(...lags).toFixed(1)} s behind` : "–",
    "Masked whole, last minute": maskedLately(stream),
    "Hidden, last minute": String(stream.lanes.reduce((sum, lane) => sum + lane.found_per_minute, 0)),
    "Silenced in all": `${stream.spoken_s.toFixed(1)} s`,
    "Lost and found again": String(Math.max(0, stream.connections - 1)),
    Load: machine.load_1m === null ? "–" : `${machine.load_1m.toFixed(1)} of ${machine.cores}`,
    Memory: machine.memory_bytes === null ? "–" : `${Math.round(machine.memory_bytes / 1e6)} MB`,
    Temperature: temperatures.length ? `${Math.max(...temperatures).toFixed(0)} °C` : "–",
    Encoder: stream.encoder ?? "–",
  };
  const list = $("figures");
  if (list.children.length !== Object.keys(rows).length) {
    list.replaceChildren(
      ...Object.keys(rows).map((title) => make("div", {}, make("dt", { text: title }), make("dd"))),
    );
  }
  Object.values(rows).forEach((value, index) => setText(list.children[index].lastChild, value));
}

function problems(texts) {
  const list = $("problems");
  const joined = texts.join("\n");
  if (list.dataset.texts === joined) return;
  list.dataset.texts = joined;
  list.replaceChildren(...texts.map((text) => make("li", { text })));
}

function lanes(stream) {
  const list = $("lanes");
  const key = `${stream.name}\n${stream.lanes.map((lane) => lane.name).join("\n")}`;
  if (list.dataset.key !== key) {
    list.dataset.key = key;
    list.replaceChildren(...stream.lanes.map((lane) => laneRow(lane.name)));
  }
  stream.lanes.forEach((lane, index) => {
    const row = list.children[index];
    const [text, kind] = STATES[lane.state];
    row.querySelector(".switch").setAttribute("aria-checked", String(lane.on));
    const state = row.querySelector(".state");
    setText(state, text);
    state.className = `state ${kind}`;
    const more = [lane.model, lane.on ? `${lane.found_per_minute} in the last minute` : null];
    if (lane.on && lane.lag_s !== null) more.push(`${lane.lag_s.toFixed(1)} s behind`);
    if (lane.failures) more.push(`failed ${lane.failures} times`);
    setText(row.querySelector("small"), more.filter(Boolean).join(" · "));
  });
}

function laneRow(lane) {
  const title = NAMES[lane] ?? lane;
  const button = make("button", {
    cls: "switch",
    attrs: { type: "button", role: "switch", "aria-checked": "false", "aria-label": `Hide: ${title}` },
    on: { click: (event) => toggle(event.currentTarget, lane, title) },
  }, make("span", { attrs: { "aria-hidden": "true" } }));
  return make("li", { attrs: { "data-lane": lane } },
    make("div", {}, make("strong", { text: title }), " ", make("span", { cls: "state" }), make("small")),
    button,
  );
}

async function toggle(button, lane, title) {
  const on = button.getAttribute("aria-checked") !== "true";
  let reason = null;
  if (!on) {
    reason = await ask({
      title: `Stop hiding: ${title}?`,
      text: `${title} on ${name} will leave the box as they are. This is recorded.`,
      yes: "Stop hiding",
      reason: "required",
    });
    if (reason === null) return;
  }
  await act(button, () => post(`/api/v1/filters/${encodeURIComponent(lane)}`, { on, reason, stream: name }));
}

function outputs(stream) {
  const rows = stream.outputs.map((output) => {
    const more = [`${output.sent} packets`];
    if (output.dropped) more.push(`${output.dropped} lost`);
    if (output.last_error) more.push(output.last_error);
    return make("li", {},
      make("div", {}, make("span", { text: output.address }), make("small", { text: more.join(" · ") })),
      make("span", { text: output.state, cls: OUTPUTS[output.state] ?? "" }),
    );
  });
  $("outputs").replaceChildren(...rows);
}

// Files that the box redacts: hand one in, watch it, take the result.

import { get, remove, upload } from "./api.js";
import { $, act, make } from "./dom.js";
import { chosen } from "./streams.js";

const LOOK_MS = 2000;
const STATES = { waiting: "waiting", running: "at work", done: "done", failed: "failed", refused: "refused" };

let started = false;
let timer = 0;

export function showJobs(status) {
  $("process-card").hidden = !status.jobs;
}

export function startJobs() {
  look();
  if (started) return;
  started = true;
  $("upload").addEventListener("change", () =>
    act(null, async () => {
      const [file] = $("upload").files;
      $("upload").value = "";
      if (!file) return;
      const query = new URLSearchParams({ name: file.name, ...(chosen() ? { stream: chosen() } : {}) });
      await upload(`/api/v1/process?${query}`, file, "application/octet-stream");
      look();
    }),
  );
}

async function look() {
  clearTimeout(timer);
  if ($("main").hidden) return;
  let jobs = [];
  try {
    jobs = await get("/api/v1/process");
  } catch {
    return; // switched off, or logged out
  }
  $("jobs").replaceChildren(...jobs.map(row));
  if (jobs.some((job) => job.state === "waiting" || job.state === "running")) timer = setTimeout(look, LOOK_MS);
}

function row(job) {
  const about = make("div", {}, make("span", { text: job.name }));
  if (job.state === "running" || job.state === "waiting") {
    about.append(make("progress", { attrs: { max: "1", value: String(job.progress), "aria-label": `Progress of ${job.name}` } }));
  }
  about.append(make("small", { text: [STATES[job.state] ?? job.state, job.detail].filter(Boolean).join(": ") }));
  const address = `/api/v1/process/${encodeURIComponent(job.id)}`;
  const buttons = [];
  if (job.state === "done") {
    buttons.push(make("a", { text: "Save", cls: "button", attrs: { href: `${address}/result`, download: "" } }));
  }
  buttons.push(
    make("button", { text: "Delete", attrs: { type: "button", "aria-label": `Delete ${job.name}` },
      on: { click: (event) => act(event.currentTarget, async () => { await remove(address); look(); }) } }),
  );
  return make("li", {}, about, ...buttons);
}

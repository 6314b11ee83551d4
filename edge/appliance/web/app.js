// The operator's page: logs in, follows the box, and hands what it says to each part of the page.

import { login, logout, resumeSession } from "./api.js";
import { $, act, notice } from "./dom.js";
import { Events } from "./events.js";
import { showJobs, startJobs } from "./jobs.js";
import { showLog } from "./log.js";
import { showPanic } from "./panic.js";
import { startPeople } from "./people.js";
import { stopPreview } from "./preview.js";
import { chosen, showStreams } from "./streams.js";
import { showEffect, startEffect } from "./effect.js";

const events = new Events({
  status(status) {
    const state = status.panic.on
      ? ["everything hidden", "bad"]
      : status.healthy
        ? ["all is well", "good"]
        : ["needs attention", "warn"];
    $("health").textContent = state[0];
    $("health").className = `pill ${state[1]}`;
    $("version").textContent =
      `privaedge ${status.version} · record of ${status.audit.records} entries` +
      (status.audit.working ? "" : ", NOT WORKING");
    showPanic(status.panic);
    showStreams(status);
    showEffect(status, chosen());
    showJobs(status);
  },
  events: showLog,
  lost() {
    $("health").textContent = "no connection";
    $("health").className = "pill bad";
  },
  refused: () => enter(false),
});

function enter(inside) {
  $("login").hidden = inside;
  $("main").hidden = $("panic-bar").hidden = $("logout").hidden = !inside;
  if (inside) {
    events.start();
    startEffect();
    startPeople();
    startJobs();
  } else {
    events.stop();
    $("health").textContent = "logged out";
    $("health").className = "pill";
    stopPreview();
    $("token").focus();
  }
}

$("login").addEventListener("submit", (event) => {
  event.preventDefault();
  act(event.submitter, async () => {
    await login($("token").value.trim());
    $("token").value = "";
    enter(true);
    $("main").focus({ preventScroll: true });
  });
});

$("logout").addEventListener("click", () =>
  act($("logout"), async () => {
    await logout();
    enter(false);
  }),
);

const themes = { system: "dark", dark: "light", light: "dark" };
const remembered = localStorage.getItem("theme");
if (remembered) document.documentElement.dataset.theme = remembered;
$("theme").addEventListener("click", () => {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const now = document.documentElement.dataset.theme ?? (dark ? "dark" : "light");
  document.documentElement.dataset.theme = themes[now];
  localStorage.setItem("theme", themes[now]);
});

try {
  await resumeSession();
  enter(true);
} catch (error) {
  enter(false);
  if (error.status !== 401) notice(error.message);
}

// Who may stay visible: the list, and enrolment with the camera or with files.

import { get, post, remove, upload } from "./api.js";
import { $, act, ask, make } from "./dom.js";

// What a good set is made of; said one after the other as shots are accepted.
const STEPS = [
  "Look straight at the camera.",
  "Turn your head a little to the left.",
  "Turn your head a little to the right.",
  "Raise your chin a little.",
  "Look straight again, with another expression.",
];

let started = false;
let film = null;
let count = { good: 0, wanted: STEPS.length };

export function startPeople() {
  refresh();
  if (started) return;
  started = true;
  $("start-camera").addEventListener("click", () => act($("start-camera"), startCamera));
  $("shoot").addEventListener("click", () => act($("shoot"), shoot));
  $("files").addEventListener("change", () => act(null, chooseFiles));
  $("enrol-form").addEventListener("submit", (event) => {
    event.preventDefault();
    act(null, finish);
  });
  $("enrol").addEventListener("toggle", () => $("enrol").open || stopCamera());
}

async function refresh() {
  const known = await act(null, () => get("/api/v1/faces"));
  if (!known) return;
  const shown = known.shown_by.length
    ? `Shown on: ${known.shown_by.join(", ")}.`
    : "No stream shows them: video.whitelist.enabled is off.";
  $("people-note").textContent = known.people.length ? shown : "Nobody is enrolled. Every face is hidden.";
  $("people").replaceChildren(
    ...known.people.map((person) =>
      make("li", {},
        make("div", {}, make("span", { text: person.name }), make("small", { text: `${person.shots} photographs` })),
        make("button", { text: "Remove", attrs: { type: "button", "aria-label": `Remove ${person.name}` },
          on: { click: (event) => forget(event.currentTarget, person.name) } }),
      ),
    ),
  );
}

async function forget(button, name) {
  const sure = await ask({ title: `Remove ${name}?`, text: "This face is hidden again, for good.", yes: "Remove" });
  if (sure === null) return;
  await act(button, () => remove(`/api/v1/faces/${encodeURIComponent(name)}`));
  refresh();
}

function person() {
  const field = $("person");
  if (field.reportValidity()) return encodeURIComponent(field.value.trim());
  throw new Error("Enter a name first.");
}

async function startCamera() {
  if (!navigator.mediaDevices?.getUserMedia) {
    throw new Error("The browser gives no camera to this page: open it by https or on the box itself, or choose files.");
  }
  try {
    film = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user", width: { ideal: 1280 } } });
  } catch {
    throw new Error("The camera could not be opened. Allow it in the browser, or choose files.");
  }
  $("viewfinder").srcObject = film;
  $("camera").hidden = $("shoot").hidden = false;
  $("start-camera").hidden = true;
  guide();
}

function stopCamera() {
  film?.getTracks().forEach((track) => track.stop());
  film = null;
  $("viewfinder").srcObject = null;
  $("camera").hidden = $("shoot").hidden = true;
  $("start-camera").hidden = false;
}

async function shoot() {
  const view = $("viewfinder");
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [view.videoWidth, view.videoHeight];
  canvas.getContext("2d").drawImage(view, 0, 0);
  const picture = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.92));
  await judge(picture, "image/jpeg", "Picture");
}

async function chooseFiles() {
  const files = [...$("files").files];
  $("files").value = "";
  for (const file of files) await judge(file, file.type, file.name);
}

async function judge(picture, type, title) {
  const verdict = await upload(`/api/v1/faces/${person()}/shots`, picture, type);
  count = verdict;
  const text = verdict.accepted ? `${title}: good` : `${title}: ${verdict.problem}`;
  $("shots").prepend(make("li", { text, cls: verdict.accepted ? "good" : "bad" }));
  guide();
}

function guide() {
  const ready = count.good >= count.wanted;
  $("finish").disabled = !ready;
  $("guide").textContent = ready
    ? "That is enough. Enrol, or add more."
    : `${count.good} of ${count.wanted} good pictures. ${film ? (STEPS[count.good] ?? STEPS[0]) : ""}`;
}

async function finish() {
  const name = person();
  await post(`/api/v1/faces/${name}`, { replace: false });
  count = { good: 0, wanted: count.wanted };
  $("shots").replaceChildren();
  $("person").value = "";
  stopCamera();
  guide();
  $("guide").textContent = "Enrolled.";
  $("enrol").open = false;
  refresh();
}

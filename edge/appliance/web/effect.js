// How things are hidden: effect, strength, room; and undoing the last change.

import { get, patch, post } from "./api.js";
import { $, act } from "./dom.js";

const KEYS = { type: "blur.type", cells: "blur.cells", pad: "blur.pad" };

let stream = null;
let revision = -1;
let started = false;
let turn = Promise.resolve();

// One change after the other: the box refuses one that comes while another is being taken.
const inTurn = (control, action) => (turn = turn.then(() => act(control, action)));

export async function showEffect(status, name) {
  if (name === null || (name === stream && status.revision === revision)) return;
  [stream, revision] = [name, status.revision];
  const config = await act(null, () => get("/api/v1/config"));
  const blur = config?.streams[name]?.settings.blur;
  if (!blur) return;
  const form = $("effect");
  form.elements.type.value = blur.type;
  form.elements.cells.value = blur.cells;
  form.elements.pad.value = blur.pad;
  $("undo").disabled = !config.can_undo;
  values();
}

function values() {
  const { cells, pad, type } = $("effect").elements;
  $("cells-value").textContent = cells.value;
  $("pad-value").textContent = `${Math.round(pad.value * 100)} %`;
  cells.disabled = type.value === "solid";
}

export function startEffect() {
  if (started) return;
  started = true;
  $("effect").addEventListener("input", values);
  $("effect").addEventListener("submit", (event) => event.preventDefault());
  $("effect").addEventListener("change", (event) => {
    const { name, value } = event.target;
    if (!(name in KEYS)) return;
    const wanted = name === "type" ? value : Number(value);
    inTurn(null, async () => {
      try {
        await patch("/api/v1/config", { streams: { [stream]: { [KEYS[name]]: wanted } } });
      } finally {
        revision = -1;
      }
    });
  });
  $("undo").addEventListener("click", () =>
    inTurn($("undo"), async () => {
      await post("/api/v1/config/undo", { reason: null });
      revision = -1;
    }),
  );
}

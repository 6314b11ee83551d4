// The dump button. Pressed: at once, without a question. Back: asked, since pictures show again.

import { post } from "./api.js";
import { $, act, ask } from "./dom.js";

let on = false;

export function showPanic(panic) {
  on = panic.on;
  const button = $("panic");
  button.classList.toggle("on", on);
  const text = on ? "Everything is hidden – show again" : "Hide everything";
  if (button.textContent !== text) button.textContent = text;
}

$("panic").addEventListener("click", async () => {
  if (!on) {
    const panic = await act(null, () => post("/api/v1/panic"));
    if (panic) showPanic(panic);
    return;
  }
  const reason = await ask({
    title: "Show again?",
    text: "Pictures and sound leave again as they are judged.",
    yes: "Show again",
  });
  if (reason === null) return;
  const panic = await act($("panic"), () => post("/api/v1/resume"));
  if (panic) showPanic(panic);
});

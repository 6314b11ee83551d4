// Small helpers for the page. Text from the box is only ever set as text, never as markup.

export const $ = (id) => document.getElementById(id);

export function make(tag, { text, cls, attrs, on } = {}, ...children) {
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = text;
  if (cls) node.className = cls;
  for (const [name, value] of Object.entries(attrs ?? {})) node.setAttribute(name, value);
  for (const [name, action] of Object.entries(on ?? {})) node.addEventListener(name, action);
  node.append(...children);
  return node;
}

export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

let hiding = 0;

export function notice(text) {
  $("notice").textContent = text;
  $("notice").hidden = !text;
  clearTimeout(hiding);
  if (text) hiding = setTimeout(() => notice(""), 12000);
}

// Runs what a control does; says what went wrong. The control is disabled meanwhile.
export async function act(control, action) {
  if (control) control.disabled = true;
  try {
    notice("");
    return await action();
  } catch (error) {
    notice(error.message);
    return undefined;
  } finally {
    if (control) control.disabled = false;
  }
}

// Asks in a dialog. Resolves to the reason, "" where none was given, or null: cancelled.
export function ask({ title, text, yes, reason = "none" }) {
  const dialog = $("ask");
  $("ask-title").textContent = title;
  $("ask-text").textContent = text;
  $("ask-yes").textContent = yes;
  const field = $("ask-reason");
  field.value = "";
  field.required = reason === "required";
  field.hidden = $("ask-label").hidden = reason === "none";
  return new Promise((resolve) => {
    const settle = (value) => {
      dialog.removeEventListener("close", cancelled);
      $("ask-form").onsubmit = $("ask-no").onclick = null;
      if (dialog.open) dialog.close();
      resolve(value);
    };
    const cancelled = () => settle(null);
    dialog.addEventListener("close", cancelled);
    $("ask-no").onclick = cancelled;
    $("ask-form").onsubmit = (event) => {
      event.preventDefault();
      settle(field.value.trim());
    };
    dialog.showModal();
    (reason === "none" ? $("ask-no") : field).focus();
  });
}

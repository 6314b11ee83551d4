// Requests to the box. Whatever fails becomes an Error whose message can be shown as it is.

let csrf = "";

export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function send(method, path, body, type) {
  const headers = {};
  if (method !== "GET") headers["X-CSRF-Token"] = csrf;
  if (body !== undefined) headers["Content-Type"] = type ?? "application/json";
  let answer;
  try {
    answer = await fetch(path, {
      method,
      headers,
      body: body === undefined || type ? body : JSON.stringify(body),
      credentials: "same-origin",
      cache: "no-store",
    });
  } catch {
    throw new ApiError(0, "The box does not answer. Check that it is on and in this network.");
  }
  const isJson = answer.status !== 204 && (answer.headers.get("content-type") ?? "").includes("json");
  const data = isJson ? await answer.json() : null;
  if (!answer.ok) {
    const wait = answer.headers.get("retry-after");
    const detail = data?.detail ?? `The box refused this (${answer.status}).`;
    throw new ApiError(answer.status, wait ? `${detail} (${wait} s)` : detail);
  }
  return data;
}

export const get = (path) => send("GET", path);
export const post = (path, body) => send("POST", path, body);
export const patch = (path, body) => send("PATCH", path, body);
export const remove = (path) => send("DELETE", path);
export const upload = (path, file, type) => send("POST", path, file, type);

export async function login(token) {
  csrf = (await send("POST", "/api/v1/login", { token })).csrf;
}

export async function resumeSession() {
  csrf = (await get("/api/v1/session")).csrf;
}

export async function logout() {
  await post("/api/v1/logout");
  csrf = "";
}

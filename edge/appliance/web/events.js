// Follows the box on a web socket, again and again until it is stopped.

const LONGEST_WAIT_MS = 10000;

export class Events {
  #socket = null;
  #wait = 500;
  #timer = 0;
  #running = false;

  constructor(listeners) {
    this.listeners = listeners;
  }

  start() {
    if (this.#running) return;
    this.#running = true;
    this.#connect();
  }

  stop() {
    this.#running = false;
    clearTimeout(this.#timer);
    this.#socket?.close();
  }

  #connect() {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}/api/v1/events`);
    this.#socket = socket;
    socket.onmessage = (message) => {
      this.#wait = 500;
      const data = JSON.parse(message.data);
      if (data.type === "status" && data.status) this.listeners.status(data.status);
      if (data.type === "events") this.listeners.events(data.events);
    };
    socket.onclose = () => {
      if (!this.#running) return;
      this.listeners.lost();
      this.#timer = setTimeout(() => this.#again(), this.#wait);
      this.#wait = Math.min(this.#wait * 2, LONGEST_WAIT_MS);
    };
  }

  // A session that has ended looks like a lost connection to a web socket: asked for here.
  async #again() {
    try {
      const answer = await fetch("/api/v1/session", { cache: "no-store" });
      if (answer.status === 401) {
        this.listeners.refused();
        return;
      }
    } catch {
      // The box is away; the next attempt will tell.
    }
    if (this.#running) this.#connect();
  }
}

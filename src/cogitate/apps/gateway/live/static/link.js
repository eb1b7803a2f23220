// Talking to the server: data, the door, and the stream of changes.

const ROOT = "/ui";
const AGAIN_MS = 2500;

export class Shut extends Error {}

export async function ask(path) {
  const reply = await fetch(ROOT + path, { headers: { Accept: "application/json" } });
  if (reply.status === 401) throw new Shut("a key is needed");
  const said = await reply.json().catch(() => ({}));
  if (!reply.ok) {
    const error = new Error(wrong(said) || `the server answered ${reply.status}`);
    error.status = reply.status;
    throw error;
  }
  return said;
}

function wrong(said) {
  const error = said?.error ?? said?.detail;
  return typeof error === "string" ? error : String(error?.message ?? "");
}

async function post(path, value) {
  return fetch(ROOT + path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(value),
  });
}

/** Show a key; says what is wrong with it, or nothing. */
export async function enter(key) {
  const reply = await post("/login", { key });
  if (reply.ok) return "";
  if (reply.status === 401) return "This key opens nothing here.";
  return wrong(await reply.json().catch(() => ({}))) || `The server answered ${reply.status}.`;
}

export const leave = () => post("/logout", {});

/** What a run is asked at: requests by their stream, journals whole. */
export const requestAt = (id) => `/api/requests/${encodeURIComponent(id)}`;
export const journalQuery = (name, task) =>
  "?" + new URLSearchParams(task ? { name, task } : { name }).toString();

/** The changes of a request; goes on where it stopped until it ends or is closed. */
export class Stream {
  constructor(id, hear) {
    this.id = id;
    this.hear = hear;
    this.last = "";
    this.open();
  }

  open() {
    const since = this.last ? `?since=${encodeURIComponent(this.last)}` : "";
    const source = (this.source = new EventSource(`${ROOT}${requestAt(this.id)}/events${since}`));
    const take = (kind) => (event) => {
      if (event.lastEventId) this.last = event.lastEventId;
      this.hear(kind, JSON.parse(event.data));
    };
    source.addEventListener("part", take("part"));
    source.addEventListener("look", take("look"));
    source.addEventListener("end", () => {
      this.close();
      this.hear("end", {});
    });
    source.onopen = () => this.hear("open", {});
    source.onerror = () => {
      if (source !== this.source) return;
      this.hear("lost", {});
      if (source.readyState === EventSource.CLOSED) this.again();
    };
  }

  /** A browser gives up after an error status: find out why, and try again unless there is nothing to try. */
  async again() {
    try {
      await ask(`${requestAt(this.id)}/nodes/0`);
    } catch (error) {
      if (error instanceof Shut) return this.hear("shut", {});
      if (error.status === 404 && !/no such node/.test(error.message)) return this.hear("gone", { why: error.message });
    }
    this.timer = setTimeout(() => this.source && this.open(), AGAIN_MS);
  }

  close() {
    clearTimeout(this.timer);
    this.source?.close();
    this.source = null;
  }
}

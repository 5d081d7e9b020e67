// One WebSocket to the run, opened again when it breaks.

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 5000;
const TOO_MANY = 1013;

export class Connection {
  #socket = null;
  #wait = FIRST_WAIT_MS;
  #owed = false;
  #on;

  // on: {state(object), frame(facts, jpeg) → promise, error(text), open(), closed(reason)}
  constructor(on) {
    this.#on = on;
    document.addEventListener("visibilitychange", () => this.#ready());
    this.#open();
  }

  send(message) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  #open() {
    const address = new URL("frames", document.baseURI);
    address.protocol = "ws:";
    const socket = new WebSocket(address);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      this.#wait = FIRST_WAIT_MS;
      this.#on.open();
      this.#owe();
    };
    socket.onmessage = (event) => this.#take(event.data);
    socket.onclose = (event) => {
      this.#owed = false;
      this.#on.closed(event.code === TOO_MANY ? event.reason : "");
      setTimeout(() => this.#open(), this.#wait * (0.8 + 0.4 * Math.random()));
      this.#wait = Math.min(2 * this.#wait, LONGEST_WAIT_MS);
    };
    this.#socket = socket;
  }

  async #take(data) {
    if (typeof data === "string") {
      const message = JSON.parse(data);
      if (message.type === "state") this.#on.state(message);
      else if (message.type === "error") this.#on.error(message.text);
      return;
    }
    const came = this.#socket;
    const length = new DataView(data).getUint32(0);
    const facts = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
    try {
      await this.#on.frame(facts, new Uint8Array(data, 4 + length));
    } catch (error) {
      this.#on.error(`A frame could not be shown: ${error.message}`);
    }
    if (came === this.#socket) this.#owe();
  }

  // The next frame is asked for when this one is shown; a page that nobody sees asks for none.
  #owe() {
    this.#owed = true;
    this.#ready();
  }

  #ready() {
    if (this.#owed && !document.hidden && this.send({ type: "ready" })) this.#owed = false;
  }
}

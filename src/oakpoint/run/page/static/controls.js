// Sliders for the task's parameters and switches for what is drawn, as the run's state names them.

const STEPS = 240; // of a logarithmic slider
const SEND_EVERY_MS = 40;
const OWN_FOR_MS = 400; // so long after it was moved, a slider does not follow the state, which may be older

export class Knobs {
  #box;
  #send;
  #knobs = new Map();

  constructor(box, send) {
    this.#box = box;
    this.#send = send;
  }

  show(knobs) {
    const names = knobs.map((knob) => knob.name);
    if (names.join() !== [...this.#knobs.keys()].join()) {
      this.#box.replaceChildren();
      this.#knobs.clear();
      for (const knob of knobs) this.#knobs.set(knob.name, new Slider(this.#box, knob, this.#send));
    }
    for (const knob of knobs) this.#knobs.get(knob.name).show(knob);
  }
}

class Slider {
  #knob;
  #input;
  #output;
  #reset;
  #send;
  #movedAt = -Infinity;
  #timer = null;

  constructor(box, knob, send) {
    this.#send = send;
    this.#knob = knob;
    const part = document.createElement("div");
    part.className = "knob";
    const label = document.createElement("label");
    label.textContent = knob.label;
    this.#input = document.createElement("input");
    this.#input.type = "range";
    this.#input.id = label.htmlFor = `knob-${knob.name}`;
    if (knob.scale === "log") Object.assign(this.#input, { min: 0, max: STEPS, step: 1 });
    else Object.assign(this.#input, { min: knob.low, max: knob.high, step: knob.whole ? 1 : (knob.high - knob.low) / 100 });
    this.#output = document.createElement("output");
    this.#output.htmlFor = this.#input.id;
    this.#output.setAttribute("aria-live", "off"); // the slider itself says its value
    this.#reset = document.createElement("button");
    this.#reset.type = "button";
    this.#reset.textContent = "Reset";
    this.#reset.setAttribute("aria-label", `Reset ${knob.label}`);
    part.append(label, this.#reset, this.#output, this.#input);
    box.append(part);
    this.#input.addEventListener("input", () => this.#moved());
    this.#reset.addEventListener("click", () => {
      this.#movedAt = -Infinity;
      this.#send({ type: "knobs", values: { [this.#knob.name]: null } });
      this.#input.focus();
    });
  }

  show(knob) {
    this.#knob = knob;
    this.#reset.disabled = knob.value === knob.opened;
    const wait = this.#movedAt + OWN_FOR_MS - performance.now();
    if (wait > 0) {
      setTimeout(() => this.show(this.#knob), wait + 10);
      return;
    }
    this.#input.value = knob.value === null ? this.#input.max : position(knob, knob.value);
    this.#tell(knob.value);
  }

  #moved() {
    this.#movedAt = performance.now();
    this.#tell(value(this.#knob, Number(this.#input.value)));
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      this.#send({ type: "knobs", values: { [this.#knob.name]: value(this.#knob, Number(this.#input.value)) } });
    }, SEND_EVERY_MS);
  }

  #tell(number) {
    const text = number === null ? "no limit" : written(number);
    this.#output.textContent = text;
    this.#input.setAttribute("aria-valuetext", text);
  }
}

// The least value of a logarithmic slider's second place; its first one is the lowest there is.
const base = (knob) => (knob.low > 0 ? knob.low : knob.whole ? 1 : 1e-4);

function value(knob, place) {
  let number = place;
  if (knob.scale === "log") number = place === 0 ? knob.low : base(knob) * (knob.high / base(knob)) ** (place / STEPS);
  if (knob.whole) return Math.round(number);
  return Math.min(Math.max(Number(number.toPrecision(3)), knob.low), knob.high);
}

function position(knob, number) {
  if (knob.scale !== "log") return number;
  if (number <= knob.low) return 0;
  return Math.round(Math.max(1, (STEPS * Math.log(number / base(knob))) / Math.log(knob.high / base(knob))));
}

const written = (number) => (Number.isInteger(number) ? String(number) : String(Number(number.toPrecision(3))));

export class Toggles {
  #box;
  #send;
  #boxes = new Map();

  constructor(box, send) {
    this.#box = box;
    this.#send = send;
  }

  show(toggles) {
    const names = toggles.map((toggle) => toggle.name);
    if (names.join() !== [...this.#boxes.keys()].join()) {
      this.#box.replaceChildren();
      this.#boxes.clear();
      for (const toggle of toggles) this.#boxes.set(toggle.name, this.#add(toggle));
    }
    for (const toggle of toggles) this.#boxes.get(toggle.name).checked = toggle.on;
  }

  #add(toggle) {
    const label = document.createElement("label");
    label.className = "check";
    const input = document.createElement("input");
    input.type = "checkbox";
    input.id = `draw-${toggle.name}`;
    input.addEventListener("change", () => this.#send({ type: "drawn", values: { [toggle.name]: input.checked } }));
    label.append(input, ` ${toggle.label}`);
    this.#box.append(label);
    return input;
  }
}

// Small moving charts: the last half minute of a figure, in a row of a table with its name and its present value.

const SPAN_MS = 30000;
const still = matchMedia("(prefers-reduced-motion: reduce)");

const paceMs = () => (still.matches ? 2000 : 200);

export class ChartTable {
  #body;
  #rows = new Map();
  #shared;
  #painted = 0;

  // shared: all charts have one scale, so that they can be compared.
  constructor(table, { shared }) {
    this.#body = table.tBodies[0];
    this.#shared = shared;
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#paint(performance.now()));
    new ResizeObserver(() => this.#paint(performance.now())).observe(table);
  }

  // figures: [[name, value or null, text], …] in their order.
  put(figures) {
    const now = performance.now();
    for (const [name, value, text] of figures) {
      const row = this.#rows.get(name) ?? this.#add(name);
      row.text = text;
      if (value !== null) row.points.push([now, value]);
      while (row.points.length && now - row.points[0][0] > SPAN_MS + 1000) row.points.shift();
    }
    if (now - this.#painted >= paceMs()) this.#paint(now);
  }

  clear() {
    this.#rows.clear();
    this.#body.replaceChildren();
  }

  #add(name) {
    const line = this.#body.insertRow();
    const head = document.createElement("th");
    head.scope = "row";
    head.textContent = name;
    const canvas = document.createElement("canvas");
    canvas.setAttribute("aria-hidden", "true"); // its present value stands beside it
    line.append(head);
    line.insertCell().append(canvas);
    const row = { canvas, cell: line.insertCell(), points: [], text: "" };
    this.#rows.set(name, row);
    this.#painted = 0;
    return row;
  }

  #paint(now) {
    this.#painted = now;
    const most = (points) => Math.max(1e-9, ...points.map((point) => point[1]));
    const all = this.#shared ? Math.max(1e-9, ...[...this.#rows.values()].map((row) => most(row.points))) : null;
    for (const row of this.#rows.values()) {
      if (row.cell.textContent !== row.text) row.cell.textContent = row.text;
      trace(row.canvas, row.points, all ?? most(row.points), now);
    }
  }
}

function trace(canvas, points, top, now) {
  const scale = window.devicePixelRatio || 1;
  const width = Math.round(canvas.clientWidth * scale);
  const height = Math.round(canvas.clientHeight * scale);
  if (!width || !height) return;
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const pen = canvas.getContext("2d");
  pen.clearRect(0, 0, width, height);
  if (!points.length) return;
  const edge = 2 * scale;
  const x = (time) => width - edge - ((now - time) / SPAN_MS) * width;
  const y = (value) => height - edge - (Math.max(value, 0) / top) * (height - 2 * edge);
  const colour = getComputedStyle(canvas).color;
  pen.beginPath();
  for (const [time, value] of points) pen.lineTo(x(time), y(value));
  pen.lineTo(width - edge, y(points.at(-1)[1]));
  pen.strokeStyle = colour;
  pen.lineWidth = 1.5 * scale;
  pen.lineJoin = "round";
  pen.stroke();
  pen.lineTo(width - edge, height);
  pen.lineTo(x(points[0][0]), height);
  pen.closePath();
  pen.globalAlpha = 0.14;
  pen.fillStyle = colour;
  pen.fill();
  pen.globalAlpha = 1;
}

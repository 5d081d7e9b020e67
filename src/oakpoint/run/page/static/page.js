// The page: frames and facts as they come, and the controls of the run.

import { ChartTable } from "./charts.js";
import { Connection } from "./connection.js";
import { Knobs, Toggles } from "./controls.js";

const part = (id) => document.getElementById(id);
const MESSAGE_MS = 8000;
const LABEL_EVERY_MS = 2000;

const picture = part("picture");
const pen = picture.getContext("2d", { alpha: false });
const found = new ChartTable(part("found"), { shared: false });
const stages = new ChartTable(part("stages"), { shared: true });

let state = null;
let isOpen = false;
let showMs = null;
let labelledAt = -Infinity;
let messageTimer = null;
let recordedFrom = null;

const connection = new Connection({ state: takeState, frame: takeFrame, error: fail, open: opened, closed });
const knobs = new Knobs(part("knobs"), send);
const toggles = new Toggles(part("toggles"), send);

function send(message) {
  if (!connection.send(message)) fail("Not connected to the run.");
}

function say(text, kind = "note") {
  clearTimeout(messageTimer);
  part("message").textContent = text;
  part("message").dataset.kind = kind;
  if (kind === "note") messageTimer = setTimeout(() => (part("message").textContent = ""), MESSAGE_MS);
}

function fail(text) {
  say(text, "error");
}

// Connection

function opened() {
  isOpen = true;
  found.clear();
  stages.clear();
}

function closed(reason) {
  isOpen = false;
  const words = state?.ended === "run" ? "The run has ended" : "Not connected, trying again …";
  showConnection(reason || words, "closed");
  enable();
}

function showConnection(text, kind) {
  const line = part("connection");
  if (line.textContent !== text) line.textContent = text;
  line.dataset.state = kind;
}

// State

function takeState(now) {
  const before = state;
  state = now;
  document.title = `${now.network} · ${now.source}`;
  part("network").textContent = now.network;
  part("source").textContent = now.source;
  part("notice").hidden = !now.notice;
  part("notice").textContent = now.notice ?? "";
  const ended = { source: "The source has ended", run: "The run has ended" }[now.ended];
  showConnection(ended ?? (now.paused ? "Paused" : "Running"), ended || now.paused ? "waiting" : "open");
  knobs.show(now.knobs);
  toggles.show(now.toggles);
  part("pause").setAttribute("aria-pressed", String(now.paused));
  showRecordings(before, now);
  enable();
}

function showRecordings(before, now) {
  part("record").setAttribute("aria-pressed", String(now.recording !== null));
  recordedFrom = now.recording === null ? null : performance.now() - 1000 * now.recording_s;
  showElapsed();
  const names = now.recordings;
  part("recorded").hidden = names.length === 0;
  part("folder").textContent = now.recordings_folder;
  if (names.length !== part("recordings").children.length) {
    part("recordings").replaceChildren(...names.map(recordingLink));
  }
  if (now.recording_failure && now.recording_failure !== before?.recording_failure) {
    fail(`The recording ended: ${now.recording_failure}`);
  } else if (before && names.length > before.recordings.length) {
    say(`Recorded ${names.at(-1)}`);
  } else if (before && now.recording && !before.recording) {
    say("Recording");
  }
}

const recordingAddress = (name) => `recordings/${encodeURIComponent(name)}`;

function recordingLink(name) {
  const link = document.createElement("a");
  link.href = recordingAddress(name);
  link.download = name;
  link.textContent = name;
  const item = document.createElement("li");
  item.append(link);
  return item;
}

function showElapsed() {
  const seconds = recordedFrom === null ? null : Math.max(0, Math.floor((performance.now() - recordedFrom) / 1000));
  part("elapsed").textContent =
    seconds === null ? "" : `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

setInterval(showElapsed, 500);

function enable() {
  const runs = isOpen && state !== null && state.ended === null;
  part("pause").disabled = part("step").disabled = !runs;
  part("record").disabled = !runs && !(isOpen && state?.recording);
  const links = [[part("snapshot"), "snapshot.png"]];
  for (const link of part("recordings").querySelectorAll("a")) links.push([link, recordingAddress(link.download)]);
  for (const [link, address] of links) {
    if (isOpen) link.href = address;
    else link.removeAttribute("href");
    link.setAttribute("aria-disabled", String(!isOpen));
  }
  for (const input of document.querySelectorAll("#knobs input, #toggles input")) input.disabled = !isOpen;
}

// Frames

async function takeFrame(facts, jpeg) {
  const came = performance.now();
  const bitmap = await createImageBitmap(new Blob([jpeg], { type: "image/jpeg" }));
  if (picture.width !== bitmap.width || picture.height !== bitmap.height) {
    Object.assign(picture, { width: bitmap.width, height: bitmap.height });
  }
  pen.drawImage(bitmap, 0, 0);
  bitmap.close();
  showMs = performance.now() - came;
  picture.dataset.facts = JSON.stringify(facts);
  showFacts(facts);
}

function showFacts(facts) {
  const where = [facts.name ?? `frame ${facts.index}`];
  if (facts.name !== null && facts.time_s !== null) where.push(`${facts.time_s.toFixed(2)} s`);
  part("caption").textContent = where.join(" · ");
  part("size").textContent = `${facts.size[0]}×${facts.size[1]}`;
  const words = facts.figures.filter((figure) => !/^\d+ \D+$/.test(figure)).join(", ");
  part("words").hidden = !words;
  if (part("words").textContent !== words) part("words").textContent = words;
  const rate = facts.rate_fps;
  found.put([
    ...Object.entries(facts.counts).map(([name, count]) => [name, count, String(count)]),
    ...(rate === null ? [] : [["frame rate", rate, `${rate.toFixed(1)} fps`]]),
  ]);
  const times = Object.entries(facts.stages_ms);
  if (facts.latency_ms !== null) times.unshift(["latency", facts.latency_ms]);
  times.push(["show", showMs]);
  stages.put(times.map(([name, ms]) => [name, ms, ms.toFixed(1)]));
  const now = performance.now();
  if (now - labelledAt > LABEL_EVERY_MS || state?.paused || state?.ended) {
    labelledAt = now;
    picture.setAttribute("aria-label", `${where.join(", ")}: ${facts.figures.join(", ") || "nothing found"}`);
  }
}

// Actions

part("pause").addEventListener("click", () => send({ type: "pause", paused: !state.paused }));
part("step").addEventListener("click", () => send({ type: "step" }));
part("record").addEventListener("click", () => send({ type: "record", on: state.recording === null }));

const KEYS = { " ": "pause", ArrowRight: "step", s: "snapshot", r: "record" };

document.addEventListener("keydown", (event) => {
  const name = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  const isElsewhere = event.target.closest("input, button, a, summary, textarea, select");
  if (!name || isElsewhere || event.ctrlKey || event.altKey || event.metaKey || event.repeat) return;
  if (!part("shortcuts").checked) return;
  event.preventDefault();
  part(name).click();
});

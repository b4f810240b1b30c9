// The page itself: which step is selected, which connections are shown, and what the keys do.

const byId = id => document.getElementById(id);
/** `shown`: the connections to show, or null for all. */
const view = { at: failing >= 0 ? failing : 0, shown: null, width: 22, timer: null };
let layout = layOut(null);

/** Selects a step, and brings it into sight. */
function select(at) {
  if (!isShown(at)) return show(null, at);
  const before = byId("log").querySelector('[aria-selected="true"]');
  before?.setAttribute("aria-selected", "false");
  view.at = Math.max(0, Math.min(count - 1, at));
  const row = byId(`s${view.at}`);
  row.setAttribute("aria-selected", "true");
  byId("log").setAttribute("aria-activedescendant", row.id);
  byId("slider").value = view.at;
  const step = run.steps[view.at];
  const words = `step ${view.at + dropped + 1} of ${dropped + count}`;
  byId("slider").setAttribute("aria-valuetext", `${words}: ${step.text}`);
  byId("where").textContent = `${words} · ${clock(step.t)}`;
  byId("state").innerHTML = stateWords(view.at, view.shown);
  byId("words").addEventListener("toggle", event => { wordsOpen = event.target.open; });
  reveal(row);
  draw();
}

/** Scrolls the log and the time line so that the selected step is in sight. */
function reveal(row) {
  const logs = byId("logs");
  const [top, bottom] = [row.offsetTop, row.offsetTop + row.offsetHeight];
  if (top < logs.scrollTop + 30 || bottom > logs.scrollTop + logs.clientHeight - 30) {
    logs.scrollTop = top - logs.clientHeight * 0.6;
  }
  const lanes = byId("lanes");
  const x = view.at * view.width, seen = lanes.clientWidth - LABEL;
  if (x < lanes.scrollLeft + view.width || x + 2 * view.width > lanes.scrollLeft + seen) {
    lanes.scrollLeft = x - seen * 0.7;
  }
}

/** Draws what is in sight of the time line. */
function draw() {
  const lanes = byId("lanes"), { width } = view;
  const seen = lanes.clientWidth - LABEL;
  const from = Math.max(0, Math.floor(lanes.scrollLeft / width) - 1);
  const to = Math.min(count, Math.ceil((lanes.scrollLeft + seen) / width) + 1);
  const sight = { from, to, left: lanes.scrollLeft, top: lanes.scrollTop - 50, bottom: lanes.scrollTop + lanes.clientHeight + 50 };
  const svg = (body, height) => {
    const wide = Math.max(1, (to - from) * width);
    return `<svg aria-hidden="true" width="${wide}" height="${height}" viewBox="${from * width} 0 ${wide} ${height}">${body}</svg>`;
  };
  const canvas = byId("canvas"), ruler = byId("ruler");
  canvas.innerHTML = `<div style="left:${from * width + LABEL}px">${svg(drawRows(layout, sight, width, view.at), layout.height)}</div>`;
  ruler.innerHTML = `<span>step</span><span>turn</span><span>time</span>
    <div><div style="left:${from * width - lanes.scrollLeft}px">${svg(drawRuler(sight, width, view.at), 50)}</div></div>`;
}

/** Makes as much room for the time line as it needs. */
function resize() {
  byId("rows").style.height = `${layout.height}px`;
  byId("canvas").style.height = `${layout.height}px`;
  byId("canvas").style.width = `${count * view.width + LABEL}px`;
}

/** Shows some connections only, or all, and selects a step that is shown. */
function show(shown, at = view.at) {
  view.shown = shown && shown.size > 0 ? shown : null;
  layout = layOut(view.shown);
  byId("rows").innerHTML = labels(layout);
  resize();
  for (const row of byId("log").children) row.hidden = !isShown(Number(row.dataset.at));
  filterChips();
  if (!isShown(at)) at = nextShown(at, nextShown(at, -1) === at ? 1 : -1);
  if (isShown(at)) select(at);
}

function isShown(at) {
  if (view.shown === null || at === failing) return true;
  for (const id of touched[at]) if (view.shown.has(id)) return true;
  return false;
}

/** The next step that is shown, ahead or back. */
function nextShown(at, by) {
  for (let next = at + by; next >= 0 && next < count; next += by) if (isShown(next)) return next;
  return at;
}

/** The beginning of the next turn, ahead or back. */
function nextTurn(at, by) {
  const begins = turns.map(turn => turn.from);
  return (by > 0 ? begins.find(from => from > at) : begins.reverse().find(from => from < at)) ?? at;
}

function filterChips() {
  const chip = (id, words, on, cls = "") =>
    `<button class="chip ${cls}" data-chip="${id}" aria-pressed="${on}">${words}</button>`;
  const chips = run.conns.map(conn => chip(conn.id, `${conn.id}${conn.listener ? " listener" : ""}`,
    view.shown?.has(conn.id) ?? false, conn.id === focus ? "focus" : ""));
  const pressed = document.activeElement?.dataset?.chip;
  byId("filter").innerHTML = `<span>Show</span>${chip("", "all connections", view.shown === null)}${chips.join("")}`;
  if (pressed !== undefined) byId("filter").querySelector(`[data-chip="${pressed}"]`)?.focus();
}

function toggleChip(id) {
  if (id === "") return show(null);
  const shown = new Set(view.shown ?? []);
  if (!shown.delete(id)) shown.add(id);
  show(shown);
}

function zoom(by) {
  const lanes = byId("lanes");
  const place = view.at * view.width - lanes.scrollLeft;
  view.width = Math.max(6, Math.min(60, Math.round(view.width * by)));
  resize();
  lanes.scrollLeft = view.at * view.width - place;
  draw();
}

function play() {
  const playing = view.timer !== null;
  clearInterval(view.timer);
  view.timer = playing ? null : setInterval(() => {
    const next = nextShown(view.at, 1);
    if (next === view.at) play(); else select(next);
  }, 250);
  byId("play").textContent = playing ? "▶" : "II";
  byId("play").setAttribute("aria-label", playing ? "Play" : "Pause");
}

function legend() {
  const hidden = byId("legend").hidden = !byId("legend").hidden;
  byId("help").setAttribute("aria-expanded", String(!hidden));
  draw();
}

const KEYS = {
  ArrowRight: event => select(event.shiftKey ? nextTurn(view.at, 1) : nextShown(view.at, 1)),
  ArrowLeft: event => select(event.shiftKey ? nextTurn(view.at, -1) : nextShown(view.at, -1)),
  ArrowDown: () => select(nextShown(view.at, 1)),
  ArrowUp: () => select(nextShown(view.at, -1)),
  Home: () => select(nextShown(-1, 1)),
  End: () => select(nextShown(count, -1)),
  f: () => failing >= 0 && select(failing),
  a: () => show(null),
  " ": play,
  "+": () => zoom(1.25),
  "=": () => zoom(1.25),
  "-": () => zoom(0.8),
  "?": legend,
};

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const target = event.target;
  const scrolls = target === byId("state") || target.closest?.("#state");
  if (scrolls && (event.key === "ArrowDown" || event.key === "ArrowUp")) return;
  const presses = target.closest?.("button, summary");
  if (presses && (event.key === " " || event.key === "Enter")) return;
  const action = KEYS[event.key] ?? KEYS[event.key.toLowerCase()];
  if (!action) return;
  event.preventDefault();
  action(event);
}

function onClick(event) {
  const on = what => event.target.closest(what);
  const [go, chip, row, label] = [on("[data-go]"), on("[data-chip]"), on("[data-at]"), on("[data-lane]")];
  if (go) select(Number(go.dataset.go));
  else if (chip) toggleChip(chip.dataset.chip);
  else if (row && getSelection().isCollapsed) select(Number(row.dataset.at));
  else if (label) toggleChip(label.dataset.lane.split(" ")[0]);
  else if (on("#canvas")) {
    const lanes = byId("lanes");
    const x = event.clientX - lanes.getBoundingClientRect().left - LABEL + lanes.scrollLeft;
    if (x >= 0) select(Math.floor(x / view.width));
  }
}

function copy() {
  const done = () => { byId("copy").textContent = "copied"; };
  const select = () => getSelection().selectAllChildren(document.querySelector(".command code"));
  (navigator.clipboard?.writeText(run.command) ?? Promise.reject()).then(done, select);
}

function start() {
  byId("verdict").innerHTML = verdict();
  byId("story").innerHTML = story();
  byId("plan").innerHTML = planWords();
  byId("legend").innerHTML = legendWords();
  byId("log").innerHTML = logRows();
  byId("slider").max = count - 1;
  byId("fail").hidden = failing < 0;
  document.documentElement.classList.toggle("passed", failing < 0);
  const buttons = {
    first: () => KEYS.Home(), last: () => KEYS.End(), play, help: legend, copy, fail: () => select(failing),
    back: () => select(nextShown(view.at, -1)), next: () => select(nextShown(view.at, 1)),
    narrower: () => zoom(0.8), wider: () => zoom(1.25),
  };
  for (const [id, action] of Object.entries(buttons)) byId(id).addEventListener("click", action);
  byId("slider").addEventListener("input", event => select(Number(event.target.value)));
  byId("lanes").addEventListener("scroll", () => requestAnimationFrame(draw), { passive: true });
  byId("plan").addEventListener("toggle", draw);
  document.addEventListener("keydown", onKey);
  document.addEventListener("click", onClick);
  new ResizeObserver(draw).observe(byId("lanes"));
  // A short run is spread over the width that there is.
  const seen = byId("lanes").clientWidth - LABEL;
  view.width = Math.max(view.width, Math.min(44, Math.floor(seen / count)));
  show(null);
}

if (count > 0) start();

"use strict";
// The run: unpacked from what has changed at each step into what there was after each.

const run = JSON.parse(document.getElementById("data").textContent);
const count = run.steps.length;
/** Steps are counted from the first of the run; the first one here is that many in. */
const dropped = run.dropped;
const opOf = new Map(run.ops.map(op => [op.context, op]));
const lifeOf = new Map(run.conns.map(conn => [conn.id, conn]));

/** After each step: the gauges, the connections by id, and the lines of the model's own words. */
const states = unpack();
/** The connections that each step is about. */
const touched = run.steps.map(touches);
/** The index of the step that broke a rule, and the connection that it is about. */
const failing = run.broken ? run.broken.step - dropped : -1;
const focus = run.broken ? blamed() : null;
/** Which turn each step is in, and where turns and parts of the run begin and end. */
const turns = spans(step => step.sort === "turn", step => step.sort === "user" || step.sort === "phase");
const phases = run.steps.flatMap((step, at) => step.sort === "phase" ? [at] : []);

function unpack() {
  let now = { gauges: {}, conns: {}, model: [] };
  return run.steps.map(step => {
    const conns = step.conns ? { ...now.conns } : now.conns;
    for (const [id, change] of Object.entries(step.conns ?? {})) {
      if (change) conns[id] = { ...conns[id], ...change };
      else delete conns[id];
    }
    let model = now.model;
    if (step.model) {
      const [old, lines] = [model, []];
      let at = 0;
      for (const [keep, out, put] of step.model) {
        lines.push(...old.slice(at, at + keep), ...put);
        at += keep + out;
      }
      model = lines.concat(old.slice(at));
    }
    now = { gauges: step.gauges ?? now.gauges, conns, model };
    return now;
  });
}

function touches(step) {
  const ids = new Set(Object.keys(step.conns ?? {}));
  for (const mark of step.marks ?? []) if (mark.conn) ids.add(mark.conn);
  for (const op of step.ops ?? []) if (opOf.get(op)?.conn) ids.add(opOf.get(op).conn);
  for (const id of idsIn(step.text)) ids.add(id);
  return ids;
}

/** The connections that a text names. */
function idsIn(text) {
  return (text.match(/\bc\d+v\d+\b/g) ?? []).filter(id => lifeOf.has(id));
}

/** The connection that the broken rule is about: one that the check names, or whose operation it names. */
function blamed() {
  const named = idsIn(run.broken.what)[0];
  if (named) return named;
  for (const [, context] of run.broken.what.matchAll(/(?:operation |\()(\d+)\b/g)) {
    const conn = opOf.get(Number(context))?.conn;
    if (conn) return conn;
  }
  const step = run.steps[failing];
  const about = (step?.marks ?? []).map(mark => mark.conn).find(id => id);
  return about ?? (step?.ops ?? []).map(op => opOf.get(op)?.conn).find(id => id) ?? null;
}

/** The pieces of the run that begin where `begins` says so and end before the next, or where `ends` says so. */
function spans(begins, ends) {
  const found = [];
  let open = null;
  run.steps.forEach((step, at) => {
    if (open && (begins(step) || ends(step))) open = null;
    if (begins(step)) found.push(open = { from: at, to: at, turn: states[at].gauges.turns + 1 });
    else if (open) open.to = at;
  });
  return found;
}

/** The step from which on, up to the failing one, the model has differed from the contract or the kernel. */
function partingOf(conn) {
  let at = failing;
  while (at >= 0 && differs(states[at].conns[conn])) at--;
  return at < failing ? at + 1 : null;
}

function differs(conn) {
  if (!conn) return false;
  const lanes = [conn.receive, conn.send];
  return conn.head.model !== conn.head.contract || lanes.some(lane => lost(lane) || unlike(lane));
}

/** The model and the contract do not say the same of a lane. */
function unlike({ model, contract }) {
  return Boolean(model && contract && (model.ready !== contract.ready || model.tainted !== contract.tainted
    || model.ops !== contract.queue.length));
}

/** The kernel would let a call through, the model believes not, and no event is on its way to say so. */
function lost({ model, kernel }) {
  return Boolean(kernel?.ready && !kernel.owed && model && !model.ready && model.ops > 0);
}

/**
 * The way to the failing step, for one connection: the last steps that did something to it, what came right before
 * the end, and the step at which model and contract part.
 */
function wayTo(conn, most) {
  const parting = partingOf(conn);
  // The last ones may be about no connection: a lease that was dropped, a deadline.
  const way = new Set([parting ?? failing, failing, Math.max(0, failing - 1)]);
  for (let at = failing; at >= 0 && way.size < most; at--) if (matters(at, conn)) way.add(at);
  return [...way].sort((a, b) => a - b);
}

/** A step does something to a connection, rather than only being about it; to none in particular, any does. */
function matters(at, conn) {
  const step = run.steps[at];
  if (conn === "") return true;
  const [was, is] = [states[at - 1]?.conns[conn], states[at].conns[conn]];
  const moved = lane => was && is && ["place", "ready", "ops", "tainted", "end"].some(key => was[lane].model?.[key] !== is[lane].model?.[key]);
  return (step.marks ?? []).some(mark => mark.conn === conn && ["call", "event", "end", "wrote"].includes(mark.kind))
    || (step.ops ?? []).some(op => opOf.get(op)?.conn === conn) || moved("receive") || moved("send");
}

/** The first step at which it was at least that many milliseconds, if there is one. */
function stepAt(ms) {
  let low = 0, high = count;
  while (low < high) {
    const mid = (low + high) >> 1;
    if (run.steps[mid].t >= ms) high = mid; else low = mid + 1;
  }
  return low < count ? low : null;
}

/** What a step changed, in words: from what there was before it to what there was after. */
function changesAt(at) {
  const [before, after] = [at > 0 ? states[at - 1] : null, states[at]];
  const said = [];
  const tell = (what, was, is) => {
    if (was !== undefined && is !== undefined && was !== is) said.push({ what, was, is });
  };
  if (!before) return said;
  for (const id of new Set([...Object.keys(before.conns), ...Object.keys(after.conns)])) {
    const [was, is] = [before.conns[id], after.conns[id]];
    if (was === is) continue;
    if (!was) said.push({ what: id, was: "", is: "is there" });
    else if (!is) said.push({ what: id, was: "", is: "is gone" });
    if (!was || !is) continue;
    tell(`${id}`, was.head.model, is.head.model);
    for (const lane of ["receive", "send"]) {
      const name = `${id} ${laneName(id, lane)}`;
      const [a, b] = [was[lane], is[lane]];
      if (a === b) continue;
      tell(name, a.model?.place, b.model?.place);
      tell(name, word(a.model?.ready, "ready", "not ready"), word(b.model?.ready, "ready", "not ready"));
      tell(`${name}, queued`, a.model?.ops, b.model?.ops);
      tell(`${name}, bytes`, a.model?.bytes, b.model?.bytes);
      tell(name, word(a.model?.tainted, "tainted", "not tainted"), word(b.model?.tainted, "tainted", "not tainted"));
      tell(name, a.model && (a.model.end ?? "no end"), b.model && (b.model.end ?? "no end"));
      tell(`${name}, the kernel`, kernelWords(a.kernel), kernelWords(b.kernel));
    }
  }
  const names = { credits: "credits", completions: "completions to take", leases: "leases out", timers: "timers" };
  for (const [key, name] of Object.entries(names)) tell(name, before.gauges[key], after.gauges[key]);
  return said;
}

function word(value, yes, no) {
  return value === undefined ? undefined : value ? yes : no;
}

function kernelWords(kernel) {
  if (!kernel) return undefined;
  return (kernel.ready ? "would not block" : "would block") + (kernel.owed ? ", an event is owed" : "");
}

/** What a lane is called: a listener's receive lane is its accepts. */
function laneName(id, lane) {
  return lane === "receive" && lifeOf.get(id)?.listener ? "accept" : lane;
}

/** A time of the run, in seconds. */
function clock(ms) {
  return `${(ms / 1000).toFixed(9).replace(/\.?0+$/, "")} s`;
}

/** A span. */
function span(ms) {
  const units = [[86400e3, "d"], [3600e3, "h"], [60e3, "min"], [1e3, "s"], [1, "ms"], [1e-3, "µs"], [1e-6, "ns"]];
  const [size, unit] = units.find(([size]) => Math.abs(ms) >= size) ?? [1e-6, "ns"];
  return `${Number((ms / size).toPrecision(3))} ${unit}`;
}

function escapeText(text) {
  return String(text).replace(/[&<>"']/g, letter => `&#${letter.charCodeAt(0)};`);
}

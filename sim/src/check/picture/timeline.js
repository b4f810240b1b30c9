// The time line: one row for each lane, one column for each step. Only what is in sight is drawn.

const BAR = 14, MARKS = 18, STRIP = 11, PEER = 18, GAP = 10, LABEL = 132, SUBS_MAX = 80;

/** The rows to draw, for the connections that are shown; each with its operations, packed into lines. */
function layOut(shown) {
  const rows = [];
  let top = 4;
  const add = (row, height) => {
    rows.push({ ...row, top, height });
    top += height;
  };
  const lane = (conn, lane, name, ops) => {
    const lines = pack(ops);
    add({ conn, lane, name, lines, kind: "lane" }, MARKS + lines.length * BAR + STRIP);
  };
  const own = run.ops.filter(op => !op.conn);
  if (own.length > 0 && shown === null) {
    const lines = pack(own);
    add({ conn: null, lane: null, name: "own ops", lines, kind: "own", title: "proactor" },
      Math.max(20, 6 + lines.length * BAR));
    top += GAP;
  }
  for (const conn of inOrder(shown)) {
    const ops = run.ops.filter(op => op.conn === conn.id);
    const kind = conn.listener ? "listener" : "stream";
    add({ conn: conn.id, lane: null, name: conn.listener ? "peers" : "peer", kind: "peer", title: `${conn.id}`, of: kind }, PEER);
    const close = op => op.lane === undefined;
    lane(conn.id, "receive", conn.listener ? "accept" : "receive",
      ops.filter(op => op.lane === 0 || (conn.listener && close(op))));
    if (!conn.listener) lane(conn.id, "send", "send", ops.filter(op => op.lane === 1 || close(op)));
    top += GAP;
  }
  return { rows, height: top };
}

/** The connections in the order in which they came, the one that is to blame first. */
function inOrder(shown) {
  const conns = run.conns.filter(conn => shown === null || shown.has(conn.id));
  const rank = conn => conn.id === focus ? 0 : 1;
  return conns.sort((a, b) => rank(a) - rank(b) || a.from - b.from);
}

/** Lines of operations that do not overlap. */
function pack(ops) {
  const lines = [];
  for (const op of [...ops].sort((a, b) => a.from - b.from)) {
    const free = lines.find(line => line.at(-1).taken < op.from);
    if (free) free.push(op);
    else if (lines.length < SUBS_MAX) lines.push([op]);
    else lines.at(-1).push(op);
  }
  return lines;
}

/** The labels beside the rows. */
function labels(layout) {
  return layout.rows.map(row => {
    const mine = row.conn !== null && row.conn === focus ? " focus" : "";
    const title = row.title ? `<b>${escapeText(row.title)}</b>` : "";
    const of = row.of ? `<i>${row.of}</i>` : "";
    return `<div class="label ${row.kind}${mine}" style="top:${row.top}px;height:${row.height}px"
      ${row.kind === "lane" ? `data-lane="${row.conn} ${row.lane}"` : ""}>${title}${of}<span>${row.name}</span></div>`;
  }).join("");
}

/** Everything between two steps, as SVG. `sight`: what is in sight, in steps and in pixels from the top. */
function drawRows(layout, sight, width, selected) {
  const x = at => at * width;
  const parts = [backdrop(sight, width, layout.height, selected)];
  for (const row of layout.rows) {
    if (row.top + row.height < sight.top || row.top > sight.bottom) continue;
    parts.push(`<line class="rule" x1="${x(sight.from)}" x2="${x(sight.to)}" y1="${row.top + 0.5}" y2="${row.top + 0.5}"/>`);
    if (row.kind === "lane") parts.push(strips(row, sight, width));
    if (row.lines) parts.push(bars(row, sight, width));
    parts.push(marksOf(row, sight, width));
  }
  if (failing >= sight.from && failing < sight.to) {
    parts.push(`<rect class="broken" x="${x(failing)}" y="0" width="${width}" height="${layout.height}"/>`);
  }
  return parts.join("");
}

function backdrop(sight, width, height, selected) {
  const band = (cls, from, to) =>
    `<rect class="${cls}" x="${from * width}" y="0" width="${(to - from + 1) * width}" height="${height}"/>`;
  const seen = turns.filter(turn => turn.to >= sight.from && turn.from < sight.to);
  const selectedBand = band("selected", selected, selected);
  return seen.map(turn => band("turn", turn.from, turn.to)).join("") + selectedBand;
}

/** Under a lane: whether the kernel would let a call through, and where the model has the lane. */
function strips(row, sight, width) {
  const top = row.top + row.height - STRIP + 1;
  const runs = (of, y, height) => {
    const found = [];
    let begin = sight.from, was = null;
    for (let at = sight.from; at <= sight.to; at++) {
      const is = at < sight.to ? of(states[at].conns[row.conn]?.[row.lane]) : null;
      if (is !== was) {
        if (was) found.push(`<rect class="${was}" x="${begin * width}" y="${y}" width="${(at - begin) * width}" height="${height}"/>`);
        [begin, was] = [at, is];
      }
    }
    return found.join("");
  };
  const kernel = lane => lane?.kernel?.ready ? (lost(lane) ? "kernel lost" : "kernel") : lane?.kernel?.owed ? "kernel owed" : null;
  const model = lane => !lane?.model ? null : lane.model.place !== "Idle" ? `place ${lane.model.place}` : lane.model.ready ? "place ready" : null;
  return runs(kernel, top, 3) + runs(model, top + 4, 4);
}

/** The operations of a row: solid until it ends, a tail until its completion is taken. */
function bars(row, sight, width) {
  const first = row.top + (row.kind === "own" ? 4 : MARKS);
  return row.lines.map((line, sub) => line.filter(op => op.taken - dropped >= sight.from && op.from - dropped < sight.to)
    .map(op => bar(op, first + sub * BAR, sight, width)).join("")).join("");
}

function bar(op, y, sight, width) {
  const [from, end, taken] = [op.from, op.end, op.taken].map(at => Math.max(at - dropped, -1));
  const left = from * width + 1, solid = (end - from + 1) * width - 2, whole = (taken - from + 1) * width - 2;
  const cls = op.open ? "open" : op.ending ?? "ok";
  const label = `#${op.context} ${op.task}`;
  const dues = dueSteps(op).map(at => (at + 0.5) * width - left);
  const inSight = Math.max(left, sight.left) - left;
  const shift = dues.some(x => x > inSight && x < inSight + 40) ? Math.max(...dues.filter(x => x < inSight + 40)) + 3 : inSight;
  const text = solid - shift > 24 ? `<svg width="${solid - 2}" height="11"><text x="${shift + 4}" y="9">${escapeText(label)}</text></svg>` : "";
  const tail = taken > end ? `<rect class="tail" x="${solid - 2}" y="4" width="${whole - solid + 2}" height="3"/>` : "";
  const flag = op.untaken ? "" : `<rect class="flag" x="${whole - 3}" y="0" width="3" height="11"/>`;
  const due = dues.map(x =>
    `<path class="due" d="M${x - 3.5} 0h7l-3.5 5z"/><line class="due" x1="${x}" x2="${x}" y1="0" y2="11"/>`).join("");
  const fate = op.open ? "it has not ended" : `${op.result ?? "ended"}, at step ${op.end + 1}`;
  const title = `${label} (${op.id})\nsubmitted at step ${op.from + 1}\n${fate}\n` +
    (op.untaken ? "its completion was not taken" : `its completion was taken at step ${op.taken + 1}`);
  return `<svg class="op ${cls}" x="${left}" y="${y}" width="${Math.max(whole, 4)}" height="11"><title>${escapeText(title)}</title>` +
    `<rect class="body" width="${Math.max(solid, 4)}" height="11" rx="2"/>${tail}${flag}${due}${text}</svg>`;
}

/** The steps at which the deadline of an operation fell due while it was there. */
function dueSteps(op) {
  return (op.due ?? []).flatMap(([set, ms], index) => {
    if (ms === null) return [];
    const until = op.due[index + 1]?.[0] ?? op.taken;
    const at = stepAt(ms);
    if (at === null) return [];
    const shown = Math.max(at, set - dropped);
    return shown <= until - dropped ? [shown] : [];
  });
}

/** What happened in a row: calls and events at its lane, and what the peer and the network did. */
function marksOf(row, sight, width) {
  const parts = [];
  const y = row.top + MARKS / 2;
  for (let at = Math.max(0, sight.from); at < sight.to; at++) {
    const here = (run.steps[at].marks ?? []).filter(mark => belongs(mark, row));
    if (here.length === 0) continue;
    const x = (at + 0.5) * width;
    const faults = here.flatMap(mark => mark.faults ?? []);
    const title = here.map(mark => mark.text + (mark.faults ? ` [${mark.faults.join(", ")}]` : "")).join("\n");
    const glyphs = [...new Set(here.map(glyphOf))].filter(glyph => glyph !== "");
    const shown = glyphs.slice(0, 2);
    const spread = shown.length > 1 ? Math.min(5, width / 4) : 0;
    const drawn = shown.map((glyph, index) =>
      `<g transform="translate(${x + (index === 0 ? -spread : spread)} ${y})">${glyph}</g>`).join("");
    const bolt = faults.length > 0 ? `<path class="fault" transform="translate(${x + 4} ${row.top + 1})" d="M2 0l-4 5h2.5l-1.5 4 4.500-5h-2.500z"/>` : "";
    parts.push(`<g class="mark"><title>${escapeText(title)}</title>${drawn}${bolt}</g>`);
  }
  return parts.join("");
}

function belongs(mark, row) {
  if (row.kind === "own" || mark.conn !== row.conn) return false;
  const lane = mark.kind === "call" || mark.kind === "event";
  if (row.kind === "peer") return !lane;
  const bit = row.lane === "receive" ? 1 : 2;
  return lane && Boolean((mark.lanes ?? 3) & bit);
}

const CALLS = {
  moved: `<circle class="good" r="4.500"/>`,
  done: `<path class="good" d="M0 -5l5 5-5 5-5-5z"/>`,
  block: `<circle class="hollow" r="4"/>`,
  again: `<path class="again" d="M0 -5l5 9h-10z"/>`,
  failed: `<path class="failed" d="M-4 -4l8 8M4 -4l-8 8"/>`,
};

function glyphOf(mark) {
  switch (mark.kind) {
    case "call": return CALLS[mark.outcome] ?? CALLS.done;
    case "event": return `<path class="event" d="M-4.500 -4h9l-4.500 8z"/>`;
    case "wrote": return `<text class="peer" y="4">w</text>`;
    case "read": return `<text class="peer" y="4">r</text>`;
    case "end": return `<text class="peer end" y="4">×</text>`;
    case "connected": return `<text class="peer" y="4">+</text>`;
    case "adopt": return mark.outcome === "failed" ? CALLS.failed : `<text class="peer" y="4">@</text>`;
    case "change": return `<circle class="change" r="2"/>`;
    case "violation": return `<text class="violation" y="5">!</text>`;
    default: return "";
  }
}

/** Above the rows: the numbers of the steps, turns and parts of the run, and how time goes by. */
function drawRuler(sight, width, selected) {
  const parts = [`<rect class="selected" x="${selected * width}" y="0" width="${width}" height="50"/>`];
  const every = [1, 2, 5, 10, 20, 50, 100].find(every => every * width >= 34) ?? 200;
  for (let at = sight.from; at < sight.to; at++) {
    if ((at + dropped + 1) % every === 0) parts.push(`<text class="number" x="${(at + 0.5) * width}" y="12">${at + dropped + 1}</text>`);
  }
  for (const turn of turns) {
    if (turn.to < sight.from || turn.from >= sight.to) continue;
    const wide = (turn.to - turn.from + 1) * width - 1;
    const shift = Math.max(0, sight.left - turn.from * width);
    const label = wide - shift > 50 ? `turn ${turn.turn}` : wide - shift > 22 ? `${turn.turn}` : "";
    parts.push(`<svg x="${turn.from * width}" y="18" width="${wide}" height="14"><rect class="span" width="${wide}" height="14" rx="2"/>` +
      `<text x="${shift + 4}" y="11">${label}</text><title>turn ${turn.turn}</title></svg>`);
  }
  parts.push(flags(sight, width), times(sight, width));
  return parts.join("");
}

function flags(sight, width) {
  const found = phases.filter(at => at >= sight.from - 40 && at < sight.to).map(at =>
    `<line class="phase" x1="${at * width}" x2="${at * width}" y1="16" y2="50"/>` +
    `<text class="phase" x="${at * width + 3}" y="29">${escapeText(run.steps[at].text)}</text>`);
  if (failing >= 0) {
    const x = (failing + 0.5) * width;
    found.push(`<path class="failflag" d="M${x - 7} 0h14v10l-7 6-7-6z"/><text class="failflag" x="${x}" y="10">✗</text>`);
  }
  return found.join("");
}

/** Where time passes, and how much of it. */
function times(sight, width) {
  const parts = [];
  let free = -Infinity;
  for (let at = Math.max(1, sight.from); at < sight.to; at++) {
    const passed = run.steps[at].t - run.steps[at - 1].t;
    const x = at * width;
    if (passed <= 0) continue;
    parts.push(`<line class="time" x1="${x}" x2="${x}" y1="38" y2="50"/>`);
    const text = `+${span(passed)}`;
    if (x < free) continue;
    parts.push(`<text class="time" x="${x + 3}" y="47">${text}</text>`);
    free = x + text.length * 6 + 8;
  }
  return parts.join("");
}

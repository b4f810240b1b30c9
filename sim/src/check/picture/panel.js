// What stands beside the time line: the verdict, the plan, the log, and the state after the selected step.

/** What came of the run, and the command that plays it again. */
function verdict() {
  const { broken, name, command } = run;
  const kept = dropped > 0 ? `<p class="note">Only the last ${count} of ${dropped + count} steps are shown.</p>` : "";
  const again = `<p class="command"><span>Play it again:</span> <code>${escapeText(command)}</code>
    <button id="copy" title="Copy the command">copy</button></p>`;
  if (!broken) {
    return `<h1><span class="badge good">✓</span> Every rule held</h1><p class="what">${escapeText(name)}: ${count} steps, none of them broke a rule.</p>${again}${kept}`;
  }
  return `<h1><span class="badge bad">${broken.rule}</span> ${broken.name ? `${escapeText(broken.name)}: ` : ""}broken at step ${broken.step + 1} of ${dropped + count}</h1>
    <p class="what">${marked(broken.what)}</p>
    <p class="promise"><b>${broken.rule} promises:</b> ${escapeText(broken.promise)} <span>Found by the check <code>${escapeText(broken.check)}</code>.</span></p>${again}${kept}`;
}

/** The last steps that are about the connection to blame. */
function story() {
  if (!run.broken) return "";
  const way = wayTo(focus ?? "", 7);
  const about = focus ? `The last steps of <b>${focus}</b>` : "The last steps";
  const parting = focus ? partingOf(focus) : null;
  const items = way.map(at => `<li><button data-go="${at}" class="${at === failing ? "failing" : at === parting ? "parting" : ""}">
    <span class="n">${at + dropped + 1}</span> <span>${marked(run.steps[at].text)}${at === parting ? PARTS : ""}</span></button></li>`).join("");
  return `<h2>${about}</h2><ol>${items}</ol>`;
}

const PARTS = ` <em>≠ from here on the model differs</em>`;

/** The plan of the episode: in one line, and in full. */
function planWords() {
  const { plan } = run;
  const limits = plan.limits.map(([name, limit]) => `<tr><th scope="row">${name}</th><td>${limit}</td></tr>`).join("");
  const struck = plan.faults.filter(([, , times]) => times > 0);
  const pools = plan.pools.map(([buffers, bytes], index) => `pool${index}: ${buffers} × ${bytes} B`).join(", ");
  const descriptors = plan.descriptors >= 1 << 20 ? "plenty" : plan.descriptors;
  const tight = plan.limits.filter(([, limit]) => limit < 64).map(([name, limit]) => `${name} ≤ ${limit}`).join(", ");
  const faults = plan.faults.map(([name, odds, times]) =>
    `<li class="${times > 0 ? "struck" : ""}">${name} <small>${Number((odds / 1e4).toPrecision(3))} %</small>${times > 0 ? ` <b>${times}×</b>` : ""}</li>`).join("");
  const names = struck.map(([name, , times]) => `${name} ${times}×`).join(", ");
  return `<summary><b>Plan</b> <span>${plan.engine}</span> <span>${tight || "roomy limits"}</span> <span>${pools}</span>
    <span>${plan.faults.length === 0 ? "no faults" : `${plan.faults.length} ${plan.faults.length === 1 ? "fault" : "faults"} on, ${names ? `struck: ${names}` : "none struck"}`}</span></summary>
    <div class="tables">
    <table><caption>Limits</caption>${limits}<tr><th scope="row">descriptors</th><td>${descriptors}</td></tr></table>
    <table><caption>The user</caption><tr><th scope="row">actions at most</th><td>${plan.actions}</td></tr>
      <tr><th scope="row">largest buffer</th><td>${plan.bytes_max} B</td></tr>
      <tr><th scope="row">shuts down early</th><td>${plan.shut_down_at === null ? "no" : `before action ${plan.shut_down_at + 1}`}</td></tr>
      <tr><th scope="row">never does</th><td>${plan.left_out.join(", ") || "–"}</td></tr></table>
    <section><h3>Faults: odds, and how often they struck</h3><ul class="faults">${faults || "<li>none</li>"}</ul></section></div>`;
}

/** Text with the names of connections and operations set apart. */
function marked(text) {
  return escapeText(text).replace(/\b(c\d+v\d+)\b/g, id => `<b class="id${id === focus ? " focus" : ""}">${id}</b>`);
}

/** Every step as text. */
function logRows() {
  const way = new Set(run.broken && focus ? wayTo(focus, 12) : []);
  const parting = focus ? partingOf(focus) : null;
  return run.steps.map((step, at) => {
    const marks = (step.marks ?? []).filter(mark => !step.text.includes(mark.text) || mark.faults).map(mark => {
      const faults = (mark.faults ?? []).map(fault => `<em>⚡ ${fault}</em>`).join(" ");
      const text = step.text.includes(mark.text) ? "" : marked(mark.text);
      return `<span class="sub ${mark.kind}">${text}${faults}</span>`;
    }).join("");
    const failed = at === failing
      ? `<span class="sub broken">✗ ${run.broken.rule}: ${marked(run.broken.what)}</span>` : at === parting
      ? `<span class="sub broken">≠ from here on the model's account of ${focus} differs from the contract's or the kernel's</span>` : "";
    const cls = [step.sort, way.has(at) ? "way" : "", at === failing ? "failing" : ""].join(" ");
    const outcome = (step.marks ?? []).find(mark => mark.kind === "call")?.outcome ?? "";
    return `<li id="s${at}" role="option" aria-selected="false" class="${cls}" data-at="${at}"><span class="n">${at + dropped + 1}</span>` +
      `<span class="sort ${outcome}">${SORTS[step.sort]}</span><span class="text">${marked(step.text)}${marks}${failed}</span></li>`;
  }).join("");
}

const SORTS = { user: "user", phase: "phase", turn: "turn", wait: "wait", call: "call", world: "peer", model: "model", check: "check" };

/** The state after a step. */
function stateWords(at, shown) {
  const [state, before, step] = [states[at], states[at - 1], run.steps[at]];
  const changes = changesAt(at).map(({ what, was, is }) =>
    `<li>${marked(what)}: ${was === "" ? "" : `<s>${escapeText(was)}</s> → `}<b>${escapeText(is)}</b></li>`).join("");
  const conns = inOrder(shown).filter(conn => state.conns[conn.id])
    .map(conn => connCard(conn, state.conns[conn.id], before?.conns[conn.id], at)).join("");
  const loose = run.ops.filter(op => !op.conn && alive(op, at)).map(op => opLine(op, at)).join("");
  return `<h2>After step ${at + dropped + 1} <small>${clock(step.t)} · ${step.n} steps of the simulator</small></h2>
    ${at === failing ? `<p class="alarm">✗ <b>${run.broken.rule}</b> ${marked(run.broken.what)}</p>` : ""}
    <h3>What it changed</h3><ul class="changes">${changes || "<li class=none>nothing that is shown here</li>"}</ul>
    <h3>The proactor</h3>${gauges(state.gauges, before?.gauges)}
    ${loose ? `<ul class="ops">${loose}</ul>` : ""}
    <h3>Connections <small>${Object.keys(state.conns).length} there${shown ? ", filtered" : ""}</small></h3>${conns || "<p class=none>none</p>"}
    <details id="words"${wordsOpen ? " open" : ""}><summary>The model in its own words</summary><pre>${ownWords(state, before)}</pre></details>`;
}

let wordsOpen = false;

function gauges(now, before) {
  const limit = Object.fromEntries(run.plan.limits);
  const buffers = run.plan.pools.reduce((sum, [count]) => sum + count, 0);
  const rows = [
    ["connections", now.connections, limit.connections], ["credits", now.credits, limit.operations],
    ["leases out", now.leases, buffers], ["of them the user's", now.user_leases, null],
    ["completions to take", now.completions, null], ["queued operations", now.queued, null],
    ["lanes runnable", now.runnable, null], ["parked", now.parked, null], ["held", now.held, null], ["timers", now.timers, null],
  ];
  const keys = ["connections", "credits", "leases", "user_leases", "completions", "queued", "runnable", "parked", "held", "timers"];
  return `<dl class="gauges">${rows.map(([name, value, max], index) => {
    const changed = before && before[keys[index]] !== now[keys[index]] ? " changed" : "";
    const meter = max === null ? "" : `<meter min="0" max="${max}" value="${value}" aria-label="${name}"></meter>`;
    return `<div class="${value === 0 ? "zero" : ""}${changed}"><dt>${name}</dt><dd>${value}${max === null ? "" : ` of ${max}`}</dd>${meter}</div>`;
  }).join("")}</dl>`;
}

function connCard(conn, now, before, at) {
  const { head } = now;
  const phase = head.model ?? "gone";
  const differs = head.model !== head.contract ? ` <em class="differs" title="the contract says otherwise">≠ ${head.contract ?? "gone"}</em>` : "";
  const peer = head.peer ? `<p class="peerline">peer: sent ${head.peer.sent} B, read ${head.peer.received} B${head.peer.readable ? `, can read ${head.peer.readable} B` : ""}${
    ["ended", "reset", "closed"].filter(flag => head.peer[flag]).map(flag => `, <b>${flag}</b>`).join("")}</p>` : "";
  const lanes = (conn.listener ? ["receive"] : ["receive", "send"]).map(lane => laneBox(conn, lane, now[lane], before?.[lane], at)).join("");
  const closes = run.ops.filter(op => op.conn === conn.id && op.lane === undefined && alive(op, at)).map(op => opLine(op, at)).join("");
  return `<article class="conn${conn.id === focus ? " focus" : ""}" data-conn="${conn.id}">
    <h4>${conn.id} <small>${conn.listener ? "listener" : "stream"}${head.pool ? `, ${head.pool}` : ""}</small> <span class="phase">${phase}</span>${differs}</h4>
    ${peer}<div class="lanes">${lanes}</div>${closes ? `<ul class="ops">${closes}</ul>` : ""}</article>`;
}

function laneBox(conn, lane, now, before, at) {
  const { model, contract, kernel } = now;
  const was = (of, key) => before?.[of] && now[of] && before[of][key] !== now[of][key] ? " changed" : "";
  const marks = which => [["tainted", which.tainted], ["shut", which.shut], ["exhausted", which.exhausted], [which.end, which.end]]
    .filter(([, set]) => set).map(([name]) => `<b>${escapeText(name)}</b>`).join(", ");
  const says = (which, of) => which ? `<span class="${was(of, "ready").trim()}">${which.ready ? "ready" : "not ready"}</span>` : "unknown";
  const rows = [];
  if (model) {
    rows.push(["model", `<span class="place ${model.place}${was("model", "place")}">${model.place}</span> ${says(model, "model")}, <span class="${was("model", "ops").trim()}">${model.ops} queued</span>, <span class="${was("model", "bytes").trim()}">${model.bytes} B</span> ${marks(model)}`, ""]);
  }
  if (contract) {
    const over = contract.passed_over > 0 ? `, <b>passed over in ${contract.passed_over} turns</b>` : "";
    rows.push(["contract", `${says(contract, "contract")}, ${contract.queue.length} queued${over} ${marks(contract)}`, unlike(now) ? "differs" : ""]);
  }
  if (kernel) {
    const said = kernelWords(kernel);
    rows.push(["kernel", `<span class="${was("kernel", "ready").trim()}">${said}</span>${lost(now) ? ", <b>and none is owed</b>" : ""}`, lost(now) ? "differs" : ""]);
  }
  const mine = run.ops.filter(op => op.conn === conn.id && op.lane === (lane === "receive" ? 0 : 1) && alive(op, at));
  return `<section><h5>${laneName(conn.id, lane)}</h5><table>${rows.map(([who, what, cls]) =>
    `<tr class="${cls}"><th scope="row">${who}</th><td>${what}</td></tr>`).join("")}</table>
    ${mine.length > 0 ? `<ul class="ops">${mine.map(op => opLine(op, at)).join("")}</ul>` : ""}</section>`;
}

function alive(op, at) {
  return op.from <= at + dropped && (op.untaken || op.taken > at + dropped);
}

/** An operation as it was after a step. */
function opLine(op, at) {
  const upTo = list => (list ?? []).filter(([step]) => step <= at + dropped).at(-1)?.[1];
  const [moved, due] = [upTo(op.moved), upTo(op.due)];
  const ended = !op.open && op.end <= at + dropped;
  const left = due === undefined || due === null ? "" : due - run.steps[at].t;
  const when = left === "" || ended ? "" : left > 0 ? `, due in ${span(left)}` : `, <b>due since ${span(-left)}</b>`;
  const fate = ended ? `: <b class="${op.ending}">${escapeText(op.result ?? "ended")}</b>, to be taken` : "";
  return `<li class="${ended ? op.ending : "open"}"><b>#${op.context}</b> ${escapeText(op.task)}${moved ? `, ${moved} B moved` : ""}${when}${fate}</li>`;
}

function ownWords(state, before) {
  const old = new Set(before?.model ?? []);
  return state.model.map(line => old.has(line) || !before ? escapeText(line) : `<mark>${escapeText(line)}</mark>`).join("\n");
}

/** What the shapes and colours mean. */
function legendWords() {
  const glyph = inner => `<svg width="16" height="16" viewBox="-8 -8 16 16" aria-hidden="true">${inner}</svg>`;
  const op = cls => `<svg width="34" height="11" class="op ${cls}" aria-hidden="true"><rect class="body" width="24" height="11" rx="2"/><rect class="tail" x="24" y="4" width="8" height="3"/><rect class="flag" x="31" y="0" width="3" height="11"/></svg>`;
  const strip = cls => `<svg width="24" height="6" aria-hidden="true"><rect class="${cls}" width="24" height="6"/></svg>`;
  const list = (title, rows) => `<div><h3>${title}</h3><ul>${rows.map(([sign, words]) => `<li>${sign}<span>${words}</span></li>`).join("")}</ul></div>`;
  const letter = (sign, cls = "peer") => glyph(`<text class="${cls}" y="4">${sign}</text>`);
  return list("Operations: submitted, ended, completion taken", [
    [op("open"), "not ended"], [op("ok"), "success"], [op("deadline"), "its deadline came first"], [op("cancelled"), "cancelled, or closed"],
    [op("tainted"), "a send before it broke off"], [op("error"), "an error, or an early end of stream"],
    [glyph(`<path class="due" d="M-3.5 -5h7l-3.5 5z"/><line class="due" x1="0" x2="0" y1="-5" y2="6"/>`), "its deadline falls due"]]) +
    list("System calls and events", [
      [glyph(CALLS.moved), "bytes went through"], [glyph(CALLS.done), "done, or the end of the stream"], [glyph(CALLS.block), "would block"],
      [glyph(CALLS.again), "interrupted, or the system is exhausted"], [glyph(CALLS.failed), "failed"],
      [glyph(glyphOf({ kind: "event" })), "an event is delivered"],
      [glyph(`<path class="fault" transform="translate(0 -5) scale(1.2)" d="M2 0l-4 5h2.500l-1.500 4 4.500-5h-2.500z"/>`), "a fault struck (its name is in the log)"]]) +
    list("Peers and the network", [
      [letter("w"), "the peer writes"], [letter("r"), "the peer reads"], [letter("+"), "the peer connects, or answers"], [letter("×", "peer end"), "the peer ends: FIN, reset, close"],
      [letter("@"), "the socket is adopted"], [glyph(`<circle class="change" r="2"/>`), "the kernel has news: bytes, an end, room"]]) +
    list("Strips under a lane", [
      [strip("kernel"), "kernel: a call would not block"], [strip("kernel owed"), "kernel: an event is owed"],
      [strip("kernel lost"), "kernel: a call would not block, and nothing will tell the model"],
      [strip("place ready"), "model: ready, nothing to do"], [strip("place Running"), "model: in the run queue"], [strip("place Parked"), "model: parked, waits for a buffer"],
      [strip("place Held"), "model: held, waits for a place or credit"], [strip("place BackingOff"), "model: backing off"]]) +
    `<div><h3>Keys</h3><ul class="keys"><li><kbd>←</kbd> <kbd>→</kbd><span>a step, among those shown</span></li><li><kbd>Shift</kbd>+<kbd>←</kbd> <kbd>→</kbd><span>a turn</span></li>
    <li><kbd>Home</kbd> <kbd>End</kbd><span>first, last step</span></li><li><kbd>F</kbd><span>the failing step</span></li><li><kbd>Space</kbd><span>play</span></li>
    <li><kbd>+</kbd> <kbd>−</kbd><span>fewer, more steps in sight</span></li><li><kbd>A</kbd><span>all connections</span></li></ul>
    <p class="note">≠ marks where the model and the contract's own account differ. Within a turn that need not be an error: what deadlines ended is accounted for when the turn is over.</p></div>`;
}

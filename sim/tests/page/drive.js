// After the page's own script: does what a person would, and writes down whether the page keeps up. It looks at
// nothing but what the page shows.
(() => {
  const said = [];
  const check = (holds, what) => said.push(`${holds ? "ok" : "not ok"} ${what}`);
  const one = selector => document.querySelector(selector);
  const all = selector => [...document.querySelectorAll(selector)];
  const key = (name, more = {}) =>
    document.body.dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true, cancelable: true, ...more }));
  const selected = () => Number(one('#log [aria-selected="true"]').dataset.at);
  const panel = () => one("#state").innerHTML;
  const inSight = (inner, outer) => {
    const [a, b] = [inner.getBoundingClientRect(), outer.getBoundingClientRect()];
    return a.top >= b.top - 1 && a.top < b.bottom && a.left < b.right && a.right > b.left;
  };
  const rows = () => all("#log > li").filter(row => !row.hidden);
  const lanes = () => all("[data-lane]").map(label => label.dataset.lane);

  function start() {
    const failing = one("#log .failing");
    check(rows().length > 3, "the log has rows");
    // A kept tape may have come to show a run in which nobody connects.
    check(lanes().length > 0 || all("[data-chip]").length === 1, "there are lanes");
    check(all("#canvas svg rect").length > 0, "the time line is drawn");
    if (!failing) {
      check(selected() === 0, "a run that passed opens at its first step");
      check(one("#fail").hidden, "a run that passed offers no failing step");
      return;
    }
    check(selected() === Number(failing.dataset.at), "the failing step is selected at the start");
    check(inSight(failing, one("#logs")), "the failing step is in sight in the log");
    const mark = one("#canvas .broken");
    check(mark && inSight(one("#ruler path.failflag"), one("#ruler")), "the failing step is in sight on the time line");
    check(one("#verdict h1").textContent.includes(one("#state .alarm b").textContent), "verdict and state name the rule");
    check(one("#verdict .promise").textContent.length > 30, "what the rule promises is said");
    check(all("#story li").length > 0 && all("#story .failing").length === 1, "the way there is told, and ends in the failing step");
    check(failing.textContent.includes(one("#verdict .what").textContent), "the check's words are in the log");
  }

  function steps() {
    const count = all("#log > li").length;
    key("Home");
    check(selected() === 0, "Home selects the first step");
    const before = panel();
    key("ArrowRight");
    check(selected() === 1, "→ goes a step ahead");
    check(panel() !== before, "the state changes with the step");
    check(Number(one("#slider").value) === 1 && one("#where").textContent.includes("step "), "the slider follows");
    key("ArrowLeft");
    check(selected() === 0 && panel() === before, "← goes back, and the state with it");
    key("ArrowLeft");
    check(selected() === 0, "← stays at the first step");
    key("End");
    check(selected() === count - 1, "End selects the last step");
    check(inSight(one('#log [aria-selected="true"]'), one("#logs")), "the log follows the selection");
    const middle = Math.floor(count / 2);
    one("#slider").value = middle;
    one("#slider").dispatchEvent(new Event("input", { bubbles: true }));
    check(selected() === middle, "the slider selects");
    one("#next").click();
    check(selected() === middle + 1, "the button goes a step ahead");
    rows()[2].click();
    check(selected() === 2, "a click in the log selects");
    check(all("#canvas rect.selected").length === 1, "the time line shows the selection");
    const later = all("#log > li.turn").some(row => Number(row.dataset.at) > 2);
    key("ArrowRight", { shiftKey: true });
    if (later) check(one('#log [aria-selected="true"]').classList.contains("turn"), "Shift and → goes to a turn");
  }

  function filters() {
    const chips = all("[data-chip]").map(chip => chip.dataset.chip).filter(id => id !== "");
    if (chips.length < 2) return;
    const [lanesBefore, rowsBefore] = [lanes().length, rows().length];
    one(`[data-chip="${chips[0]}"]`).click();
    check(lanes().length < lanesBefore && lanes().length > 0, "the filter leaves fewer lanes");
    check(lanes().every(lane => lane.startsWith(`${chips[0]} `)), "only those of the connection");
    check(rows().length < rowsBefore, "the filter leaves fewer rows in the log");
    check(all("#state [data-conn]").every(card => card.dataset.conn === chips[0]), "the state shows the connection alone");
    key("Home");
    key("ArrowRight");
    check(!one('#log [aria-selected="true"]').hidden, "the keys stay among the rows that are shown");
    one(`[data-chip="${chips[1]}"]`).click();
    check(new Set(lanes().map(lane => lane.split(" ")[0])).size === 2, "a second connection is added");
    key("a");
    check(lanes().length === lanesBefore && rows().length === rowsBefore, "A shows all again");
  }

  function rest() {
    key("?");
    check(!one("#legend").hidden && one("#help").getAttribute("aria-expanded") === "true", "the legend opens");
    check(all("#legend li").every(row => row.textContent.trim() !== ""), "every sign is explained");
    key("?");
    check(one("#legend").hidden, "the legend closes");
    const wide = one("#canvas").offsetWidth;
    key("-");
    check(one("#canvas").offsetWidth < wide, "− shows more steps");
    key("+");
    const words = all("#state, #log, #verdict, #plan, #ruler, #canvas").map(part => part.textContent).join(" ");
    check(!/\b(NaN|undefined|\[object)\b/.test(words), "nothing reads like a mistake");
    check(one(".command code").textContent.startsWith("cargo sim replay") || one(".command code").textContent.includes("script"), "the command is there");
    check(all("button").every(button => button.textContent.trim() !== ""), "every button has a name");
    const begin = performance.now();
    const count = Math.min(40, all("#log > li").length);
    for (let times = 0; times < count; times++) key("ArrowRight");
    said.push(`# took ${((performance.now() - begin) / count).toFixed(1)} ms for a step, ${Math.round(begin)} ms for the rest`);
    check(window.wrongs.length === 0, `nothing goes wrong: ${window.wrongs.join("; ") || "no word on the console"}`);
  }

  for (const part of [start, steps, filters, rest]) {
    try { part(); } catch (error) { check(false, `${part.name}: ${error}`); }
  }
  const result = document.createElement("pre");
  result.id = "selftest";
  said.push(said.every(line => !line.startsWith("not ok")) ? "passed" : "failed");
  result.textContent = `\n${said.join("\n")}\n`;
  document.body.append(result);
})();

// ---- the card of an operation, of a step, and the sum at the end

function numbers(text, a, max) {           // a line of text and the numbers under it
  const box = element("span", undefined, "numbers"), what = element("span", undefined, "what");
  what.append(named(text));
  box.append(what);
  if (a) box.append(matrix(a, max, { marked: chosen.unit, height: a.rows > 2 ? 4.2 * em() : 0, width: $("card").clientWidth - 2 * em() }));
  return box;
}
const partText = a => a && !whole(a) ? `, the first ${a.rows}×${a.cols}` : "";

function card() {
  const c = $("card"), [a, b] = now(), f = frameAt(at);
  c.replaceChildren();
  if (f.kind === "sum") return;
  if (byStep && b - a > 1) return stepCard(c, a, b);
  if (f.kind === "start") startCard(c); else if (f.kind === "forward") forwardCard(c, f); else backwardCard(c, f);
  const last = selector => [...c.querySelectorAll(selector)].reverse();      // what is left out where there is no room, in this order
  const spare = [...last(".less"), ...last(".numbers:not(.less)"), ...last(".of > .soft"), ...last(".rule ~ .of ~ .of"), ...last("h2 ~ p")];
  for (const box of spare) if (c.scrollHeight > c.clientHeight + 1) box.remove();
  c.scrollTop = 0;
}
function startCard(c) {
  c.append(element("p", F ? "Before the forward pass" : "Before the backward pass", "place"));
  const h = element("h2"); h.append(named(`L = ${number(DATA.loss, 5)}`));
  c.append(h);
  const lines = [
    F ? `Forward, ${F} operations compute their values, from the inputs to the loss.` : "",
    `Backward, every operation fires once, the newest first: it takes the gradient of its output and gives one to each input. ${pass.nodes.length} do.`,
    DATA.weights.length ? `A weight that several steps share gets a term from every use; the last screen is their sum.` : "",
  ];
  for (const line of lines) if (line) c.append(element("p", line));
  c.append(element("p", "→ and ← go through it, Space plays, S goes by time steps, ? lists the keys.", "soft"));
}
function heading(c, f, phase, count, total) {
  const n = nodes[f.node];
  const when = n.step === null ? "outside of all steps" : `${DATA.unit} = ${n.step}`;
  c.append(element("p", `${phase} · ${n.scope ? n.scope + " · " : ""}${when} · ${count} of ${total}`, "place"));
  const h = element("h2"); h.append(named(equationOf(f.node)));
  c.append(h);
}
function letters(n) {                      // "a = σ(f), b = c₁": the names behind the letters of a rule
  const node = nodes[n], own = node.letters.map((letter, i) => letter && node.inputs[i] !== undefined ? `${letter} = ${nameOf(node.inputs[i], node.step)}` : null).filter(Boolean);
  if (!node.several && /\by\b/.test(node.rule.replace(/gy/g, ""))) own.push(`y = ${outName(n)}`);
  return own.slice(0, 4).join(",  ");
}
function forwardCard(c, f) {
  heading(c, f, "forward", f.i + 1, F);
  const node = nodes[f.node];
  const rule = element("div", undefined, "rule");
  rule.append(element("div", `${node.symbol}${node.symbol === node.label.toLowerCase() ? "" : "  " + node.label}`));
  const outs = DATA.forward[f.node].map(array), ins = node.inputs.map(valueOfEdge);
  const scalars = ins.map(a => pick(a, chosen.unit)), y = pick(outs[0], chosen.unit);
  if (elementwise(node) && y !== null && scalars.every(v => v !== null)) {
    const text = arithmetic(node, scalars.map(v => v < 0 ? `(${number(v)})` : number(v)));
    rule.append(element("div", `${text} = ${number(y)}`), element("div", `unit ${chosen.unit}`, "soft"));
  }
  c.append(rule);
  const max = most([...outs, ...ins.filter(a => a && a.cols === outs[0]?.cols)]);
  node.inputs.slice(0, 4).forEach((e, i) => { if (typeof e !== "number") c.append(numbers(`${nameOf(e, node.step)}  ${sizeText(ins[i])}`, ins[i], most([ins[i]]))); });
  if (node.inputs.length > 4) c.append(element("p", `… and ${node.inputs.length - 4} more`, "soft"));
  const h = element("h3"); h.append(named("gives"));
  c.append(h);
  outs.slice(0, 5).forEach((a, k) => c.append(numbers(`${outName(f.node, k)}  ${sizeText(a)}`, a, node.several ? most(outs) : max)));
}
const sizeText = a => a ? `${a.allRows}×${a.allCols}${partText(a)}` : "";
function arithmetic(node, args) {
  const sign = { Add: " + ", Sub: " − ", Mul: " · ", Div: " / " }[node.label];
  if (sign) return args.join(sign);
  if (node.label === "Lerp") return `(1 − ${args[2]}) · ${args[0]} + ${args[2]} · ${args[1]}`;
  if (node.symbol === "x²") return `${args[0]}²`;
  return `${node.symbol}(${args.map(a => a.replace(/^\((.*)\)$/, "$1")).join(", ")})`;
}
function backwardCard(c, f) {
  heading(c, f, "backward", f.i + 1, pass.nodes.length);
  const node = nodes[f.node], gys = pass.full ? pass.gys[f.i].map(array) : [], unit = chosen.unit;
  const rule = element("div", undefined, "rule"), known = letters(f.node);
  rule.append(element("div", node.rule));
  if (known) { const e = element("div", undefined, "soft"); e.append(named(known)); rule.append(e); }
  c.append(rule);
  if (node.group < 0 && (node.drawn < 0 || nodes[node.drawn].group < 0)) c.append(element("p", "Not in the picture: it only moves numbers.", "soft"));
  if (!pass.full) {
    const e = element("p"); e.append(named(`size of ${gradientName(outName(f.node))}: ${number(pass.norms[f.i])}. The page keeps the numbers of L; of ${pass.name} alone, with so many numbers, the sizes.`));
    c.append(e);
  }
  const several = gys.length > 1, top = most(gys);
  gys.slice(0, 5).forEach((g, k) => c.append(numbers(`${several ? "" : "gy = "}${gradientName(outName(f.node, k))}  arrives, size ${number(norm(g))}${partText(g)}`, g, top)));
  if (gys.length > 5) c.append(element("p", `… and ${gys.length - 5} more`, "soft"));
  const parts = new Map(ruleParts(node.rule)), tight = node.inputs.filter(e => placeOf(e) !== null).length > 2;
  let shown = 0;
  node.inputs.forEach((e, i) => {
    if (placeOf(e) === null || shown >= 5) return;
    shown++;
    given(c, f, i, parts.get(node.letters[i]), gys[0], unit, tight);
  });
  const rest = node.inputs.filter(e => placeOf(e) !== null).length - shown;
  if (rest > 0) c.append(element("p", `… and ${rest} more`, "soft"));
}
function given(c, f, i, rhs, gy, unit, tight) {           // what one input gets, and what is there with it
  const node = nodes[f.node], e = node.inputs[i], name = nameOf(e, node.step), letter = node.letters[i];
  const box = element("div", undefined, "of"), title = element("h3"), strong = element("b");
  strong.append(named(gradientName(name)));
  title.append(strong);
  if (rhs) { title.append(named(` ${pass.full && before(placeOf(e), f.i, i) ? "+=" : "="} ${ruleInNames(f.node, letter, rhs)}`)); }
  box.append(title);
  c.append(box);
  if (!pass.full || !pass.gxs[f.i][i]) return;
  const [number_, size, total] = pass.gxs[f.i][i], added = array(number_), old = before(placeOf(e), f.i, i), sum = plus(old, added);
  const scalar = rhs && gy ? ruleInNumbers(f.node, letter, rhs, gy, unit) : null, result = pick(added, unit);
  if (scalar && result !== null) { const line = element("div", `unit ${unit}:  ${scalar} = ${number(result)}`, "rule"); line.style.margin = ".1rem 0"; box.append(line); }
  const value = valueOfEdge(e), max = most([old, added, sum]);
  if (value && !tight && e[0] !== "l" && !old) { const was = numbers(`${name} was`, value, most([value])); was.classList.add("less"); box.append(was); }
  box.append(numbers(`added, size ${number(size ?? norm(added))}${partText(added)}`, added, max));
  if (old && !tight) box.append(numbers(`with what was there, size ${number(total ?? norm(sum))}`, sum, max));
  else if (old) box.append(element("span", `with what was there: size ${number(total ?? norm(sum))}`, "soft"));
}

// A whole step: its equations, in the order of the pass.
function stepCard(c, a, b) {
  const first = frameAt(a + 1), last = frameAt(b), back = last.kind === "backward", step = nodes[last.node].step;
  c.append(element("p", `${back ? "backward" : "forward"} · operations ${back ? first.i + 1 : a + 1} to ${back ? last.i + 1 : b} of ${back ? pass.nodes.length : F}`, "place"));
  const h = element("h2", step === null ? "outside of all steps" : `${DATA.unit} = ${step}${back ? ", backward" : ", forward"}`);
  c.append(h);
  const lines = [], same = new Map();      // d(f ∘ c) -> dc: what gets one gradient as it is needs no line of its own
  const short = text => [...same].reduce((t, [long, name]) => t.replaceAll(long, name), text);
  for (let p = a + 1; p <= b; p++) {
    const f = frameAt(p), node = nodes[f.node];
    if (!back) {
      if (!/^(Transpose|Contiguous)$/.test(node.label)) lines.push([equationOf(f.node), DATA.forward[f.node][0] === undefined ? null : norm(...DATA.forward[f.node].map(array)), node.several || /_\{\d+\}$/.test(outName(f.node))]);
      continue;
    }
    const parts = new Map(ruleParts(node.rule));
    if (node.label === "Split") {
      lines.push([`${gradientName(nameOf(node.inputs[0], node.step))} = (${node.outs.map((_, k) => gradientName(outName(f.node, k))).join(", ")})`, pass.norms[f.i], true]);
      continue;
    }
    node.inputs.forEach((e, i) => {
      const rhs = parts.get(node.letters[i]);
      if (placeOf(e) === null || !rhs || (pass.full && !pass.gxs[f.i][i])) return;
      const all = pass.given.get(placeOf(e)) || [], k = all.findIndex(([x, y]) => x === f.i && y === i);
      const left = gradientName(nameOf(e, node.step)), right = short(ruleInNames(f.node, node.letters[i], rhs));
      if (left === right) return;        // of a sum in parts
      if (all.length === 1 && left.startsWith("d(") && /^[dδ][^\s()]*$/.test(right)) { same.set(left, right); return; }
      const g = pass.full ? pass.gxs[f.i][i] : null, carries = typeof e[0] === "number" && nodes[e[0]].step !== null && nodes[e[0]].step !== step;
      lines.push([`${left} ${k > 0 ? "+=" : "="} ${right}`, g ? g[1] ?? norm(array(g[0])) : null, carries || /^l/.test(drawnSource(e))]);
    });
  }
  const rows = element("table", undefined, "equations");
  for (const [text, size, mark] of lines) {
    const row = rows.insertRow();
    row.className = mark ? "mark" : "";
    row.insertCell().append(named(text));
    row.insertCell().textContent = size === null ? "" : number(size, 2);
  }
  c.append(rows);
  if (back) c.append(element("p", "Right: sizes. Marked: what leaves the step.", "soft"));
  const over = () => c.scrollHeight > c.clientHeight + 1 && c.clientHeight;
  for (let left = lines.length, middle; left > 6 && over(); left--) {     // leave out the middle of what does not fit
    if (!middle) { middle = rows.insertRow(left >> 1); middle.insertCell(); middle.insertCell(); }
    middle.previousElementSibling.rowIndex > middle.parentElement.lastElementChild.rowIndex - middle.rowIndex ? middle.previousElementSibling.remove() : middle.nextElementSibling.remove();
    middle.cells[0].textContent = `… ${lines.length - left + 1} more …`;
  }
  c.scrollTop = 0;
}

// The last screen: a weight's gradient is the sum over its uses.
function total() {
  const box = $("total"), on = frameAt(at).kind === "sum";
  box.hidden = !on;
  document.body.classList.toggle("sum", on);
  if (!on) return;
  box.replaceChildren();
  const w = weight();
  if (!w) { box.append(element("h2", "The backward pass is over.")); return; }
  const use = pass.uses.get(w.leaf), label = DATA.leaves[w.leaf].label, h = element("h2");
  h.append(named(`d${pass.name}/d${label} = Σ_{k} G[k]:  one term for every use of ${label}`));
  box.append(h);
  if (use) {
    const own = inTime(use), unit = em(), terms = element("div", undefined, "terms");
    const shown = own.length <= 6 ? own : [...own.slice(0, 3), null, ...own.slice(-2)], end = array(use.total) || blank(DATA.leaves[w.leaf].shape);
    const max = most([end, ...(pass.full ? own.map(u => array(u.g)) : [])]), size = { width: 8.2 * unit, height: 11 * unit, gates: w.gates };
    const add = (a, text) => { const f = element("figure"); if (a) f.append(matrix(a, max, size)); const t = element("figcaption"); t.append(named(text)); f.append(t); terms.append(f); };
    shown.forEach((u, i) => {
      if (i) terms.append(element("span", "+"));
      if (!u) terms.append(element("span", "…"));
      else add(pass.full ? array(u.g) : null, `k = ${u.step ?? "–"}, size ${number(u.norm)}`);
    });
    terms.append(element("span", "="));
    add(end, `d${pass.name}/d${label}, size ${number(use.size)}`);
    if (w.gates.length) { const g = element("figure"); g.append(element("figcaption", `rows: ${w.gates.join(", ")}`)); terms.append(g); }
    box.append(terms);
  }
  const rest = element("div", undefined, "rest"), t = element("table"), head = t.createTHead().insertRow();
  for (const text of ["weight", "shape", "terms", "largest", "smallest", "the sum", pass === passes[0] ? "and .grad" : ""]) { const th = element("th", text); head.append(th); }
  const body = t.createTBody(), gaps = new Map(DATA.grads.map(([leaf, , gap, equal]) => [leaf, [gap, equal]]));
  for (const w of DATA.weights.slice(0, 9)) {
    const use = pass.uses.get(w.leaf), row = body.insertRow(), name = row.insertCell();
    name.append(named(DATA.leaves[w.leaf].label), element("span", ` ${DATA.leaves[w.leaf].name}`, "soft"));
    row.insertCell().textContent = shape(DATA.leaves[w.leaf].shape);
    const sizes = use ? use.own.map(u => [u.norm, u.step]) : [], by = sizes.slice().sort((a, b) => b[0] - a[0]);
    row.insertCell().textContent = sizes.length;
    for (const one of [by[0], by[by.length - 1]]) row.insertCell().textContent = one ? `${number(one[0])}${one[1] === null ? "" : `  at k = ${one[1]}`}` : "";
    row.insertCell().textContent = use ? number(use.size) : "0";
    const last = row.insertCell();
    if (pass === passes[0] && gaps.has(w.leaf)) {
      const [gap, equal] = gaps.get(w.leaf);
      last.textContent = equal ? `equals .grad ✓ (to ${number(gap, 1)})` : `differs from .grad by ${number(gap)}`;
      last.className = equal ? "equal" : "";
    }
  }
  const figure = element("figure");
  figure.id = "table";
  figure.append(element("figcaption"));
  rest.append(t, figure);
  box.append(rest);
  triangle("table", true);
}

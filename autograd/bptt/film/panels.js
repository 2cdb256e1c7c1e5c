// ---- gradients in time: the row of cells, the strip, the triangle, the weight that fills up

let chosen = { state: 0, weight: 0, unit: 0, log: false };
const state = () => DATA.states[chosen.state];
const weight = () => DATA.weights[chosen.weight];
const every = (count, room) => { const n = Math.ceil(count / Math.max(1, room)); return [1, 2, 5, 10, 20, 25, 50, 100, 200, 500].find(v => v >= n) || n; };

function caption(id, ...parts) {
  const c = $(id).querySelector("figcaption");
  c.replaceChildren(...parts.map((p, i) => { const e = element("span"); e.append(named(p)); if (!i) e.style.cssText = "color:inherit;font-weight:600"; return e; }));
}
function canvas(id) {
  const box = $(id), old = box.querySelector("svg");
  old?.remove();
  const svg = draw("svg", { role: "img" }, box), r = svg.getBoundingClientRect();
  return [svg, Math.max(r.width, 6 * em()), Math.max(r.height, 6 * em())];  // 0 while it is hidden
}
function goTo(node) { const p = positionOf(node, true); if (p !== null && p !== undefined) { pause(); go(p); } }
function current() {                       // the step that is shown as firing
  const f = frameAt(at);
  return f.node === undefined ? null : nodes[f.node].step ?? (groups[nodes[f.node].group]?.row < 0 ? groups[nodes[f.node].group].step : null);
}

function cells() {
  const nav = $("cells");
  nav.replaceChildren();
  if (!state()) return;
  const rows = DATA.states.filter(s => s.name === state().name).slice(0, 4), unit = em();
  const high = 1.75 * unit, width = nav.clientWidth - 1.4 * unit, left = rows.length > 1 || state().where ? 8 * unit : 0;
  const steps = [...new Set(rows.flatMap(r => r.steps))].sort((a, b) => a - b), w = (width - left) / steps.length;
  const narrow = w < 2 * unit, gap = narrow ? 1.15 * unit : .35 * unit;
  const svg = draw("svg", { height: rows.length * (high + gap), role: "group", "aria-label": "time steps" }, nav);
  const label = every(steps.length, (width - left) / (2 * unit)), apart = w > 1.6 * unit ? Math.min(12, .25 * w) : w > 6 ? 2 : 0;
  rows.slice().reverse().forEach((row, r) => {
    const y = r * (high + gap);
    if (left) draw("text", { x: 0, y: y + high * .68, class: "soft", style: `font-size:${Math.max(14, .88 * unit)}px` }, svg, row.where || "");
    row.steps.forEach((t, j) => {
      const [n, k] = row.values[j], i = pass.fired.get(n), there = i !== undefined && i < fired(), size = there ? pass.norms[i] : null;
      const x = left + steps.indexOf(t) * w, cell = draw("g", { class: "cell" + (t === current() && (nodes[n].scope === nodes[frameAt(at).node]?.scope || rows.length === 1 || nodes[frameAt(at).node]?.scope === "") ? " now" : ""), role: "button", "aria-label": `step ${t}` }, svg);
      const fill = there ? sized(size, pass.ends) : n < computed() && F ? "var(--panel)" : "var(--box)";
      draw("rect", { x: x + 1, y: y + 1, width: Math.max(1, w - apart - 1), height: high - 3, rx: w > 12 ? 5 : 1, fill }, cell);
      if (narrow && t % label === 0) draw("text", { x: x + (w - apart) / 2, y: y + high + .85 * unit, "text-anchor": steps.indexOf(t) ? "middle" : "start", class: "soft", style: `font-size:${Math.max(14, .88 * unit)}px` }, svg, t);
      if (!narrow) {
        const e = write(cell, `${row.name}_{${t}}`, { x: x + (w - apart) / 2, y: y + high * .66, "text-anchor": "middle", style: `font-size:${Math.max(14, .95 * unit)}px;fill:${there ? inkOn(fill) : "var(--ink)"}` }, Math.max(14, .8 * unit));
        if (w - apart < 40) e.replaceChildren(document.createTextNode(t));
      }
      if (apart > 5 && j + 1 < row.steps.length) draw("path", { d: `M${x + w - apart + 1},${y + high / 2}h${apart - 2}`, style: "stroke:var(--into);stroke-width:2.5" }, svg);
      cell.append(draw("title", {}, null, `${plain(`${row.name}_{${t}}`)}${there ? `: size of the gradient ${number(size)}` : ""}`));
      cell.addEventListener("click", () => { pause(); const p = positionOf(n) ?? positionOf(n, false); if (p !== null) go(p); });
    });
  });
}

function strip() {                         // dL/dh_t: units by time
  if (!state()) { $("strip").hidden = true; return; }
  const s = state(), [svg, W, H] = canvas("strip"), unit = em();
  const ahead = F > 0 && at <= F;          // in the forward pass, the states themselves
  const found = s.values.map(([n, k]) => ahead ? valueOf(n, k) : pass.fired.has(n) ? (pass.full ? array(pass.gys[pass.fired.get(n)][k]) : array(pass.states.get(`${n}:${k}`))) : null);
  const units = Math.max(...found.map(a => a ? a.cols : 1));
  const columns = found.map(a => a && Array.from({ length: a.cols }, (_, c) => {
    if (a.rows === 1) return a.x[c];
    let q = 0; for (let r = 0; r < a.rows; r++) q += a.x[r * a.cols + c] ** 2;       // of a batch: its size
    return Math.sqrt(q);
  }));
  const max = most(columns.map(x => x && { x }));
  const left = 1.7 * unit, low = 1.25 * unit, w = (W - left) / s.steps.length, h = (H - low - 2) / units;
  const sizes = found.some(a => a && a.rows > 1);                                 // of a batch, or of all nodes of a height
  caption("strip", ahead ? `${s.name}_{t}` : `d${pass.name}/d${s.name}_{t}`, ` ${s.axes > 2 ? "columns" : "units"} × ${DATA.unit === "t" ? "time" : DATA.unit}${chosen.log ? ", log" : ""}${sizes ? ", sizes" : ""}`);
  const signs = element("span", undefined, "signs"), swatch = element("i");      // what colours mean
  swatch.style.background = `linear-gradient(to right, ${(sizes ? [0, .3 * max, max] : [-max, -.3 * max, 0, .3 * max, max]).map(v => signed(v, max, chosen.log ? 1e-6 : 0)).join(", ")})`;
  signs.append(swatch, `${sizes ? "to" : "±"} ${number(max, 2)}`);
  if (sizes) signs.title = s.axes > 2 ? "the root of the sum of squares over rows" : "the root of the sum of squares over the batch";
  if (found.some(Boolean)) $("strip").querySelector("figcaption").append(signs);
  draw("rect", { x: left, y: 1, width: W - left, height: h * units, class: "frame" }, svg);
  const label = every(s.steps.length, (W - left) / (1.9 * unit));
  s.steps.forEach((t, j) => {
    const [n] = s.values[j], g = draw("g", { class: "column" + ((ahead ? n < computed() : pass.fired.has(n) && pass.fired.get(n) < fired()) ? " there" : ""), "data-step": t }, svg);
    (columns[j] || []).forEach((v, c) => {
      const cell = draw("rect", { x: left + j * w, y: 1 + c * h, width: w + .4, height: h + .4, fill: signed(v, max, chosen.log ? 1e-6 : 0) }, g);
      cell.addEventListener("pointerenter", () => said(`unit ${c}, ${DATA.unit} = ${t}: ${number(v)}`, cell));
      cell.addEventListener("pointerleave", () => said(null));
      cell.addEventListener("click", () => { setUnit(c); if (ahead) { pause(); go(n + 1); } else goTo(n); });
    });
    if (t % label === 0) draw("text", { x: left + (j + .5) * w, y: H - .2 * unit, "text-anchor": "middle", class: "soft" }, svg, t);
  });
  const rows = every(units, (H - low) / (1.05 * unit));
  for (let c = 0; c < units; c += rows) draw("text", { x: left - 5, y: 1 + (c + .5) * h + 5, "text-anchor": "end", class: "soft" }, svg, c);
  const t = s.steps.indexOf(current());
  if (chosen.unit < units) draw("rect", { x: left, y: 1 + chosen.unit * h, width: W - left, height: h, class: "chosen" }, svg);
  if (t >= 0) draw("rect", { x: left + t * w, y: 1, width: w, height: h * units, class: "here" }, svg);
}

function said(text, by) {                  // a short tip at a cell
  const box = $("tip");
  box.hidden = !text;
  if (!text) return;
  box.replaceChildren(named(text));
  const r = by.getBoundingClientRect();
  box.style.left = Math.max(6, Math.min(innerWidth - box.offsetWidth - 6, r.left)) + "px";
  box.style.top = Math.max(6, r.top - box.offsetHeight - 6) + "px";
}

function table() {                         // G[t, k] of the chosen weight: [rows, steps, sizes]
  const rows = passes.length > 1 ? passes.slice(1) : [pass], leaf = weight()?.leaf;
  const by = rows.map(p => { const m = new Map(); for (const u of p.uses.get(leaf)?.own || []) m.set(u.step, Math.max(m.get(u.step) || 0, u.norm)); return m; });
  const steps = [...new Set((passes[0].uses.get(leaf)?.own || []).map(u => u.step))].sort((a, b) => (a ?? -1) - (b ?? -1));
  return [rows, steps, by];
}
function triangle(id = "triangle", all = false) {
  const [rows, steps, by] = weight() ? table() : [[], [null], []];
  $(id).hidden = steps.every(k => k === null);
  if ($(id).hidden) return;
  const [svg, W, H] = canvas(id), unit = em(), label = DATA.leaves[weight().leaf].label;
  caption(id, rows.length > 1 ? "G[t, k]" : "G[k]", rows.length > 1 ? ` of loss t by use k of ${label}` : ` by use k of ${label}`);
  const left = 2.5 * unit, low = 1.25 * unit, w = Math.min((W - left) / steps.length, 3.4 * unit), h = Math.min((H - low - 2) / rows.length, 3.4 * unit);
  const scale = ends(by.flatMap(m => [...m.values()]));
  const reached = new Map((pass.uses.get(weight().leaf)?.own || []).map(u => [u.step, u.frame < fired()]));
  draw("rect", { x: left, y: 1, width: w * steps.length, height: h * rows.length, class: "frame" }, svg);
  rows.forEach((p, r) => steps.forEach((k, c) => {
    const v = by[r].get(k);
    if (!v || !(all || reached.get(k)) || (!all && pass !== passes[0] && rows.length > 1 && p !== pass)) return;
    const cell = draw("rect", { x: left + c * w, y: 1 + r * h, width: w + .3, height: h + .3, fill: sized(v, scale), class: "entry" }, svg);
    cell.addEventListener("pointerenter", () => said(`${p.name}, use k = ${k ?? "–"}: ${number(v)}`, cell));
    cell.addEventListener("pointerleave", () => said(null));
    cell.addEventListener("click", () => { const u = pass.uses.get(weight().leaf)?.own.find(u => u.step === k); if (u) { pause(); go(F + u.frame + 1); } });
  }));
  const across = every(steps.length, w * steps.length / (1.9 * unit)), down = every(rows.length, h * rows.length / (1.1 * unit));
  steps.forEach((k, c) => { if (k !== null && k % across === 0) draw("text", { x: left + (c + .5) * w, y: Math.min(H - .2 * unit, h * rows.length + 1.05 * unit), "text-anchor": "middle", class: "soft" }, svg, k); });
  rows.forEach((p, r) => { if (r % down === 0) write(svg, p.name, { x: left - 5, y: Math.max(.75 * unit, 1 + (r + .5) * h + 5), "text-anchor": "end", class: "soft" }); });
  const c = all || current() === null ? -1 : steps.indexOf(current()), r = rows.indexOf(pass);
  if (r >= 0 && rows.length > 1) draw("rect", { x: left, y: 1 + r * h, width: w * steps.length, height: h, class: "chosen" }, svg);
  if (c >= 0) draw("rect", { x: left + c * w, y: 1, width: w, height: h * rows.length, class: "here" }, svg);
}

function blank(shape) {                    // zeros, where the page has sizes alone
  const all = shape.length ? shape : [1], cols = all[all.length - 1], rows = all.slice(0, -1).reduce((a, b) => a * b, 1), most = DATA.most;
  return { rows: Math.min(rows, most), cols: Math.min(cols, most), allRows: rows, allCols: cols, x: new Float32Array(Math.min(rows, most) * Math.min(cols, most)) };
}
function sumOf(use, upto) {                // of what the uses up to a frame have given; null if nothing yet
  const own = use.own.filter(u => u.frame < upto);
  if (!own.length) return null;
  if (own.length === use.own.length && use.total !== null) return array(use.total);
  if (!pass.full) return null;
  return own.reduce((total, u) => plus(total, array(u.g)), null);
}
const inTime = use => use.own.slice().reverse().sort((a, b) => (a.step ?? -1) - (b.step ?? -1));
function filling() {
  if (!weight()) { $("filling").hidden = true; return; }
  const { leaf, gates } = weight(), use = pass.uses.get(leaf), unit = em(), box = $("filling"), info = DATA.leaves[leaf];
  const [svg, W, H] = canvas("filling");
  if (!use) { caption("filling", `d${pass.name}/d${info.label} = 0`, " it is not used on the way"); return; }
  const done = use.own.filter(u => u.frame < fired()), total = sumOf(use, fired()), end = array(use.total) || blank(info.shape);
  const sum = total ? `size ${number(norm(total))}` : "", isOnce = use.own.length === 1 && use.own[0].step === null;
  if (isOnce) caption("filling", `d${pass.name}/d${info.label}`, ` · used once, ${sum || "later"}`);
  else caption("filling", `d${pass.name}/d${info.label} = Σ_{k} G[k]`, ` · ${sum && sum + ", "}${done.length} of ${use.own.length} use${use.own.length > 1 ? "s" : ""}`);
  const upright = a => gates.length && info.shape.length === 1 ? { ...a, rows: a.cols, cols: 1, allRows: a.allCols, allCols: 1 } : a;  // the rows of a bias are those of a weight
  const left = gates.length ? 1.5 * unit : 0, max = most([end, ...(pass.full ? use.own.map(u => array(u.g)) : [])]);
  const shown = pass.full || total !== null;       // of a pass whose page has sizes alone, the sum is there at the end
  const room = H - 4, heat = matrix(upright(total || { ...end, x: new Float32Array(end.x.length) }), max, { width: Math.min((isOnce ? 18 : 9) * unit, W * .45), height: room, gates });
  const hw = +heat.getAttribute("width"), hh = +heat.getAttribute("height");
  heat.setAttribute("x", left); heat.setAttribute("y", 1);
  heat.style.overflow = "visible";
  if (shown) svg.append(heat);
  if (shown) gates.forEach((name, i) => {
    const { rows, allRows } = upright(end), y = (i + .5) / gates.length * allRows * hh / rows;
    if (y < hh) write(svg, name, { x: left - 6, y: y + 6, "text-anchor": "end", style: "font-weight:600" });
  });
  const x0 = shown ? left + hw + 1 * unit : 0, low = 1.25 * unit, wide = W - x0, own = inTime(use), w = Math.min(wide / own.length, 2.2 * unit);
  const top = Math.max(...own.map(u => u.norm)) || 1, [a, b] = now(), label = every(own.length, own.length * w / (1.9 * unit));
  if (wide < 3 * unit || isOnce) return;
  own.forEach((u, i) => {
    const h = Math.max(1.5, (H - low - 4) * u.norm / top), on = u.frame < fired(), hot = on && F + u.frame + 1 > a && F + u.frame + 1 <= b;
    const bar = draw("rect", { x: x0 + i * w + w * .1, y: H - low - h, width: w * .8, height: h, class: "bar", fill: hot ? "var(--now)" : on ? "var(--into)" : "var(--line)" }, svg);
    bar.addEventListener("pointerenter", () => said(`use k = ${u.step ?? "–"}: size ${number(u.norm)}`, bar));
    bar.addEventListener("pointerleave", () => said(null));
    bar.addEventListener("click", () => { pause(); go(F + u.frame + 1); });
    if (u.step !== null && u.step % label === 0) draw("text", { x: x0 + (i + .5) * w, y: H - .2 * unit, "text-anchor": "middle", class: "soft" }, svg, u.step);
  });
  draw("path", { d: `M${x0},${H - low}h${own.length * w}`, stroke: "var(--soft)" }, svg);
}

// ---- the operations that are drawn together

const stage = { group: -1, svg: null, root: null, vertices: [], arrows: [], keys: new Map(), view: { x: 0, y: 0, k: 1 }, free: false };

function drawnSource(e) {       // the vertex key of what an input comes from, past nodes that are not drawn
  while (typeof e !== "number" && typeof e[0] === "number" && e[0] >= 0 && nodes[e[0]].group < 0) {
    const n = nodes[e[0]];
    if (n.drawn >= 0 && n.drawn !== e[0]) break;
    let next = n.inputs[0];
    if (n.label === "Unstack" && Array.isArray(next) && typeof next[0] === "number" && nodes[next[0]]?.label === "Stack") next = nodes[next[0]].inputs[e[1]];
    if (next === undefined) break;
    e = next;
  }
  if (typeof e === "number") return null;
  return e[0] === "l" ? "l" + e[1] : e[0] === "c" ? "c" + e[1] : e[0] < 0 ? null : `v${nodes[e[0]].drawn < 0 ? e[0] : nodes[e[0]].drawn}:${e[1]}`;
}
function vertexOf(e) {          // in the group that is shown
  const key = drawnSource(e);
  if (key === null) return undefined;
  const inner = stage.keys.get("n" + key.slice(1).split(":")[0]);
  return key[0] === "v" && inner !== undefined ? inner : stage.keys.get(key);
}
const keyOf = ref => ref[0] === "n" ? "n" + ref[1] : ref[0] === "v" ? `v${ref[1]}:${ref[2]}` : ref[0] + ref[1];

function build(g) {
  const group = groups[g], scene = DATA.scenes[group.scene];
  Object.assign(stage, { group: g, vertices: [], arrows: [], keys: new Map(), free: false });
  $("stage").querySelector("svg.graph")?.remove();
  const svg = stage.svg = draw("svg", { class: "graph", role: "group", "aria-label": `${group.title || "outside of all steps"}${group.step === null ? "" : `, ${DATA.unit} = ${group.step}`}` });
  const defs = draw("defs", {}, svg);
  for (const id of ["tipped", "flowing"]) {
    const m = draw("marker", { id, viewBox: "0 0 10 10", refX: 9, refY: 5, markerWidth: 11, markerHeight: 11, orient: "auto-start-reverse", markerUnits: "userSpaceOnUse" }, defs);
    draw("path", { d: "M0,1L10,5L0,9z" }, m);
  }
  stage.root = draw("g", {}, svg);
  scene.arrows.forEach(([a, b], i) => {
    const link = ["in", "out"].includes(scene.vertices[a][0]) || ["in", "out"].includes(scene.vertices[b][0]);
    stage.arrows.push({ a, b, path: draw("path", { d: scene.paths[i], class: link ? "arrow link" : "arrow", "marker-end": "url(#tipped)" }, stage.root) });
  });
  scene.vertices.forEach(([kind, label], i) => {
    const [x, y, w, h] = scene.places[i], ref = group.refs[i];
    const v = draw("g", { class: `vertex ${kind}`, transform: `translate(${x},${y})`, tabindex: 0, role: "button" }, stage.root);
    if (w === h && kind === "op") draw("circle", { r: w / 2 - 1 }, v);
    else draw("rect", { x: -w / 2, y: -h / 2, width: w, height: h, rx: kind === "op" ? 9 : ["in", "out", "variable", "result"].includes(kind) ? h / 2 : kind === "mover" ? 6 : 3 }, v);
    write(v, resolve(label, group.step), { y: 5.5 }, 16);
    const weight = ref[0] === "l" && DATA.weights.find(w => w.leaf === ref[1]);
    if (weight) v.firstChild.style.stroke = weight.line;
    const entry = { g: v, kind, ref, name: resolve(label, group.step) };
    stage.vertices.push(entry);
    for (const one of ref[0] === "m" ? ref.slice(1) : [ref]) stage.keys.set(keyOf(one), i);
    v.addEventListener("pointerenter", () => tip(entry));
    v.addEventListener("pointerleave", () => tip(null));
    v.addEventListener("focus", () => { if (v.matches(":focus-visible")) tip(entry); });
    v.addEventListener("blur", () => tip(null));
    v.addEventListener("click", () => { if (!stage.moved) visit(entry); });
    v.addEventListener("keydown", e => { if (e.key === "Enter" || e.key === " ") { e.preventDefault(); e.stopPropagation(); visit(entry, true); } });
  });
  $("stage").prepend(svg);
  $("stage").querySelector(".title").replaceChildren(named(titleOf(group)));
  fit(false);
}
function titleOf(group) {
  if (group.row < 0 && group.step !== null) return `what makes L_{${group.step}} of the output`;
  return `${group.title ? group.title + " · " : ""}${group.step === null ? "outside of all steps" : `${DATA.unit} = ${group.step}`}`;
}
function nodeOf(ref) {
  const one = ref[0] === "m" ? ref[ref.length - 1] : ref;
  return one[0] === "n" || one[0] === "v" ? one[1] : null;
}
function visit(entry, focus) {        // go to the frame in which this vertex fires, or is computed
  const n = nodeOf(entry.ref);
  if (n === null || n < 0) return;
  const p = positionOf(n) ?? positionOf(n, false);
  if (p === null) return;
  pause();
  go(p);
  if (focus) stage.vertices[stage.keys.get("n" + n)]?.g.focus();
}
function sizeOf(ref) {                // the norm of the gradient that has arrived at a vertex; null if none
  if (ref[0] === "n") {
    const i = pass.fired.get(ref[1]);
    return i !== undefined && i < fired() ? pass.norms[i] : sumAt(`n${ref[1]}:0`);
  }
  if (ref[0] === "v") return sumAt(`n${ref[1]}:${ref[2]}`);
  if (ref[0] === "l") {
    const use = pass.uses.get(ref[1]);
    if (!use) return null;
    let total = null;
    for (const u of use.own) { if (u.frame >= fired()) break; total = pass.full ? plus(total, array(u.g)) : u.norm; }
    return total === null ? null : typeof total === "number" ? total : norm(total);
  }
  if (ref[0] === "m") {
    const found = ref.slice(1).map(sizeOf).filter(v => v !== null);
    return found.length ? Math.max(...found) : null;
  }
  return null;
}
function paint() {
  const [a, b] = now(), current = frameAt(b), back = current.kind === "backward" || current.kind === "sum";
  let g = -1;
  for (let p = b; p > a && g < 0; p--) { const f = frameAt(p); if (f.node !== undefined) g = nodes[f.node].group; if (g < 0 && f.node !== undefined && nodes[f.node].drawn >= 0) g = nodes[nodes[f.node].drawn].group; }
  if (g < 0) g = stage.group >= 0 ? stage.group : F ? groups.findIndex(x => x.nodes.includes(0)) : nodes[pass.nodes[0]].group;
  if (g < 0) g = nodes.find(n => n.group >= 0)?.group ?? 0;
  if (g !== stage.group) build(g);
  const firing = [];
  for (let p = a + 1; p <= b; p++) { const f = frameAt(p); if (f.node !== undefined) firing.push(f); }
  const marks = stage.vertices.map(() => ""), flows = new Set();
  for (const f of firing) {
    const n = nodes[f.node], at = stage.keys.get("n" + (n.drawn >= 0 ? n.drawn : f.node));
    n.inputs.forEach((e, k) => {
      if (back && placeOf(e) === null) return;
      const tail = vertexOf(e);
      if (tail === undefined || tail === at) return;
      marks[tail] ||= "into";
      if (at !== undefined) flows.add(tail + "," + at);
    });
  }
  for (const f of firing) { const n = nodes[f.node], at = stage.keys.get("n" + (n.drawn >= 0 ? n.drawn : f.node)); if (at !== undefined) marks[at] = "now"; }
  stage.vertices.forEach((v, i) => {
    const n = nodeOf(v.ref), shape = v.g.firstChild, text = v.g.querySelector("text");
    const size = at > F || !F ? sizeOf(v.ref) : null;
    const waits = back ? size === null : v.ref[0] !== "l" && v.ref[0] !== "c" && n !== null && n >= computed() && F > 0;
    v.g.setAttribute("class", `vertex ${v.kind} ${marks[i]} ${waits && !(at === 0) ? "waiting" : ""} ${n !== null ? "goes" : ""}`);
    const fill = size === null ? (v.ref[0] === "l" ? DATA.weights.find(w => w.leaf === v.ref[1])?.fill : null) : sized(size, pass.ends);
    shape.style.fill = fill || "";
    text.style.fill = size !== null ? inkOn(fill) : fill ? "#101214" : "";
    v.g.setAttribute("aria-label", `${plain(v.name)}${size === null ? "" : `, size of the gradient ${number(size)}`}`);
  });
  stage.arrows.forEach(({ a: tail, b: head, path }) => {
    const flowing = flows.has(tail + "," + head);
    path.classList.toggle("flow", flowing);
    path.classList.toggle("back", back);
    path.setAttribute("marker-end", back ? "" : `url(#${flowing ? "flowing" : "tipped"})`);
    path.setAttribute("marker-start", back ? `url(#${flowing ? "flowing" : "tipped"})` : "");
  });
  legend(back);
  if (!stage.free) centre();
}
function legend(back) {
  const box = $("stage").querySelector(".legend");
  box.replaceChildren();
  if (!at) return;
  for (const [what, colour] of [[back ? "fires" : "computed now", "now"], [back ? "gets a gradient" : "its inputs", "into"]]) {
    const swatch = element("i");
    swatch.style.borderColor = `var(--${colour})`;
    box.append(swatch, element("span", what));
  }
  if (!back) return;
  const [low, high] = pass.ends, svg = draw("svg", { viewBox: "0 0 24 1", preserveAspectRatio: "none", role: "img", "aria-label": "scale of colours" });
  for (let i = 0; i < 24; i++) draw("rect", { x: i, y: 0, width: 1.1, height: 1, fill: sized(low * (high / low) ** (i / 23), [low, high]) }, svg);
  const what = element("span", "size of "); what.append(named(`d${pass.name}/d·`));
  box.append(what, element("span", number(low, 1)), svg, element("span", number(high, 1)));
}

// ---- where the picture is

const frameSize = () => ({ w: $("stage").clientWidth, h: $("stage").clientHeight, top: 1.5 * em(), bottom: 1.3 * em() });
function place() { stage.root?.setAttribute("transform", `translate(${stage.view.x.toFixed(1)},${stage.view.y.toFixed(1)}) scale(${stage.view.k.toFixed(4)})`); }
function fit(all) {            // as large as it fits; letters stay readable unless all of it is wanted
  if (stage.group < 0) return;
  const [w, h] = DATA.scenes[groups[stage.group].scene].size, box = frameSize();
  const k = Math.min((box.w - 16) / w, (box.h - box.top - box.bottom) / h, 1.7 * em() / 16);
  stage.view.k = all ? k : Math.max(k, .875);        // letters of 16
  stage.free = false;
  centre();
}
function centre() {
  if (stage.group < 0) return;
  const scene = DATA.scenes[groups[stage.group].scene], [w, h] = scene.size, box = frameSize(), k = stage.view.k;
  const marked = stage.vertices.map((v, i) => v.g.classList.contains("now") ? scene.places[i] : null).filter(Boolean);
  const x = marked.length ? marked.reduce((s, p) => s + p[0], 0) / marked.length : at ? w / 2 : 0;
  const y = marked.length ? marked.reduce((s, p) => s + p[1], 0) / marked.length : h / 2;
  const along = (size, free, middle, start) => size * k <= free ? start + (free - size * k) / 2 : Math.min(start, Math.max(start + free - size * k, start + free / 2 - middle * k));
  stage.view.x = along(w, box.w - 8, x, 4);
  stage.view.y = along(h, box.h - box.top - box.bottom, y, box.top);
  place();
}
function zoom(factor, cx, cy) {
  const box = frameSize(), k = Math.min(6, Math.max(.05, stage.view.k * factor));
  cx ??= box.w / 2; cy ??= box.h / 2;
  stage.view = { x: cx - (cx - stage.view.x) * k / stage.view.k, y: cy - (cy - stage.view.y) * k / stage.view.k, k };
  stage.free = true;
  place();
}
const pointers = new Map();
function hold() {
  const box = $("stage");
  const spot = e => { const r = box.getBoundingClientRect(); return { x: e.clientX - r.left, y: e.clientY - r.top }; };
  box.addEventListener("pointerdown", e => { pointers.set(e.pointerId, spot(e)); stage.moved = false; });
  addEventListener("pointermove", e => {
    if (!pointers.has(e.pointerId)) return;
    const old = pointers.get(e.pointerId), p = spot(e);
    if (pointers.size === 1) {
      if (!stage.moved && Math.hypot(p.x - old.x, p.y - old.y) < 4) return;
      stage.view.x += p.x - old.x; stage.view.y += p.y - old.y;
      box.classList.add("dragged");
      stage.moved = stage.free = true;
      place();
    } else {                    // two fingers
      const [other] = [...pointers].filter(([id]) => id !== e.pointerId).map(([, q]) => q);
      const was = Math.hypot(old.x - other.x, old.y - other.y), is = Math.hypot(p.x - other.x, p.y - other.y);
      if (was > 0) zoom(is / was, (p.x + other.x) / 2, (p.y + other.y) / 2);
      stage.moved = true;
    }
    pointers.set(e.pointerId, p);
  });
  for (const kind of ["pointerup", "pointercancel"]) addEventListener(kind, e => { pointers.delete(e.pointerId); box.classList.remove("dragged"); });
  box.addEventListener("wheel", e => { e.preventDefault(); const p = spot(e); zoom(Math.exp(-e.deltaY / (e.ctrlKey ? 120 : 500)), p.x, p.y); }, { passive: false });
}

// ---- what is under the pointer

function tip(entry) {
  const box = $("tip");
  box.hidden = !entry;
  if (!entry) return;
  const one = entry.ref[0] === "m" ? entry.ref[entry.ref.length - 1] : entry.ref, n = nodeOf(entry.ref);
  const lines = [];
  if (n !== null && n >= 0) {
    const node = nodes[n], k = one[0] === "v" ? one[2] : 0;
    lines.push(["b", equationOf(n)]);
    lines.push(["div", `${node.label}${node.scope ? " in " + node.scope : ""}${node.step === null ? "" : `, ${DATA.unit} = ${node.step}`}`]);
    const value = valueOf(n, k);
    if (value && (at > F || n < computed())) lines.push(["div", `value ${few(value)}`]);
    if (node.rule) lines.push(["div", node.rule]);
    const g = gradientOf(n, k);
    if (g) lines.push(["div", `gradient ${few(g)}`]);
  } else {
    const leaf = one[0] === "l" ? DATA.leaves[one[1]] : null, value = valueOfEdge(one);
    lines.push(["b", leaf ? `${leaf.label} ${leaf.name}` : entry.name]);
    lines.push(["div", shape((leaf || DATA.constants[one[1]]).shape) + (leaf ? "" : ", a constant")]);
    if (value) lines.push(["div", `value ${few(value)}`]);
  }
  const size = sizeOf(entry.ref);
  if (size !== null && at > F) lines.push(["div", `size of the gradient ${number(size)}`]);
  box.replaceChildren(...lines.map(([tag, text]) => { const e = element(tag); e.append(named(text)); return e; }));
  const r = entry.g.getBoundingClientRect(), w = box.offsetWidth, h = box.offsetHeight;
  box.style.left = Math.max(6, Math.min(innerWidth - w - 6, r.left + r.width / 2 - w / 2)) + "px";
  box.style.top = (r.bottom + h + 8 < innerHeight ? r.bottom + 6 : Math.max(6, r.top - h - 6)) + "px";
}
const few = a => a.x.length <= 6 && whole(a) ? `(${[...a.x].map(v => number(v, 2)).join(", ")})` : `${a.allRows}×${a.allCols}, size ${number(norm(a))}`;
const shape = s => s.length ? s.join("×") : "a number";

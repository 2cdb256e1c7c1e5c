// ---- what happens at which position

const KINDS = DATA.kinds.map(([label, symbol, rule, letters, several, outs, equation]) => ({ label, symbol, rule, letters, several, outs, equation }));
const nodes = DATA.nodes.map(([kind, group, drawn, step, scope, inputs]) => ({ ...KINDS[kind], group, drawn, step, scope: DATA.scopes[scope], inputs }));
const groups = DATA.groups.map(([scene, title, step, refs, row]) => ({ scene, title, step, refs, row, nodes: [] }));
nodes.forEach((n, i) => { if (n.group >= 0) groups[n.group].nodes.push(i); });
const F = DATA.forward ? nodes.length : 0;      // forward frames; then come the backward ones, and the sum
const placeOf = e => typeof e === "number" ? null : e[0] === "l" ? "l" + e[1] : e[0] === "c" ? null : `n${e[0]}:${e[1]}`;
const passes = DATA.passes.map(readPass);
let pass = passes[0];
let at = 0, N = length();                       // the position: 0 is the start, N the sum
function length() { return F + pass.nodes.length + 1; }

function readPass(p) {
  p.nodes = [];
  for (let i = 0; i < p.runs.length; i += 2) for (let n = p.runs[i]; n >= p.runs[i + 1]; n--) p.nodes.push(n);
  const fired = new Map(p.nodes.map((n, i) => [n, i]));
  if (!p.full) p.norms = [...new Uint16Array(Uint8Array.from(atob(p.norms), c => c.charCodeAt(0)).buffer)].map(v => v && 10 ** (v / 1000 - 40));
  const uses = new Map(p.uses.map(([leaf, total, size, own]) => [leaf, { total, size, own: (p.full ? own : aligned(leaf, own, fired)).map(([frame, n, g]) => ({ frame, g, norm: n, step: nodes[p.nodes[frame]].step })) }]));
  const states = new Map((p.states || []).map(([i, k, g]) => [`${p.nodes[i]}:${k}`, g]));
  return { ...p, fired, given: givenOf(p), uses, states, ends: ends(p.norms) };
}
function givenOf(p) {                           // place -> [[frame, input, array or null, norms], ...]
  const given = new Map();
  p.nodes.forEach((n, i) => nodes[n].inputs.forEach((e, k) => {
    const place = placeOf(e), g = p.full ? p.gxs[i][k] : null;
    if (place === null || (p.full && !g)) return;
    if (!given.has(place)) given.set(place, []);
    given.get(place).push([i, k, g]);
  }));
  return given;
}
// The numbers of a pass of which the page has the sizes: the engine of the live panel computes them, if it is there.
function complete(p) {
  const graph = typeof bptt === "undefined" ? null : bptt.view?.models?.[0]?.graph;
  if (p.full || !p.seeds || graph?.nodes.length !== nodes.length || graph.nodes.some((n, i) => n.op !== nodes[i].label)) return;
  const run = engine.run(graph, graph.leaves, Infinity, null, p.seeds), sums = new Map(), found = new Map();
  for (const [leaf, use] of p.uses) {           // the contribution of every use, in the layout of the weight
    const reads = e => Array.isArray(e) && e[0] === "l" && e[1] === leaf, n = nodes.findIndex(n => n.inputs.some(reads));
    const own = graph.nodes[n].inputs[nodes[n].inputs.findIndex(reads)].leaf, rest = run.uses[own].slice();
    const gs = use.own.map(u => rest.splice(rest.findIndex(r => p.fired.get(r.node) === u.frame), 1)[0]);
    if (gs.some((r, i) => p.fired.get(r?.node) !== use.own[i].frame)) return;
    found.set(use, [run.ofLeaves[own], ...gs.map(r => engine.carried(graph, own, r.input, r.gx))]);
  }
  for (const [use, [total, ...gs]] of found) {
    Object.assign(use, { total: kept(total), size: engine.norm(total) });
    use.own.forEach((u, i) => Object.assign(u, { g: kept(gs[i]), norm: engine.norm(gs[i]) }));
  }
  p.gys = p.nodes.map(n => run.values[n].map((y, k) => kept(run.gradients[n][k] || engine.array(y.shape))));
  p.gxs = p.nodes.map(n => nodes[n].inputs.map((e, k) => {
    const gx = run.given[n][k], place = placeOf(e);
    if (place === null || !gx) return null;
    const before = sums.get(place), sum = before ? gx.data.map((v, i) => v + before[i]) : gx.data, g = kept(gx);
    sums.set(place, sum);
    return whole(array(g)) ? [g] : [g, engine.norm(gx), engine.norm({ data: sum })];
  }));
  p.full = true;
  p.given = givenOf(p);
}
function kept({ shape, data }) {                // as one of the page's arrays: its number
  const all = [shape.slice(0, -1).reduce((a, b) => a * b, 1), shape.length ? shape[shape.length - 1] : 1], [rows, cols] = all.map(n => Math.min(n, DATA.most));
  const x = new Float32Array(rows * cols), number = DATA.arrays.push(null) - 1;
  for (let r = 0; r < rows; r++) for (let c = 0; c < cols; c++) x[r * cols + c] = data[r * all[1] + c];
  decoded.set(number, { rows, cols, allRows: all[0], allCols: all[1], x });
  return number;
}
function aligned(leaf, sizes, fired) {          // sizes of uses with the frames in which they are: those of the whole pass that fire
  const whole = DATA.passes[0], own = whole.uses.find(([l]) => l === leaf)[3], reached = own.filter(([frame]) => fired.has(whole.nodes[frame]));
  return sizes.map((size, i) => [fired.get(whole.nodes[reached[i][0]]), size]);
}
function frameAt(position) {                    // {kind: "start" | "forward" | "backward" | "sum", i, node}
  if (position <= 0) return { kind: "start" };
  if (position <= F) return { kind: "forward", i: position - 1, node: position - 1 };
  if (position < N) return { kind: "backward", i: position - F - 1, node: pass.nodes[position - F - 1] };
  return { kind: "sum" };
}
const fired = () => Math.max(0, Math.min(at - F, pass.nodes.length));     // how many have fired
const computed = () => Math.min(at, F);
const positionOf = (node, back = at > F || !F) => back ? (pass.fired.has(node) ? F + 1 + pass.fired.get(node) : null) : node + 1;

function before(place, frame, input) {          // what was there before this input of this frame was added
  let total = null;
  for (const [i, k, g] of pass.given.get(place) || []) {
    if (i > frame || (i === frame && k >= input)) break;
    total = plus(total, array(g[0]));
  }
  return total;
}
function sumAt(place) {                         // the norm of what has arrived there so far; null if nothing
  const done = fired();
  const m = /^n(\d+):(\d+)$/.exec(place);
  if (m && pass.fired.has(+m[1]) && pass.fired.get(+m[1]) < done) return pass.norms[pass.fired.get(+m[1])];
  let total = null, last = null;
  for (const [i, , g] of pass.given.get(place) || []) {
    if (i >= done) break;
    if (!pass.full) return null;
    total = plus(total, array(g[0]));
    last = g;
  }
  return total === null ? null : last.length > 1 ? last[2] : norm(total);
}
function gradientOf(node, k) {                  // of a value, when it is complete; null before
  const i = pass.fired.get(node);
  if (i === undefined || i >= fired()) return null;
  return pass.full ? array(pass.gys[i][k]) : array(pass.states.get(`${node}:${k}`));
}
const valueOf = (node, k) => DATA.forward ? array(DATA.forward[node][k]) : null;
function valueOfEdge(e) {
  if (typeof e === "number") return { rows: 1, cols: 1, allRows: 1, allCols: 1, x: [e] };
  return e[0] === "l" ? array(DATA.leaves[e[1]].value) : e[0] === "c" ? array(DATA.constants[e[1]].value) : e[0] < 0 ? null : valueOf(e[0], e[1]);
}
function nameOf(e, step) {                      // of an input, as seen from a step: relative names are made absolute
  if (typeof e === "number") return number(e);
  if (e[0] === "l") return DATA.leaves[e[1]].label + (e[2] || "");
  if (e[0] === "c") return resolve(DATA.constants[e[1]].label, DATA.constants[e[1]].step ?? step);
  return e[0] < 0 ? "?" : resolve(nodes[e[0]].outs[e[1]], nodes[e[0]].step);
}
const outName = (n, k = 0) => resolve(nodes[n].outs[k], nodes[n].step);
function equationOf(n) {                        // what an operation computes, with a name for it if it has one
  const right = resolve(nodes[n].equation, nodes[n].step), left = leftOf(n);
  return left === right || left === nodes[n].symbol ? right : `${left} = ${right}`;
}
const leftOf = n => `${nodes[n].several ? `(${nodes[n].outs.slice(0, 6).map((_, k) => outName(n, k)).join(", ")}${nodes[n].outs.length > 6 ? ", …" : ""})` : outName(n)}`;

// The name of a gradient: dh_3, δ_3 for what comes before the gates.
const gateZ = DATA.weights.some(w => w.gates.includes("z"));
const gradientName = name => name === "L" ? "dL" : !gateZ && /^z_\{\d+\}$/.test(name) ? name.replace("z", "δ") : /^[\p{L}][^\s()]*$/u.test(name) ? "d" + name : `d(${name})`;
const elementwise = n => /^(Add|Sub|Mul|Div|Neg|Tanh|Sigmoid|Relu|Lerp|Square|Exp|Log|Sqrt|Abs|Softplus|Silu|Maximum|Minimum|Power|Reciprocal|Where|Clip|Sin|Cos|Expm1|Log1p|Cast|Erf)$/.test(n.label);

// The parts of a rule, "ga = gy b, gb = gy a": [[letter of the input, right side], ...].
const ruleParts = rule => rule.split(/,\s+(?=g\w+ = )/).map(part => part.match(/^g(\w+) = (.*)$/)).filter(Boolean).map(m => [m[1], m[2].replace(/;.*$/, "")]);
const TOKEN = /(?<![\p{L}\d])gy(?![a-zA-Z\d])|(?<![\p{L}\d])[a-zA-Z](?![a-zA-Z\d(])/gu;
function filled(rhs, node, word, product) {     // a right side with its letters replaced
  const out = [];
  let last = 0, wasValue = false;
  for (const m of rhs.matchAll(TOKEN)) {
    const text = word(m[0]);
    if (text === null) continue;
    const gap = rhs.slice(last, m.index);
    const after = wasValue ? gap.replace(/^([ᵀ²ⁿ⁻¹]*)\s+$/, `$1${product}`).replace(/^([ᵀ²ⁿ⁻¹]*)\s+\(/, `$1${product}(`) : gap.replace(/(\))\s+$/, `$1${product}`);
    out.push(after, text);
    last = m.index + m[0].length;
    wasValue = true;
  }
  const tail = rhs.slice(last);
  out.push(wasValue ? tail.replace(/^([ᵀ²]*)\s+\(/, `$1${product}(`) : tail);
  return out.join("");
}
function ruleInNames(n, letter, rhs) {          // "gy b" -> "dh_3 ∘ o_3"
  const node = nodes[n];
  const text = filled(rhs, node, token => {
    if (token === "gy") return node.several ? `(${gradientName(outName(n))}, …, ${gradientName(outName(n, node.outs.length - 1))})` : gradientName(outName(n));
    if (token === "y") return bracket(outName(n));
    const i = node.letters.indexOf(token);
    return i < 0 ? null : bracket(nameOf(node.inputs[i], node.step));
  }, elementwise(node) ? " ∘ " : " ");
  return text.replace(/ᵀᵀ/g, "").replace(/(?<![\w)])-(?=\S)| - /g, m => m.replace("-", "−"));
}
const bracket = name => / [+−] /.test(name.replace(/\([^()]*\)/g, "")) ? `(${name})` : name;
function pick(a, unit) {                        // the number of a unit, in the first row; of an array with one number, that
  if (!a || !a.x.length) return null;
  if (a.cols === 1) return a.x[0];
  return unit < a.cols ? a.x[unit] : null;
}
function ruleInNumbers(n, letter, rhs, gy, unit) {      // "gy b" -> "0.31 · (−0.52)"; null where not elementwise
  const node = nodes[n];
  if (!elementwise(node)) return null;
  let all = true;
  const text = filled(rhs, node, token => {
    const a = token === "gy" ? gy : token === "y" ? valueOf(n, 0) : (i => i < 0 ? undefined : valueOfEdge(node.inputs[i]))(node.letters.indexOf(token));
    if (a === undefined) return null;
    const v = pick(a, unit);
    if (v === null) { all = false; return "?"; }
    return v < 0 ? `(${number(v)})` : number(v);
  }, " · ");
  return all ? text : null;
}

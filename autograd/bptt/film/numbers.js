// ---- numbers, names and colours

const $ = id => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const ALL = new Float32Array(Uint8Array.from(atob(DATA.numbers), c => c.charCodeAt(0)).buffer), starts = [];
DATA.arrays.reduce((start, shape, i) => (starts[i] = start) + DATA.shapes[shape][0] * DATA.shapes[shape][1], 0);
const decoded = new Map();
function array(i) {     // {rows, cols, allRows, allCols, x}; i is its number in DATA.arrays
  if (i === null || i === undefined) return null;
  if (!decoded.has(i) && i < 0) {       // transposed
    const a = array(-1 - i), x = new Float32Array(a.x.length);
    for (let r = 0; r < a.rows; r++) for (let c = 0; c < a.cols; c++) x[c * a.rows + r] = a.x[r * a.cols + c];
    decoded.set(i, { rows: a.cols, cols: a.rows, allRows: a.allCols, allCols: a.allRows, x });
  }
  if (!decoded.has(i)) {
    const [rows, cols, allRows, allCols] = DATA.shapes[DATA.arrays[i]];
    decoded.set(i, { rows, cols, allRows, allCols, x: ALL.subarray(starts[i], starts[i] + rows * cols) });
  }
  return decoded.get(i);
}
const whole = a => a.rows === a.allRows && a.cols === a.allCols;
function plus(a, b) {
  return a ? { ...b, x: b.x.map((v, i) => v + a.x[i]) } : b;
}
function norm(...arrays) {
  let s = 0;
  for (const a of arrays) for (const v of a.x) s += v * v;
  return Math.sqrt(s);
}
function most(arrays) {
  let m = 0;
  for (const a of arrays) if (a) for (const v of a.x) if (Math.abs(v) > m && isFinite(v)) m = Math.abs(v);
  return m || 1;
}
function number(v, digits = 3) {
  if (!isFinite(v)) return Number.isNaN(v) ? "NaN" : v < 0 ? "−∞" : "∞";
  if (v === 0) return "0";
  const a = Math.abs(v);
  if (digits === 0) return a >= 1e-3 && a < 1e4 ? (a < 1 ? v.toFixed(3) : String(+v.toPrecision(3))).replace("-", "−") : v.toExponential(0).replace("e+", "e").replace(/-/g, "−");
  const text = a >= 1e4 || a < 1e-3 ? v.toExponential(1) : String(+v.toPrecision(digits));
  return text.replace("e+", "e").replace(/-/g, "−");
}

// Names are text with subscripts, as W_{hh}; {@} is the number of the step, {@-1} of the one before.
const resolve = (name, step) => name.replace(/\{@([+-]\d+)?\}/g, (_, by) => `{${step === null ? "t" + (by || "") : step + +(by || 0)}}`);
function pieces(name) {      // [[text, is it a subscript], ...]
  return name.split(/(_\{[^}]*\})/).filter(Boolean).map(p => p.startsWith("_{") ? [p.slice(2, -1).replace("-", "−"), true] : [p, false]);
}
function named(text) {       // as a span with <sub>
  const span = document.createElement("span");
  for (const [part, low] of pieces(text)) span.append(low ? element("sub", part) : part);
  return span;
}
const LOW = { 0: "₀", 1: "₁", 2: "₂", 3: "₃", 4: "₄", 5: "₅", 6: "₆", 7: "₇", 8: "₈", 9: "₉", "−": "₋", "-": "₋", "+": "₊", i: "ᵢ", o: "ₒ", h: "ₕ", t: "ₜ", x: "ₓ", n: "ₙ" };
function plain(text) {       // as text without markup
  return pieces(text).map(([part, low]) => !low ? part : [...part].every(c => c in LOW) ? [...part].map(c => LOW[c]).join("") : `_${part}`).join("");
}
function draw(tag, attributes, parent, text) {
  const e = document.createElementNS(SVG, tag);
  for (const k in attributes) e.setAttribute(k, attributes[k]);
  if (text !== undefined) e.textContent = text;
  if (parent) parent.append(e);
  return e;
}
function write(parent, text, attributes, size = 14) {   // text with subscripts, in an SVG
  const e = draw("text", attributes, parent);
  let low = false;
  for (const [part, sub] of pieces(text)) {
    const span = draw("tspan", {}, e, part);
    if (sub !== low) span.setAttribute("dy", sub ? "4" : "-4");
    if (sub) span.setAttribute("font-size", size);
    low = sub;
  }
  return e;
}
function element(tag, text, kind) {
  const e = document.createElement(tag);
  if (text !== undefined) e.textContent = text;
  if (kind) e.className = kind;
  return e;
}

// Signed numbers are blue to red; sizes are a scale of their own, logarithmic.
const isDark = () => document.documentElement.classList.contains("dark");
const em = () => parseFloat(getComputedStyle(document.documentElement).fontSize);
const SIGNED = { light: [[255, 255, 255], [178, 24, 43], [33, 102, 172]], dark: [[38, 44, 49], [255, 106, 92], [92, 164, 255]] };
const SIZES = {
  light: [[255, 243, 214], [253, 204, 138], [252, 141, 89], [215, 48, 31], [127, 0, 0]],
  dark: [[62, 40, 30], [112, 58, 24], [176, 84, 20], [240, 132, 48], [255, 226, 160]],
};
const css = c => `rgb(${c.map(Math.round).join(",")})`;
const mix = (a, b, s) => a.map((v, k) => v + (b[k] - v) * s);
function signed(v, max, low) {     // low: the size that has no colour any more, on a logarithmic scale
  if (!isFinite(v)) return "#c000c0";
  const [zero, up, down] = SIGNED[isDark() ? "dark" : "light"], a = Math.abs(v) / max;
  const s = low ? Math.max(0, Math.min(1, 1 - Math.log10(Math.max(a, 1e-300)) / Math.log10(low))) : Math.pow(Math.min(1, a), .6);
  return css(mix(zero, v < 0 ? down : up, v === 0 ? 0 : s));
}
function sized(v, [low, high]) {
  if (!isFinite(v)) return "#c000c0";
  const stops = SIZES[isDark() ? "dark" : "light"];
  if (!(v > 0)) return css(stops[0]);
  const at = Math.max(0, Math.min(.9999, (Math.log10(v) - Math.log10(low)) / (Math.log10(high) - Math.log10(low) || 1))) * (stops.length - 1);
  return css(mix(stops[Math.floor(at)], stops[Math.floor(at) + 1], at % 1));
}
function inkOn(colour) {           // black or white, whichever can be read on it
  const m = /rgb\((\d+),(\d+),(\d+)\)/.exec(colour);
  if (!m) return "#ffffff";
  const [r, g, b] = m.slice(1).map(v => { const c = v / 255; return c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4; });
  return .2126 * r + .7152 * g + .0722 * b > .179 ? "#101214" : "#ffffff";
}
function ends(values) {            // of a logarithmic scale: at most six powers of ten
  const found = values.filter(v => v > 0 && isFinite(v));
  const high = Math.max(...found, 1e-30), low = Math.max(Math.min(...found, high), high * 1e-6);
  return [low === high ? high / 10 : low, high];
}

// An array as an SVG: numbers on colours where they fit, else colours.
function matrix(a, max, { width, height, marked = -1, gates = [] } = {}) {
  const unit = em(), room = width || 23.6 * unit, one = a.rows <= 2 && a.cols <= 8 && whole(a) && !height;
  const w = one ? Math.min(5.5 * unit, room / a.cols) : Math.max(1, Math.min(1.5 * unit, room / a.cols));
  const h = one ? 1.45 * unit : Math.max(1, Math.min(1.5 * unit, (height || 4 * unit) / a.rows));
  const svg = draw("svg", { width: Math.ceil(w * a.cols), height: Math.ceil(h * a.rows), role: "img", "aria-label": `${a.allRows} by ${a.allCols} numbers` });
  for (let r = 0; r < a.rows; r++) for (let c = 0; c < a.cols; c++) {
    const v = a.x[r * a.cols + c], fill = signed(v * (one ? .75 : 1), max);
    draw("rect", { x: c * w, y: r * h, width: w + (one ? 0 : .5), height: h + (one ? 0 : .5), fill, ...(one ? { stroke: "var(--line)" } : {}) }, svg);
    if (one) draw("text", { x: (c + .5) * w, y: r * h + .68 * h, style: `fill:${inkOn(fill)}` }, svg, number(v, w < 4 * unit ? 0 : 3));
  }
  for (let i = 1; i < gates.length; i++) {
    const y = i * a.allRows / gates.length * h;
    if (y < h * a.rows) draw("path", { d: `M0,${y}H${w * a.cols}`, stroke: "var(--ink)", "stroke-width": 1.5 }, svg);
  }
  draw("rect", { x: .5, y: .5, width: w * a.cols - 1, height: h * a.rows - 1, class: "frame" }, svg);
  if (marked >= 0 && marked < a.cols && a.cols > 1) draw("rect", { x: marked * w + 1, y: 1, width: w - 2, height: h * a.rows - 2, class: "chosen" }, svg);
  return svg;
}

// ---- what is seen as SVG, PNG, GIF, and on paper

const STYLED = ["fill", "stroke", "stroke-width", "stroke-dasharray", "opacity", "font-size", "font-family", "font-weight", "text-anchor"];
function flat(source) {        // an SVG element of the page with its style written out
  const copy = source.cloneNode(false);
  copy.removeAttribute("class"); copy.removeAttribute("style"); copy.removeAttribute("tabindex"); copy.removeAttribute("role"); copy.removeAttribute("aria-label");
  const style = getComputedStyle(source);
  for (const name of STYLED) {
    const value = style.getPropertyValue(name);
    if (value && !(name === "opacity" && value === "1") && !(name === "stroke-dasharray" && value === "none")) copy.setAttribute(name, value.replace(/"/g, "'"));
  }
  for (const child of source.childNodes) {
    if (child.nodeType === 3) copy.append(child.textContent);
    else if (child.nodeName !== "title") copy.append(flat(child));
  }
  return copy;
}
function copyInto(svg, box, ox, oy) {       // an element of the page with all that is in it
  const style = getComputedStyle(box), r = box.getBoundingClientRect();
  if (style.display === "none" || style.visibility === "hidden" || !r.width) return;
  if (box.namespaceURI === SVG) {
    const copy = flat(box);
    for (const [k, v] of [["x", r.left - ox], ["y", r.top - oy], ["width", r.width], ["height", r.height]]) copy.setAttribute(k, v.toFixed(1));
    copy.setAttribute("overflow", box.classList.contains("graph") ? "hidden" : "visible");
    svg.append(copy);
    return;
  }
  if (!/rgba?\(0, 0, 0, 0\)|transparent/.test(style.backgroundColor)) draw("rect", { x: r.left - ox, y: r.top - oy, width: r.width, height: r.height, fill: style.backgroundColor }, svg);
  for (const [side, x1, y1, x2, y2] of [["Left", r.left, r.top, r.left, r.bottom], ["Top", r.left, r.top, r.right, r.top], ["Bottom", r.left, r.bottom, r.right, r.bottom]]) {
    const w = parseFloat(style[`border${side}Width`]);
    if (w && style[`border${side}Style`] !== "none") draw("path", { d: `M${x1 - ox},${y1 - oy}L${x2 - ox},${y2 - oy}`, stroke: style[`border${side}Color`], "stroke-width": w }, svg);
  }
  for (const child of box.childNodes) {
    if (child.nodeType === 1) copyInto(svg, child, ox, oy);
    if (child.nodeType !== 3 || !child.textContent.trim()) continue;
    const size = parseFloat(style.fontSize), range = document.createRange(), lines = [];
    for (const m of child.textContent.matchAll(/\S+\s*/g)) {
      range.setStart(child, m.index); range.setEnd(child, m.index + m[0].trimEnd().length);
      const at = range.getBoundingClientRect(), last = lines[lines.length - 1];
      if (last && Math.abs(last.top - at.top) < 2) last.text += m[0];
      else lines.push({ text: m[0], left: at.left, top: at.top, bottom: at.bottom });
    }
    for (const line of lines) draw("text", {
      x: (line.left - ox).toFixed(1), y: ((line.top + line.bottom) / 2 + size * .34 - oy).toFixed(1), fill: style.color, "xml:space": "preserve",
      "font-size": style.fontSize, "font-family": style.fontFamily.replace(/"/g, "'"), "font-weight": style.fontWeight,
    }, svg, line.text.trimEnd().replace(/\s+/g, " "));
  }
}
function frameSVG() {
  const head = document.querySelector("header"), foot = document.querySelector("footer");
  const top = getComputedStyle(head).display === "none" ? 0 : head.getBoundingClientRect().bottom, bottom = foot.getBoundingClientRect().top;
  const svg = draw("svg", { xmlns: SVG, viewBox: `0 0 ${innerWidth} ${Math.round(bottom - top)}`, width: innerWidth, height: Math.round(bottom - top) });
  draw("title", {}, svg, document.title);
  draw("rect", { width: innerWidth, height: bottom - top, fill: getComputedStyle(document.body).backgroundColor }, svg);
  for (const id of ["cells", "stage", "panels", "card", "total"]) copyInto(svg, $(id), 0, top);
  return svg;
}
const frameText = () => new XMLSerializer().serializeToString(frameSVG());
async function raster(scale) {
  const svg = frameSVG(), image = new Image(), w = +svg.getAttribute("width"), h = +svg.getAttribute("height");
  image.src = "data:image/svg+xml;charset=utf-8," + encodeURIComponent(new XMLSerializer().serializeToString(svg));
  await image.decode();
  const canvas = element("canvas");
  canvas.width = Math.round(w * scale); canvas.height = Math.round(h * scale);
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  return canvas;
}
async function framePNG() {
  const canvas = await raster(Math.max(1, 1920 / innerWidth));
  return new Promise(done => canvas.toBlob(done, "image/png"));
}

// A film of so many frames at the most; of longer ones, a frame is a time step.
function filmed(limit) {
  const all = Array.from({ length: N + 1 }, (_, p) => p);
  return byStep || all.length > limit ? stops : all;
}
async function filmGIF(progress = () => {}) {
  const was = at, step = byStep, positions = filmed(120), scale = Math.min(1, 960 / innerWidth), shots = [];
  byStep = positions === stops;
  document.documentElement.classList.add("still");
  for (const p of positions) {
    go(p);
    const canvas = await raster(scale);
    shots.push(canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height));
    progress(.5 * shots.length / positions.length);
  }
  document.documentElement.classList.remove("still");
  byStep = step;
  go(was);
  const [palette, nearest] = colours(shots), { width, height } = shots[0], out = [];
  const word = v => out.push(v & 255, v >> 8 & 255);
  out.push(..."GIF89a".split("").map(c => c.charCodeAt(0)));
  word(width); word(height);
  out.push(0xf7, 0, 0);
  for (let i = 0; i < 256; i++) out.push(...(palette[i] || [0, 0, 0]));
  out.push(0x21, 0xff, 11, ..."NETSCAPE2.0".split("").map(c => c.charCodeAt(0)), 3, 1, 0, 0, 0);
  for (let s = 0; s < shots.length; s++) {
    out.push(0x21, 0xf9, 4, 0);
    word(s === shots.length - 1 ? 400 : byStepDelay(positions));
    out.push(0, 0, 0x2c);
    word(0); word(0); word(width); word(height);
    out.push(0, 8);
    lzw(shots[s].data, nearest, out);
    if (s % 4 === 3) await new Promise(done => setTimeout(done));
    progress(.5 + .5 * s / shots.length);
  }
  out.push(0x3b);
  return new Blob([new Uint8Array(out)], { type: "image/gif" });
}
const byStepDelay = positions => positions === stops ? 150 : 80;       // hundredths of a second
function colours(shots) {      // 256 colours, and for one of 15 bits the nearest of them
  const counts = new Map();
  for (const { data } of shots.filter((_, i) => i % Math.ceil(shots.length / 8) === 0 || i === shots.length - 1))
    for (let i = 0; i < data.length; i += 12) { const k = data[i] << 16 | data[i + 1] << 8 | data[i + 2]; counts.set(k, (counts.get(k) || 0) + 1); }
  const rounded = new Map();   // the most frequent of each 12 bits stands for them, and exact ones come first
  const order = [...counts].sort((a, b) => b[1] - a[1]);
  for (const [k, n] of order) { const r = k & 0xf0f0f0; if (!rounded.has(r)) rounded.set(r, [k, n]); }
  const keys = [...new Set([...order.slice(0, 64).map(([k]) => k), ...[...rounded.values()].sort((a, b) => b[1] - a[1]).map(([k]) => k)])].slice(0, 256);
  const palette = keys.map(k => [k >> 16, k >> 8 & 255, k & 255]), known = new Map();
  return [palette, (r, g, b) => {
    const k = r << 16 | g << 8 | b;
    if (known.has(k)) return known.get(k);
    let best = 0, least = Infinity;
    palette.forEach(([x, y, z], i) => { const d = (x - r) ** 2 + (y - g) ** 2 + (z - b) ** 2; if (d < least) { least = d; best = i; } });
    known.set(k, best);
    return best;
  }];
}
function lzw(data, nearest, out) {
  const block = [];
  let bits = 0, held = 0, width = 9, next = 258, codes = new Map();
  const flush = () => { out.push(block.length, ...block); block.length = 0; };
  const emit = code => {
    held |= code << bits; bits += width;
    while (bits >= 8) { block.push(held & 255); held >>= 8; bits -= 8; if (block.length === 255) flush(); }
  };
  emit(256);
  let before = nearest(data[0], data[1], data[2]);
  for (let i = 4; i < data.length; i += 4) {
    const c = nearest(data[i], data[i + 1], data[i + 2]), key = before << 8 | c, found = codes.get(key);
    if (found !== undefined) { before = found; continue; }
    emit(before);
    if (next === 4096) { emit(256); codes = new Map(); next = 258; width = 9; } else {
      codes.set(key, next);
      if (next === 1 << width) width++;
      next++;
    }
    before = c;
  }
  emit(before);
  emit(257);
  if (bits) { block.push(held & 255); }
  if (block.length) flush();
  out.push(0);
}
function download(blob, name) {
  const a = element("a");
  a.href = URL.createObjectURL(blob);
  a.download = name;
  a.click();
  setTimeout(() => URL.revokeObjectURL(a.href), 10000);
}
const fileName = end => `${(document.title.replace(/[^\p{L}\d]+/gu, "-").replace(/^-|-$/g, "") || "film").toLowerCase()}${end}`;
async function busy(button, work) {
  const text = button.textContent;
  button.disabled = true;
  try { return await work(p => { button.textContent = `${text} ${Math.round(100 * p)} %`; }); } finally { button.disabled = false; button.textContent = text; menu(false); }
}
function menu(open) {
  $("formats").hidden = !open;
  $("save").setAttribute("aria-expanded", open);
}
function paper() {             // a page for every frame
  const was = at, step = byStep, positions = filmed(60);
  byStep = positions === stops;
  const pages = positions.map(p => { go(p); return frameText(); });
  byStep = step;
  go(was);
  $("pages").innerHTML = pages.join("");
}
addEventListener("beforeprint", paper);
addEventListener("afterprint", () => $("pages").replaceChildren());

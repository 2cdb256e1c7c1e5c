// The panel of sliders and charts on top of engine.js: bptt.mount(element, data) builds it and returns a view.
"use strict";
window.bptt = (() => {
  const NS = "http://www.w3.org/2000/svg", MOST = 128;      // rows of a map that are shown
  let mounted = null, ids = 0;

  // --- small things

  function html(tag, properties = {}, ...children) {
    const e = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
      if (name in e && name !== "list") e[name] = value; else e.setAttribute(name, value);
    }
    e.append(...children);
    return e;
  }
  function set(e, attributes) {           // what is there already is not touched: it would be laid out again
    for (const name in attributes) {
      const value = String(attributes[name]);
      if (e.getAttribute(name) !== value) e.setAttribute(name, value);
    }
  }
  function say(e, text) {
    if (e.textContent !== text) e.textContent = text;
  }
  // An SVG whose elements stay from one drawing to the next, by key; those that were not put again go.
  class Picture {
    constructor() {
      this.svg = document.createElementNS(NS, "svg");
      this.parts = new Map();
      this.svg.setAttribute("role", "img");
      this.layers = ["back", "front"].map(name => this.svg.appendChild(document.createElementNS(NS, "g")));
    }
    begin() { this.seen = new Set(); }
    put(layer, key, tag, attributes, text) {
      let e = this.parts.get(key);
      if (!e) this.parts.set(key, (e = this.layers[layer].appendChild(document.createElementNS(NS, tag))));
      this.seen.add(key);
      set(e, attributes);
      if (text !== undefined) say(e, text);
      return e;
    }
    end() {
      for (const [key, e] of this.parts) if (!this.seen.has(key)) { e.remove(); this.parts.delete(key); }
    }
  }
  function number(v, digits = 3) {
    if (!Number.isFinite(v)) return Number.isNaN(v) ? "NaN" : v < 0 ? "−∞" : "∞";
    if (v === 0) return "0";
    const a = Math.abs(v), text = a >= 1e4 || a < 1e-3 ? v.toExponential(digits - 2) : v.toPrecision(digits);
    return text.replace("e+", "e").replaceAll("-", "−");
  }
  const signed = v => `${v < 0 ? "−" : "+"} ${Math.abs(v).toFixed(1)}`;
  const largest = arrays => {
    let most = 0;
    for (const x of arrays) if (x) for (const v of x.data) if (Math.abs(v) > most) most = Math.abs(v);
    return most;
  };
  const rowsAndColumns = shape => {
    const columns = shape.length ? shape[shape.length - 1] : 1;
    return [shape.slice(0, -1).reduce((n, m) => n * m, 1), columns];
  };
  // The shortest ends of dotted names that tell them apart.
  function shortened(names) {
    const ends = name => name.split(".").map((_, i, parts) => parts.slice(parts.length - 1 - i).join("."));
    const times = new Map();
    for (const name of names) for (const end of ends(name)) times.set(end, (times.get(end) || 0) + 1);
    return names.map(name => ends(name).find(end => times.get(end) === 1) || name);
  }

  // weight_hh_l0 as Wₕₕ, where there is no other layer.
  const LOW = { i: "ᵢ", h: "ₕ", r: "ᵣ" };
  function pretty(name, all) {
    const short = other => other.replace(/^(weight|bias)_([ihr]{2})(_l0)?$/, (_, kind, of) =>
      (kind === "weight" ? "W" : "b") + [...of].map(c => LOW[c]).join(""));
    const isAlone = all.filter(other => short(other) === short(name)).length < 2;
    return isAlone && !all.some(other => /_l[1-9]|_reverse/.test(other)) ? short(name) : name;
  }

  // --- a model: its graph, what its arrays are called, and a run at some settings

  class Model {
    constructor(table, index) {
      this.title = table.title;
      this.graph = engine.read(table);
      this.colour = `var(--model-${index % 6})`;
      const weights = this.graph.leaves.map((l, i) => [l, i]).filter(([l]) => l.kind === "weight");
      const short = shortened(weights.map(([l, i]) => l.name || `leaf ${i}`));
      this.arrays = new Map();            // name -> leaves that are one array, one below the other
      weights.forEach(([, i], n) => this.arrays.set(short[n], [i]));
      for (const { name, leaves } of this.graph.inputs) if (!this.arrays.has(name)) this.arrays.set(name, leaves);
      this.weights = short;
      this.arraysOfRuns = [];             // every move of a slider computes in those of the move before it
      this.recurrent = [...this.arrays].find(([, leaves]) => leaves[0] === this.graph.recurrent)?.[0];
      this.known = new Map();             // of the recording: what pictures ask for
      this.current = this.graph.leaves;
      this.start = this.result = engine.run(this.graph, this.current);
    }
    named(name) {                         // "recurrent" is another array in each model
      return this.arrays.get(name === "recurrent" ? this.recurrent : name);
    }
    shape(name) {
      const leaves = this.named(name), [rows, columns] = rowsAndColumns(this.graph.leaves[leaves[0]].shape);
      return [rows * leaves.length, columns];
    }
    place(name, row, column) {            // [leaf, element], or null where this model has no such entry
      const leaves = this.named(name);
      if (!leaves) return null;
      const [rows, columns] = this.shape(name), each = rows / leaves.length;
      if (row >= rows || column >= columns) return null;
      return [leaves[Math.floor(row / each)], (row % each) * columns + column];
    }
    leaves({ scale, gate, entry }) {
      const leaves = this.graph.leaves.slice();
      const change = (i, f) => { leaves[i] = { ...leaves[i], data: leaves[i].data.map(f) }; };
      for (const [name, factor] of Object.entries(scale)) for (const i of this.named(name) || []) change(i, v => v * factor);
      for (const { gate: name, leaf, rows: [first, end] } of this.graph.gates) {
        if (name in gate) change(leaf, (v, n) => (n >= first && n < end ? v + gate[name] : v));
      }
      for (const { name, row, column, value } of Object.values(entry)) {
        const place = this.place(name, row, column);
        if (place) change(place[0], (v, n) => (n === place[1] ? value : v));
      }
      return leaves;
    }
    run(settings) {
      this.current = this.leaves(settings);
      this.result = engine.run(this.graph, this.current, settings.window, this.arraysOfRuns);
      return this.result;
    }
    states(result, series) {
      const { items } = this.graph.states[Math.min(series, this.graph.states.length - 1)] || { items: [] };
      return items.map(({ node, k, step }) => ({ step, h: result.values[node][k], g: result.gradients[node][k] }));
    }
    uses(result, name) {
      const leaves = this.named(name);
      if (!leaves) return [];
      return engine.bySteps(this.graph, result, leaves[0]).map(([step, norm]) => ({ step, norm }));
    }
    recorded(what, make) {
      if (!this.known.has(what)) this.known.set(what, make(this.start));
      return this.known.get(what);
    }
    gradients() {
      const found = {};
      this.graph.leaves.forEach((l, i) => {
        const g = this.result.ofLeaves[i];
        if (l.kind === "weight") found[l.name || `leaf ${i}`] = g ? [...g.data] : new Array(l.data.length).fill(0);
      });
      return found;
    }
  }

  // --- the panel

  class View {
    constructor(element, data) {
      this.data = data;
      this.models = data.models.filter(m => !m.unknown).map((m, i) => new Model(m, i));
      this.settings = { scale: {}, gate: {}, entry: {}, window: Infinity };
      this.series = 0;
      this.isLog = true;
      this.moves = -1;
      this.root = html("div", { className: "live" });
      element.replaceChildren(this.root);
      this.root.append(html("div", { className: "live-missing" }, ...data.models.filter(m => m.unknown).map(m =>
        html("p", { className: "live-unknown" }, `${m.title || "This model"} cannot run here: the page has no ${m.unknown.join(", no ")}.`))));
      if (!this.models.length) return;
      this.steps = Math.max(...this.models.map(m => m.graph.steps));
      this.root.append(this.controls(), this.charts());
      this.difference = this.check();
      const isDouble = this.models.every(m => m.graph.dtype === "float64"), good = this.difference < (isDouble ? 1e-9 : 1e-3);
      this.status.className = good ? "good" : "bad";
      const what = good ? (isDouble ? "✓ as the engine" : "✓ as the engine in float32") : "✗ not as the engine";
      this.status.textContent = `${what}: largest difference ${number(this.difference, 2)}`;
      this.show();
      const resized = new ResizeObserver(entries => {
        for (const { target, contentRect: { width, height } } of entries) {
          const picture = [this.flow, this.use].find(p => p.svg === target);
          picture.size = [width, height, parseFloat(getComputedStyle(target).fontSize)];
        }
        this.redraw();
      });
      for (const picture of [this.flow, this.use]) resized.observe(picture.svg);
      const themed = new MutationObserver(() => { this.colours = null; this.redraw(); });
      themed.observe(document.documentElement, { attributeFilter: ["class"] });
    }
    check() {
      return this.models.length ? Math.max(...this.models.map(m => engine.check(m.graph))) : NaN;
    }

    // Controls: each has data-control, by which tests and other pages find it.
    control(name, label, options, slider) {
      const id = `live-${++ids}`, head = html("div", { className: "live-head" }, html("label", { htmlFor: id }, label));
      if (options) {
        const select = html("select", { "aria-label": `${label}: which` }, ...options.map(([value, text]) => html("option", { value }, text)));
        select.dataset.control = `${name}-of`;
        this[`${name}Of`] = select;
        head.append(select);
        select.addEventListener("input", () => this.show());
      }
      const output = html("output", { htmlFor: id });
      head.append(output);
      const input = html("input", { id, type: "range", ...slider });
      input.dataset.control = name;
      input.addEventListener("input", () => this.change(name));
      this[name] = input;
      this[`${name}Out`] = output;
      return html("div", { className: "live-control" }, head, input);
    }
    controls() {
      const box = html("form", { className: "live-controls", "aria-label": "Settings" });
      box.addEventListener("submit", e => e.preventDefault());
      const names = list => [...new Set(list)];
      const recurrent = names(this.models.map(m => m.recurrent).filter(Boolean));
      const weights = names(this.models.flatMap(m => m.weights)).filter(name => !recurrent.includes(name));
      const arrays = names(this.models.flatMap(m => [...m.arrays.keys()])).filter(name => !recurrent.includes(name));
      const all = names([...recurrent, ...this.models.flatMap(m => [...m.arrays.keys()])]);
      this.pretty = name => (name === "recurrent" ? recurrent : [name]).map(name => pretty(name, all)).join(", ");
      const first = recurrent.length ? [["recurrent", this.pretty("recurrent")]] : [];
      const gates = names(this.models.flatMap(m => m.graph.gates.map(g => g.gate)));
      const pairs = list => list.map(name => [name, this.pretty(name)]);

      const presets = html("div", { className: "live-presets", role: "group", "aria-label": "Presets" });
      const preset = (name, text, settings, is = true) => {
        const button = html("button", { type: "button", disabled: !is }, text);
        button.dataset.preset = name;
        button.addEventListener("click", () => {
          const wanted = settings();
          this.settings = { scale: {}, gate: {}, entry: {}, window: Infinity, ...wanted };
          for (const [of, name] of [["scale", "recurrent"], ["gate", "f"]]) if (wanted[of]) this[`${of}Of`].value = name;
          this.show();
        });
        presets.append(button);
      };
      const links = this.models.some(m => m.graph.links.length);
      preset("start", "As recorded", () => ({}));
      preset("vanish", "Vanish", () => ({ scale: { recurrent: 0.3 } }), recurrent.length > 0);
      preset("explode", "Explode", () => ({ scale: { recurrent: this.explosion() } }), recurrent.length > 0);
      preset("forget", "f-bias 3", () => ({ gate: { f: 3 } }), gates.includes("f"));
      preset("truncate", "Truncate", () => ({ window: Math.max(1, Math.round(this.steps / 4)) }), links);
      box.append(presets);

      box.append(this.control("scale", "Scale of", [...first, ...pairs(weights)], { min: 0, max: 10, step: 0.05 }));
      if (gates.length) {
        box.append(this.control("gate", "Bias of gate", pairs(gates), { min: -5, max: 5, step: 0.1 }));
        if (gates.includes("f")) this.gateOf.value = "f";
      }
      const entry = this.control("entry", "Entry of", [...first, ...pairs(arrays)], { step: 0.01 });
      const places = html("div", { className: "live-places" });
      for (const name of ["row", "column"]) {
        this[name] = html("input", { type: "number", min: 0, value: 0, step: 1 });
        this[name].dataset.control = name;
        this[name].addEventListener("input", () => this.show());
        places.append(html("label", {}, html("span", {}, name), this[name]));
      }
      this.slope = html("p", { className: "live-soft" });
      entry.append(places, this.slope);
      box.append(entry);
      if (links) {
        box.append(this.control("window", "Truncate", null, { min: 1, max: this.steps, step: 1 }));
      }
      this.changed = html("p", { className: "live-changed", role: "status" });
      box.append(this.changed);
      return box;
    }
    charts() {
      const box = html("div", { className: "live-charts" });
      const figure = (name, title) => {
        const picture = (this[name] = new Picture());
        return html("figure", { className: `live-${name}` }, html("h2", {}, ...title), picture.svg);
      };
      const longest = this.models.reduce((a, m) => (m.graph.states.length > a.length ? m.graph.states : a), []);
      this.stateOf = html("select", { "aria-label": "State" }, ...longest.map((s, i) => html("option", { value: i }, s.name)));
      this.stateOf.dataset.control = "state";
      this.stateOf.addEventListener("input", () => { this.series = +this.stateOf.value; this.look(); this.redraw(); });
      this.log = html("input", { type: "checkbox", checked: true });
      this.log.dataset.control = "log";
      this.log.addEventListener("input", () => { this.isLog = this.log.checked; this.redraw(); });
      this.useTitle = html("span", {});
      const names = this.models.filter(m => m.title).map(m => html("span", { style: `color: ${m.colour}` }, `● ${m.title}`));
      this.legend = html("span", { className: "live-legend" }, ...names);
      box.append(
        figure("flow", ["|∂L/∂", this.stateOf, "|", html("label", { className: "live-log" }, this.log, "log"), this.legend]),
        figure("use", [this.useTitle, html("span", { className: "live-legend live-soft" }, "dashed: as recorded")]));
      const maps = html("div", { className: "live-models" });
      for (const m of this.models) {
        const map = name => {
          m[name] = html("canvas", { role: "img" });
          m[`${name}Title`] = html("figcaption", {});
          m[`${name}Ends`] = html("div", { className: "live-ends" }, html("span", {}), html("span", {}));
          m[name].addEventListener("pointermove", e => this.read(m, name, e));
          m[name].addEventListener("pointerleave", () => { this.readout.textContent = this.hint; });
          return html("figure", {}, m[`${name}Title`], m[name], m[`${name}Ends`]);
        };
        m.lossOut = html("output", {});
        m.card = html("section", { className: "live-model" }, html("h2", { style: `color: ${m.colour}` }, m.title, m.lossOut), html("div", {}, map("h"), map("g")));
        maps.append(m.card);
      }
      maps.style.setProperty("--models", this.models.length);
      this.hint = "Red is positive, blue negative. Point at a map for its numbers.";
      this.status = html("span", { role: "status" });
      this.time = html("span", { className: "live-soft" });
      this.readout = html("span", { className: "live-soft" }, this.hint);
      box.append(maps, html("p", { className: "live-status" }, this.status, this.readout, this.time));
      return box;
    }

    // The scale of the recurrent weight, up to 10, at which the gradient of a first state is largest.
    explosion() {
      let best = 1, most = 0;
      for (let factor = 1; factor <= 10; factor += 0.5) {
        for (const m of this.models.filter(m => m.recurrent)) {
          const result = m.run({ scale: { recurrent: factor }, gate: {}, entry: {}, window: Infinity });
          const [first] = m.states(result, this.series), size = first ? engine.norm(first.g) : 0;
          if (size > most) [best, most] = [factor, size];
        }
      }
      return best;
    }
    // From controls to settings, and back.
    change(name) {
      const value = +this[name].value, of = this[`${name}Of`]?.value;
      if (name === "scale") this.settings.scale[of] = value;
      if (name === "gate") this.settings.gate[of] = value;
      if (name === "window") this.settings.window = value >= this.steps ? Infinity : value;
      if (name === "entry") {
        const [row, column] = [+this.row.value, +this.column.value];
        this.settings.entry[`${of} ${row} ${column}`] = { name: of, row, column, value };
      }
      this.update();
    }
    show() {                              // settings into the controls
      const { scale, gate, entry, window } = this.settings;
      this.scale.value = scale[this.scaleOf.value] ?? 1;
      if (this.gate) this.gate.value = gate[this.gateOf.value] ?? 0;
      if (this.window) this.window.value = Math.min(window, this.steps);
      const name = this.entryOf.value, owner = this.models.find(m => m.named(name));
      if (owner) {
        const [rows, columns] = owner.shape(name), whole = (v, n) => Math.min(Math.max(Math.round(v) || 0, 0), n - 1);
        this.row.max = rows - 1;
        this.column.max = columns - 1;
        const [row, column] = [whole(+this.row.value, rows), whole(+this.column.value, columns)];
        [this.row.value, this.column.value] = [row, column];
        const [leaf, n] = owner.place(name, row, column), own = owner.graph.leaves[leaf];
        const reach = Math.ceil(Math.max(3, 2 * Math.abs(own.data[n])));
        [this.entry.min, this.entry.max] = [-reach, reach];
        this.entry.value = entry[`${name} ${row} ${column}`]?.value ?? owner.leaves(this.settings)[leaf].data[n];
      }
      this.update();
    }
    update() {                            // one move of a slider: every model forward and back, and the charts
      const start = performance.now();
      for (const m of this.models) m.run(this.settings);
      this.look();
      this.label();
      this.computing = performance.now() - start;
      this.moves++;                       // after the first, which opens the page
      this.redraw();
    }
    look() {                              // at the state that was chosen
      for (const m of this.models) {
        m.now = m.states(m.result, this.series);
        m.before = m.recorded(`states ${this.series}`, start => m.states(start, this.series));
      }
    }
    redraw() {                            // once per frame of the screen, however many moves there were
      this.waits ??= requestAnimationFrame(() => { this.waits = null; this.draw(); });
    }
    label() {
      const { window } = this.settings, show = (input, output, text) => {
        say(output, text);
        set(input, { "aria-valuetext": text });
      };
      show(this.scale, this.scaleOut, `× ${(+this.scale.value).toFixed(2)}`);
      if (this.gate) show(this.gate, this.gateOut, signed(+this.gate.value));
      if (this.window) show(this.window, this.windowOut, window === Infinity ? "off" : `windows of ${window} step${window > 1 ? "s" : ""}`);
      const { scale, gate, entry } = this.settings, changed = [
        ...Object.entries(scale).filter(([, v]) => v !== 1).map(([name, v]) => `${this.pretty(name)} × ${v.toFixed(2)}`),
        ...Object.entries(gate).filter(([, v]) => v).map(([name, v]) => `gate ${name} ${signed(v)}`),
        ...Object.values(entry).map(({ name, row, column, value }) => `${this.pretty(name)}[${row}, ${column}] = ${number(value)}`),
        ...(window < Infinity ? [`windows of ${window}`] : []),
      ];
      say(this.changed, changed.length ? `Changed: ${changed.join("; ")}` : "Nothing changed: as recorded");
      const place = [this.entryOf.value, +this.row.value, +this.column.value], slopes = [];
      let shown;
      for (const m of this.models) {
        const at = m.place(...place);
        if (!at) continue;
        shown ??= m.current[at[0]].data[at[1]];
        const g = m.result.ofLeaves[at[0]];
        slopes.push(`${this.models.length > 1 ? `${m.title} ` : ""}${number(g ? g.data[at[1]] : 0)}`);
      }
      show(this.entry, this.entryOut, number(shown ?? 0));
      say(this.slope, `∂L/∂ of it: ${slopes.join(", ")}`);
      for (const m of this.models) {
        const change = m.result.loss - m.start.loss;
        say(m.lossOut, `L = ${number(m.result.loss, 4)}` + (change ? ` (${change < 0 ? "−" : "+"}${number(Math.abs(change), 2)})` : ""));
      }
    }

    // Pictures.
    draw() {
      const start = performance.now(), weight = this.scaleOf.value;
      if (!this.colours) {
        const style = getComputedStyle(this.root), colour = name => style.getPropertyValue(name).split(",").map(Number);
        this.colours = { zero: colour("--zero"), plus: colour("--plus"), minus: colour("--minus") };
      }
      say(this.useTitle, `|∂L/∂${this.pretty(weight)}| by step of use`);
      const curves = [], bars = [];
      for (const m of this.models) {
        const curve = list => list.map(({ step, g }) => [step, engine.norm(g)]);
        curves.push({ m, points: curve(m.now), before: m.recorded(`norms ${this.series}`, () => curve(m.before)) });
        const uses = result => m.uses(result, weight).map(({ step, norm }) => [step ?? -1, norm]);
        bars.push({ m, points: uses(m.result), before: m.recorded(`uses ${weight}`, uses) });
      }
      const axis = this.models[0].graph.states[0]?.axis || "t";
      this.plot(this.flow, curves, axis, `Norm of the gradient by ${axis}`);
      this.plot(this.use, bars, axis, this.useTitle.textContent);
      for (const m of this.models) {
        const name = m.graph.states[Math.min(this.series, m.graph.states.length - 1)]?.name || "h";
        this.map(m, "h", `${name}, units down`, false);
        this.map(m, "g", `∂L/∂${name}`, this.isLog);
      }
      this.milliseconds = this.computing + performance.now() - start;
      if (this.moves > 0) say(this.time, `${this.milliseconds.toFixed(1)} ms`);
    }
    // Curves over steps: as they are, and thin as they were recorded.
    plot(picture, curves, axis, title) {
      const [W, H, em] = picture.size || [0, 0, 0];
      if (W < 50 || H < 50) return;
      const all = curves.flatMap(c => [...c.points, ...c.before]), xs = all.map(p => p[0]);
      const found = all.map(p => p[1]).filter(v => Number.isFinite(v) && v > 0);
      set(picture.svg, { "aria-label": `${title}. ` + curves.map(({ m, points }) => {
        const [a, b] = [points[0], points[points.length - 1]];
        return a ? `${m.title || "Model"}: ${number(a[1])} at ${axis} ${a[0]}, ${number(b[1])} at ${axis} ${b[0]}` : "";
      }).join("; ") });
      picture.begin();
      if (found.length) this.curves(picture, curves, axis, xs, found);
      else picture.put(0, "none", "text", { x: W / 2, y: H / 2, "text-anchor": "middle" }, "No gradient arrives here");
      picture.end();
    }
    curves(picture, curves, axis, xs, found) {
      const [W, H, em] = picture.size;
      const left = 3.6 * em, right = W - em, top = 0.9 * em, bottom = H - 1.7 * em;
      const [x0, x1] = [Math.min(...xs), Math.max(...xs)], X = t => (x1 > x0 ? left + (t - x0) * (right - left) / (x1 - x0) : (left + right) / 2);
      let Y, ticks, shows = Number.isFinite;
      if (this.isLog) {
        let lo = Math.floor(Math.log10(Math.min(...found))), hi = Math.ceil(Math.log10(Math.max(...found)));
        if (hi === lo) hi++;
        lo = Math.max(lo, hi - 60);
        Y = v => bottom - (Math.log10(v) - lo) * (bottom - top) / (hi - lo);
        shows = v => v > 0 && Number.isFinite(v) && Math.log10(v) >= lo;
        const every = Math.ceil((hi - lo) / Math.max(2, Math.floor((bottom - top) / (2.2 * em))));
        ticks = Array.from({ length: hi - lo + 1 }, (_, i) => lo + i).filter(e => (e - lo) % every === 0).map(e => [10 ** e, e]);
      } else {
        const most = Math.max(...found), unit = 10 ** Math.floor(Math.log10(most)), step = [1, 2, 5, 10].find(s => most / (unit * s) <= 4) * unit;
        const hi = Math.ceil(most / step) * step;
        Y = v => bottom - v * (bottom - top) / hi;
        ticks = Array.from({ length: Math.round(hi / step) + 1 }, (_, i) => [i * step, null]);
      }
      for (const [v, exponent] of ticks) {
        const y = Y(v).toFixed(1), isPower = exponent !== null;
        picture.put(0, `grid ${v}`, "line", { x1: left, x2: right, y1: y, y2: y, class: "live-grid" });
        const text = picture.put(0, `tick ${v} ${isPower}`, "text", { x: left - 0.4 * em, y: +y + 0.35 * em, "text-anchor": "end" }, isPower ? undefined : number(v, 2));
        if (isPower && !text.firstChild) {          // 10 and its exponent above the line
          const raised = document.createElementNS(NS, "tspan");
          raised.textContent = String(exponent).replace("-", "−");
          raised.setAttribute("dy", -0.4 * em);
          text.append("10", raised);
        }
      }
      const steps = [...new Set(xs)].sort((a, b) => a - b), every = Math.ceil(steps.length / Math.max(2, Math.floor((right - left) / (2.6 * em))));
      steps.forEach((t, i) => {
        if (i % every === 0 && (i + every < steps.length + every / 2 || i === steps.length - 1)) {
          picture.put(0, `step ${t}`, "text", { x: X(t), y: H - 0.4 * em, "text-anchor": "middle" }, t < 0 ? "no step" : i ? t : `${axis} = ${t}`);
        }
      });
      curves.forEach(({ m, points, before }, i) => {
        const line = list => list.filter(p => shows(p[1])).map(([t, v]) => `${X(t).toFixed(1)},${Y(v).toFixed(1)}`).join(" ");
        const style = `stroke: ${m.colour}`, dots = points.length < 60 ? points.filter(p => shows(p[1])) : [];
        picture.put(1, `before ${i}`, "polyline", { points: line(before), class: "live-before", style });
        picture.put(1, `now ${i}`, "polyline", { points: line(points), class: "live-now", style });
        picture.put(1, `dots ${i}`, "path", { d: dots.map(([t, v]) => `M${X(t).toFixed(1)} ${Y(v).toFixed(1)}h0`).join(""), class: "live-dots", style });
      });
    }
    // Units down, steps to the right. Full colour is the largest number, of now or as recorded.
    map(m, name, title, isLog) {
      const columns = m.now.map(s => s[name]), canvas = m[name], rows = Math.max(1, ...columns.map(x => (x ? x.data.length : 0))), shown = Math.min(rows, MOST);
      const most = largest(columns), before = m.recorded(`largest ${name} ${this.series}`, () => largest(m.before.map(s => s[name])));
      const scale = Math.max(most, before) || 1, width = Math.max(1, columns.length), { colours } = this;
      if (canvas.width !== width || canvas.height !== shown) [canvas.width, canvas.height] = [width, shown];
      const paint = canvas.getContext("2d");
      if (canvas.image?.width !== width || canvas.image.height !== shown) canvas.image = paint.createImageData(width, shown);
      const { image } = canvas;
      columns.forEach((x, t) => {
        for (let i = 0; i < shown; i++) {
          const v = x && i < x.data.length ? x.data[i] : 0, a = Math.abs(v) / scale;
          const strength = isLog ? (a > 0 ? Math.max(0, 1 + Math.log10(a) / 8) : 0) : a;
          const to = Number.isFinite(v) ? (v < 0 ? colours.minus : colours.plus) : [192, 0, 192];
          const at = 4 * (i * canvas.width + t), s = Number.isFinite(v) ? Math.min(1, strength) : 1;
          for (let c = 0; c < 3; c++) image.data[at + c] = colours.zero[c] + s * (to[c] - colours.zero[c]);
          image.data[at + 3] = 255;
        }
      });
      paint.putImageData(image, 0, 0);
      say(m[`${name}Title`], `${title}${isLog ? ", log, 8 decades" : ""}: largest ${number(most)}${shown < rows ? `; ${shown} of ${rows} rows` : ""}`);
      set(canvas, { "aria-label": `${m.title} ${m[`${name}Title`].textContent}` });
      const steps = m.now.map(s => s.step), ends = [`${m.graph.states[0]?.axis || "t"} = ${steps[0] ?? 0}`, steps[steps.length - 1] ?? 0];
      [...m[`${name}Ends`].children].forEach((end, i) => say(end, String(ends[i])));
    }
    read(m, name, e) {
      const box = m[name].getBoundingClientRect(), t = Math.floor((e.clientX - box.left) / box.width * m[name].width);
      const i = Math.floor((e.clientY - box.top) / box.height * m[name].height), column = m.now[t]?.[name];
      if (!column || i >= column.data.length || i < 0) return;
      this.readout.textContent = `${m.title} ${name === "h" ? "state" : "gradient"}, step ${m.now[t].step}, unit ${i}: ${number(column.data[i], 4)}`;
    }
  }

  // --- what other scripts call

  function view() {
    if (!mounted) throw new Error("bptt has no panel yet: bptt.mount(element, data) makes one");
    return mounted;
  }
  function model(which) {
    const { models } = view(), found = typeof which === "number" ? models[which] : models.find(m => m.title === which);
    if (!found) throw new RangeError(`there is no model ${which}: ${models.map(m => m.title).join(", ")}`);
    return found;
  }
  return {
    // data: {title, models: [table, ...]}, from live.Recording.data in Python.
    mount(element, data) {
      mounted = new View(element, data);
      return mounted;
    },
    check: () => view().check(),                            // the largest difference from the engine
    loss: (which = 0) => model(which).result.loss,
    gradients: (which = 0) => model(which).gradients(),     // name -> elements in row-major order
    uses: (which, name) => model(which).uses(model(which).result, name),
    get view() { return mounted; },
  };
})();

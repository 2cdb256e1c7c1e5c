// ---- going through it

let byStep = false, timer = null, stops = [];
function findStops() {                       // positions at which a time step is complete
  stops = [0];
  for (let p = 1; p < N; p++) {
    const f = frameAt(p), g = frameAt(p + 1);
    if (g.kind !== f.kind || nodes[g.node].step !== nodes[f.node].step) stops.push(p);
  }
  stops.push(N);
}
const nextStop = p => stops.find(s => s > p) ?? N, lastStop = p => [...stops].reverse().find(s => s < p) ?? 0;
function now() {                             // the positions that are shown as happening: after the first, up to the second
  if (!at) return [0, 0];
  return byStep ? [lastStop(at), at] : [at - 1, at];
}
const listeners = [];
function go(position) {
  at = Math.max(0, Math.min(N, position));
  $("slider").value = at;
  tip(null);
  const f = frameAt(at), count = { start: "start", sum: "the sum", forward: `forward ${at} / ${F}`, backward: `backward ${at - F} / ${pass.nodes.length}` }[f.kind];
  $("count").textContent = count;
  const words = f.node === undefined ? count : `${plain(equationOf(f.node))}, ${count}`;
  $("slider").setAttribute("aria-valuetext", words);
  if (!timer) $("said").textContent = words;
  refresh();
  remember();
  for (const listener of listeners) listener(at);
}
function refresh() {
  if (isLive()) return;
  total();
  if (frameAt(at).kind === "sum") return;
  paint(); card(); cells(); strip(); triangle(); filling();
}
const forward = wide => go(wide || byStep ? nextStop(at) : at + 1);
const backward = wide => go(wide || byStep ? lastStop(at) : at - 1);
function pause() { clearTimeout(timer); timer = null; $("play").textContent = "▶ Play"; }
function play() {
  if (at >= N) go(0);
  $("play").textContent = "❚❚ Pause";
  const tick = () => { timer = setTimeout(() => { forward(); if (at < N) tick(); else pause(); }, (byStep ? 1600 : 900) * $("speed").value); };
  tick();
}
const toggle = () => timer ? pause() : play();
function unit() {
  byStep = !byStep;
  $("unit").textContent = byStep ? "by time step" : "by operation";
  $("unit").setAttribute("aria-pressed", byStep);
  go(byStep && !stops.includes(at) ? nextStop(at) : at);
}
function scaled() {
  chosen.log = !chosen.log;
  $("scale").textContent = chosen.log ? "logarithmic" : "linear";
  $("scale").setAttribute("aria-pressed", chosen.log);
  refresh();
}
function theme(dark) {
  document.documentElement.classList.toggle("dark", dark);
  $("theme").setAttribute("aria-pressed", dark);
  go(at);
}
function presenting(on) {
  document.documentElement.classList.toggle("present", on);
  $("present").setAttribute("aria-pressed", on);
  if (on && navigator.userActivation?.isActive) document.documentElement.requestFullscreen?.().catch(() => {});
  else if (document.fullscreenElement) document.exitFullscreen().catch(() => {});
  refresh();
  fit(false);
  remember();
}
function setUnit(u) {
  const most = $("neuron").options.length;
  if (!most) return;
  chosen.unit = (u + most) % most;
  $("neuron").value = chosen.unit;
  refresh();
}
function setWeight(i) { chosen.weight = i; $("weight").value = i; go(at); }
function setState(i) { chosen.state = i; $("state").value = i; units(); refresh(); }
function setLoss(i) {                        // another pass: stay at what is shown, if it is in it
  const f = frameAt(at), left = N - at;
  pass = passes[i];
  complete(pass);
  $("loss").value = i;
  N = length();
  $("slider").max = N;
  findStops();
  let p = f.kind === "sum" ? N : at;
  if (f.kind === "backward") p = positionOf(f.node, true) ?? Math.max(F + 1, N - left);
  go(byStep && !stops.includes(p) ? nextStop(p) : p);
}
function units() {
  const s = DATA.states[chosen.state], a = s && passes[0].gys[passes[0].fired.get(s.values[0][0])], count = a ? array(a[s.values[0][1]]).cols : 1;
  $("neuron").replaceChildren(...Array.from({ length: count }, (_, i) => new Option(i, i)));
  chosen.unit = Math.min(chosen.unit, count - 1);
  $("neuron").value = chosen.unit;
}
function options(id, texts, act) {
  $(id).replaceChildren(...texts.map((text, i) => new Option(text, i)));
  $(id).parentElement.hidden = texts.length < 2;
  $(id).addEventListener("change", e => { act(+e.target.value); });
}

// ---- a panel that computes, if a script after these brings one

function living(on) {
  pause();
  $("live").hidden = !on;
  document.body.classList.toggle("lives", on);
  $("lively").setAttribute("aria-pressed", on);
  if (!on) { refresh(); fit(false); }
}
const isLive = () => document.body.classList.contains("lives");

// ---- links: #f=36&dark&step&present&loss=2&weight=0

let late = null;
function link() {
  const parts = [`f=${at}`];
  if (isDark()) parts.push("dark");
  if (byStep) parts.push("step");
  if (document.documentElement.classList.contains("present")) parts.push("present");
  if (pass !== passes[0]) parts.push(`loss=${passes.indexOf(pass)}`);
  if (chosen.weight) parts.push(`weight=${chosen.weight}`);
  return "#" + parts.join("&");
}
function remember() {
  clearTimeout(late);
  if (!timer) late = setTimeout(() => { try { if (location.hash !== link()) history.replaceState(null, "", link()); } catch { /* a page inside of another one has no address */ } }, 300);
}
function open_(hash) {
  const given = new URLSearchParams(hash.replace(/^#/, "")), index = (name, most) => Math.max(0, Math.min(most - 1, parseInt(given.get(name)) || 0));
  if (given.has("dark") !== isDark() && (given.has("dark") || given.has("light") || given.has("f"))) theme(given.has("dark"));
  if (given.has("step") !== byStep) unit();
  if (given.has("present") !== document.documentElement.classList.contains("present")) presenting(given.has("present"));
  if (passes[index("loss", passes.length)] !== pass) setLoss(index("loss", passes.length));
  if (given.has("weight")) setWeight(index("weight", DATA.weights.length));
  if (given.has("f")) go(parseInt(given.get("f")) || 0);
}

// ---- the controls

const acts = {
  first: () => { pause(); go(0); }, back: () => { pause(); backward(); }, play: toggle, next: () => { pause(); forward(); }, last: () => { pause(); go(N); },
  unit, scale: scaled, theme: () => theme(!isDark()), help: () => $("keys").showModal(),
  lively: () => living(!isLive()),
  present: () => presenting(!document.documentElement.classList.contains("present")),
  save: () => menu($("formats").hidden),
  svg: () => { download(new Blob([frameText()], { type: "image/svg+xml" }), fileName(`-${at}.svg`)); menu(false); },
  png: () => busy($("png"), async () => download(await framePNG(), fileName(`-${at}.png`))),
  gif: () => { pause(); return busy($("gif"), async progress => download(await filmGIF(progress), fileName(".gif"))); },
  print: () => { pause(); menu(false); window.print(); },
};
for (const [id, act] of Object.entries(acts)) $(id).addEventListener("click", act);
options("loss", passes.map(p => plain(p.name)), setLoss);
options("state", DATA.states.map(s => `${s.name}${s.where ? " " + s.where : ""}`), setState);
options("weight", DATA.weights.map(w => [...new Set([plain(DATA.leaves[w.leaf].label), DATA.leaves[w.leaf].name])].join(" ")), setWeight);
$("neuron").addEventListener("change", e => setUnit(+e.target.value));
$("slider").max = N;
$("slider").addEventListener("input", e => { pause(); const p = +e.target.value; go(byStep && !stops.includes(p) ? nextStop(p) : p); });
addEventListener("keydown", e => {
  if (e.ctrlKey || e.metaKey || e.altKey || $("keys").open) return;
  const tag = document.activeElement?.tagName;
  if (tag === "SELECT" && (e.key.startsWith("Arrow") || e.key.length === 1)) return;
  const keys = {
    ArrowRight: () => { pause(); forward(e.shiftKey); }, ArrowLeft: () => { pause(); backward(e.shiftKey); },
    ArrowDown: () => setUnit(chosen.unit + 1), ArrowUp: () => setUnit(chosen.unit - 1),
    PageDown: () => { pause(); forward(true); }, PageUp: () => { pause(); backward(true); },
    Home: () => { pause(); go(0); }, End: () => { pause(); go(N); }, " ": toggle, b: () => { pause(); go(F + 1); },
    s: unit, l: scaled, d: acts.theme, p: acts.present, e: acts.save, f: () => fit(true), "+": () => zoom(1.25), "=": () => zoom(1.25), "-": () => zoom(.8),
    w: () => DATA.weights.length && setWeight((chosen.weight + 1) % DATA.weights.length), t: () => setLoss((passes.indexOf(pass) + 1) % passes.length),
    v: () => { if (!$("lively").hidden) acts.lively(); }, "?": acts.help, Escape: () => { if (isLive()) living(false); menu(false); tip(null); if (document.documentElement.classList.contains("present")) presenting(false); },
  };
  if (isLive() && !["v", "d", "?", "Escape"].includes(e.key)) return;       // the panel has keys of its own
  const act = keys[e.key] || keys[e.key.toLowerCase()];
  if (!act || (e.key === " " && tag === "BUTTON" && document.activeElement.id !== "play")) return;
  if (e.key !== "Escape") e.preventDefault();
  act();
});
addEventListener("hashchange", () => open_(location.hash));
addEventListener("resize", () => { refresh(); fit(false); });
window.film = { data: DATA, go, onshow: listener => listeners.push(listener), live: mount => { mount($("live")); $("lively").hidden = false; complete(pass); refresh(); } };
document.documentElement.classList.toggle("dark", matchMedia("(prefers-color-scheme: dark)").matches);
document.documentElement.classList.toggle("still", matchMedia("(prefers-reduced-motion: reduce)").matches);
$("theme").setAttribute("aria-pressed", isDark());
$("stage").append(element("p", undefined, "title"), element("div", undefined, "legend"));
hold();
units();
findStops();
go(0);
open_(location.hash);

"""Style and script of the report page."""

STYLE = """
:root{color-scheme:light dark;--page:#fff;--raised:#f6f8fa;--text:#1f2328;--muted:#59636e;--line:#d1d9e0;
--accent:#0a5fc4;--on:#fff1c2;--exact:#ffd977;--heat:214 84 24;--comment:#57606a}
@media (prefers-color-scheme:dark){:root{--page:#0d1117;--raised:#161c24;--text:#e6edf3;--muted:#9aa4af;--line:#353d47;
--accent:#6cb0ff;--on:#3a2f0b;--exact:#6b5410;--heat:240 120 50;--comment:#9aa4af}}
*{box-sizing:border-box}
html{scroll-padding-top:4.5rem}
body{margin:0;background:var(--page);color:var(--text);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main,header{max-width:1700px;margin:0 auto;padding:0 1.25rem}
header{padding-top:1.5rem}
h1{font-size:1.5rem;margin:0}
h2{font-size:1.15rem;margin:2.25rem 0 .6rem}
p{margin:.3rem 0;max-width:75rem}
.muted{color:var(--muted)}
code,pre,.code{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace}
.tiles{display:flex;flex-wrap:wrap;gap:.6rem;margin:1rem 0 0;padding:0}
.tile{background:var(--raised);border:1px solid var(--line);border-radius:8px;padding:.5rem .9rem;min-width:8.5rem}
.tile b{display:block;font-size:1.25rem;font-weight:600;font-variant-numeric:tabular-nums}
.tile span{color:var(--muted);font-size:.85rem}
.bar{position:sticky;top:0;z-index:2;display:flex;flex-wrap:wrap;gap:.35rem 1rem;align-items:center;
background:var(--page);border-bottom:1px solid var(--line);padding:.55rem 1.25rem;margin:1.25rem -1.25rem 0;
min-height:3rem;max-height:30vh;overflow:auto}
.bar strong{overflow-wrap:anywhere}
.bar a{color:var(--accent)}
.bar button{margin-left:auto}
button{font:inherit;color:var(--accent);background:none;border:0;padding:0;cursor:pointer;text-align:left;overflow-wrap:anywhere}
.bar button{border:1px solid var(--line);border-radius:6px;padding:.1rem .6rem}
button:focus-visible,.node:focus-visible,.pane:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
.columns{display:grid;grid-template-columns:minmax(16rem,2fr) minmax(0,5fr);gap:1.25rem;align-items:start}
.panes{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:1rem}
@media (max-width:64rem){.columns,.panes{grid-template-columns:minmax(0,1fr)}}
.graph,.scroll,.pane{border:1px solid var(--line);border-radius:8px;overflow:auto}
.graph{padding:.5rem;max-height:46rem;text-align:center}
.graph .node{cursor:pointer}
.graph .nm-drawing .node:not(.dead) .detail{fill:var(--text)}
.graph .nm-drawing .node.on .box{stroke:var(--accent);stroke-width:3.5}
.legend{display:flex;gap:.6rem;align-items:center;font-size:.85rem;color:var(--muted);margin:.5rem 0}
.legend i{flex:0 0 8rem;height:.7rem;border-radius:4px;border:1px solid var(--line);
background:linear-gradient(90deg,rgb(var(--heat)/0),rgb(var(--heat)/.7))}
table{border-collapse:collapse;width:100%;font-size:.87rem;font-variant-numeric:tabular-nums}
th,td{padding:.28rem .6rem;text-align:left;white-space:nowrap;border-top:1px solid var(--line);vertical-align:top}
tr:first-child th{border-top:0;background:var(--raised);color:var(--muted);font-weight:600}
td.r,th.r{text-align:right}
td.wrap{white-space:normal;min-width:14rem;overflow-wrap:anywhere}
td.name{min-width:7rem;max-width:18rem;white-space:normal}
tr.on td{background:var(--on)}
td.share{background:linear-gradient(90deg,rgb(var(--heat)/.38) var(--part),transparent var(--part))}
.bad{color:#b42318;font-weight:600}
@media (prefers-color-scheme:dark){.bad{color:#ff8a7a}}
.pane{height:min(78vh,60rem);font-size:12.5px;line-height:1.55;background:var(--raised)}
.pane h3{position:sticky;top:0;left:0;margin:0;padding:.3rem .7rem;font-size:.82rem;background:var(--raised);
border-bottom:1px solid var(--line);z-index:1}
.code div{white-space:pre;min-height:1.55em;width:max-content;min-width:100%;padding-right:1rem}
.code .n{display:inline-block;width:4.2em;padding-right:.9em;text-align:right;color:var(--muted);user-select:none}
.code div.c{color:var(--comment)}
.code [data-p],.code [data-l]{cursor:pointer}
.code div[data-p]{box-shadow:inset 4px 0 0 rgb(var(--heat)/var(--h,0))}
.code div.on{background-color:var(--on)}
.code div.exact{background-color:var(--exact)}
.code .routine{white-space:normal;padding-right:0}
.code .label{color:var(--accent)}
details{margin:.6rem 0}
summary{cursor:pointer;color:var(--accent)}
pre{margin:.5rem 0;padding:.8rem;
background:var(--raised);border:1px solid var(--line);border-radius:8px;overflow:auto;font-size:12.5px}
footer{margin:2.5rem 0 3rem;color:var(--muted);font-size:.9rem}
footer li{margin:.25rem 0;max-width:75rem}
"""

SCRIPT = """
"use strict";
const root = document.documentElement;
addEventListener("error", event => { root.dataset.error = event.message; });
const data = JSON.parse(document.getElementById("data").textContent);
const all = (query, inside = document) => [...inside.querySelectorAll(query)];
const source = document.getElementById("source"), assembly = document.getElementById("assembly");
const chosen = document.getElementById("chosen");
const byPiece = new Map(), byLine = new Map();
const put = (map, key, element) => { map.has(key) ? map.get(key).push(element) : map.set(key, [element]); };
for (const element of all("[data-p]"))
  for (const number of element.dataset.p.split(" ")) put(byPiece, +number, element);
for (const element of all("#assembly [data-l]")) put(byLine, +element.dataset.l, element);
for (const element of all("#source [data-l]")) put(byLine, +element.dataset.l, element);

function clear() {
  for (const element of all(".on, .exact")) element.classList.remove("on", "exact");
}
function show(pane, element) {
  if (!element) return;
  const place = element.getBoundingClientRect(), frame = pane.getBoundingClientRect();
  pane.scrollTop += place.top - frame.top - Math.min(90, frame.height / 3);
}
function mark(numbers, nodes) {
  clear();
  for (const number of numbers) for (const element of byPiece.get(number) || []) element.classList.add("on");
  for (const index of nodes) for (const element of all(`.graph .node[data-node="${index}"], tr[data-node="${index}"]`))
    element.classList.add("on");
  for (const number of numbers) for (const row of all(`tr[data-piece="${number}"]`)) row.classList.add("on");
}
function reveal() {
  show(source, source.querySelector(".exact, .on"));
  show(assembly, assembly.querySelector(".exact") || assembly.querySelector(".on"));
}
function say(title, text) {
  chosen.replaceChildren();
  const strong = document.createElement("strong");
  strong.textContent = title;
  chosen.append(strong, " " + text);
}
function remember(hash) {
  try { history.replaceState(null, "", hash || " "); } catch { /* a page without an address */ }
}
function chooseNode(index) {
  const node = data.nodes[index];
  if (!node) return;
  mark(node.pieces, [index]);
  say(node.name, node.says);
  reveal();
  remember("#node-" + index);
}
function choosePiece(number) {
  const piece = data.pieces[number];
  if (!piece) return;
  mark([number], piece.nodes);
  say(piece.note, piece.says);
  reveal();
  remember("#piece-" + number);
}
function chooseLine(line, number, pane) {
  const piece = data.pieces[number];
  mark(piece ? [number] : [], piece ? piece.nodes : []);
  for (const element of byLine.get(line) || []) element.classList.add("exact");
  const count = (byLine.get(line) || []).filter(element => assembly.contains(element)).length;
  say("line " + line, count + (count === 1 ? " instruction" : " instructions") + (piece ? "; " + piece.says : ""));
  const other = pane === source ? assembly : source;
  show(other, other.querySelector(".exact") || other.querySelector(".on"));
}
function nothing() {
  clear();
  chosen.textContent = chosen.dataset.hint;
  remember("");
}
function fromHash() {
  const found = /^#(node|piece)-([0-9]+)$/.exec(location.hash);
  if (found) (found[1] === "node" ? chooseNode : choosePiece)(+found[2]);
}
for (const node of all(".graph .node")) {
  const index = +node.dataset.node;
  if (!data.nodes[index]) continue;
  node.setAttribute("tabindex", "0");
  node.setAttribute("role", "button");
  node.addEventListener("click", () => chooseNode(index));
  node.addEventListener("keydown", event => {
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); chooseNode(index); }
  });
}
for (const button of all("button[data-node]"))
  button.addEventListener("click", () => chooseNode(+button.dataset.node));
for (const button of all("button[data-piece]"))
  button.addEventListener("click", () => choosePiece(+button.dataset.piece));
for (const pane of [source, assembly]) pane.addEventListener("click", event => {
  const row = event.target.closest("[data-l], [data-p]");
  if (!row || String(getSelection())) return;
  const number = row.dataset.p === undefined ? -1 : +row.dataset.p.split(" ")[0];
  if (row.dataset.l !== undefined) chooseLine(+row.dataset.l, number, pane);
  else choosePiece(number);
});
document.getElementById("none").addEventListener("click", nothing);
addEventListener("keydown", event => { if (event.key === "Escape") nothing(); });
addEventListener("hashchange", fromHash);
fromHash();
root.dataset.ready = "yes";
"""

"use strict";
const root = document.documentElement;
addEventListener("error", event => { root.dataset.error = event.message; });
const data = JSON.parse(document.getElementById("data").textContent);
const all = (query, inside = document) => [...inside.querySelectorAll(query)];
const source = document.getElementById("source"), assembly = document.getElementById("assembly"), program = document.getElementById("program");
const chosen = document.getElementById("chosen");
const byPiece = new Map(), byLine = new Map();
const put = (map, key, element) => { map.has(key) ? map.get(key).push(element) : map.set(key, [element]); };
for (const element of all("[data-p]"))
  for (const number of element.dataset.p.split(" ")) put(byPiece, +number, element);
for (const element of all("#assembly [data-l]")) put(byLine, +element.dataset.l, element);
for (const element of all("#source [data-l]")) put(byLine, +element.dataset.l, element);

const told = all("#program .told").map(element => ({ element, stage: element.dataset.stage,
  nodes: element.dataset.of ? element.dataset.of.split(" ").map(Number) : [] }));

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
function markProgram(fits) {
  for (const line of told) if (fits(line)) line.element.classList.add("on");
}
const common = (some, others) => some.some(one => others.includes(one));
function reveal() {
  show(program, program.querySelector(".exact") || program.querySelector(".on"));
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
  markProgram(line => line.nodes.includes(index));
  say(node.name, node.says);
  reveal();
  remember("#node-" + index);
}
function choosePiece(number) {
  const piece = data.pieces[number];
  if (!piece) return;
  mark([number], piece.nodes);
  markProgram(line => line.stage === piece.stage && common(line.nodes, piece.nodes));
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
  if (piece) markProgram(line => line.stage === piece.stage && common(line.nodes, piece.nodes));
  show(other, other.querySelector(".exact") || other.querySelector(".on"));
  show(program, program.querySelector(".on"));
}
function chooseTold(line) {
  const pieces = [...data.pieces.keys()].filter(number =>
    data.pieces[number].stage === line.stage && common(line.nodes, data.pieces[number].nodes));
  mark(pieces, line.nodes);
  line.element.classList.add("exact");
  say(line.nodes.map(index => data.nodes[index]).filter(Boolean).map(node => node.name).join(", "), line.stage);
  show(source, source.querySelector(".on"));
  show(assembly, assembly.querySelector(".on"));
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
for (const line of told) line.element.addEventListener("click", () => { if (!String(getSelection())) chooseTold(line); });
document.getElementById("none").addEventListener("click", nothing);
addEventListener("keydown", event => { if (event.key === "Escape") nothing(); });
addEventListener("hashchange", fromHash);
fromHash();
root.dataset.ready = "yes";

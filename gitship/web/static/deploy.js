// A deploy: steps that fold and, while it runs, its lines and its head as they come. The browser resumes by itself.
import { Follow } from "./follow.js";
import { connect } from "./connection.js";

const LOOKS = ["plain", "headline", "result", "error", "raw"];
const MAX_LINES = 5000; // in the page; the whole log is a link away
const log = document.getElementById("log");

const steps = new Map(); // headline -> the raw lines of its step

function fold(head) {
  const button = head.querySelector("button.fold");
  const open = button.getAttribute("aria-expanded") === "true";
  button.setAttribute("aria-expanded", String(!open));
  for (const line of steps.get(head)) line.hidden = open;
}

function put(line, head) {
  let button = head.querySelector("button.fold");
  if (!button) {
    button = document.createElement("button");
    button.type = "button";
    button.className = "fold";
    button.setAttribute("aria-expanded", "true");
    button.addEventListener("click", () => fold(head));
    head.append(button);
    steps.set(head, []);
  }
  const lines = steps.get(head);
  lines.push(line);
  line.hidden = button.getAttribute("aria-expanded") === "false";
  button.textContent = `${lines.length} line${lines.length === 1 ? "" : "s"}`;
}

// A headline stands before its step's lines when the step takes long; else it comes at its end, with its time.
const OVER = /\s\d+\.\ds$/;
let head = null; // of the step that the next raw line belongs to
let waiting = []; // raw lines whose headline is still to come
function place(item) {
  if (item.matches(".headline")) {
    head = OVER.test(item.textContent) ? null : item;
    for (const line of waiting) put(line, item);
    waiting = [];
  } else if (item.matches(".result, .error")) head = null;
  else if (item.matches(".raw")) {
    if (head) put(item, head);
    else waiting.push(item);
  }
}

function drop(oldest) {
  const lines = [...steps.values(), waiting].find((lines) => lines[0] === oldest);
  lines?.shift();
  steps.delete(oldest);
  oldest.remove();
}

for (const item of log.children) place(item);

if (log.dataset.stream) {
  const follow = new Follow(document.getElementById("follow"));
  const add = (event) => {
    const item = document.createElement("li");
    item.id = `L${event.lastEventId}`;
    item.value = Number(event.lastEventId); // so that folded lines count, too
    item.className = event.type;
    item.innerHTML = event.data; // escaped by the server, as in the page itself
    const link = document.createElement("a");
    link.href = `#${item.id}`;
    link.tabIndex = -1;
    link.setAttribute("aria-label", `Line ${event.lastEventId}`);
    item.prepend(link);
    log.append(item);
    place(item);
    if (log.childElementCount > MAX_LINES) drop(log.firstElementChild);
    follow.keep();
  };
  const state = (event) => {
    const { state, head: html } = JSON.parse(event.data);
    document.getElementById("head").innerHTML = html; // likewise
    const stage = document.getElementById("stage");
    stage.textContent = state;
    stage.className = `state ${state}`;
    document.title = document.title.replace(/: [a-z ]+ –/, `: ${state} –`);
    follow.keep();
  };
  const end = () => {
    close();
    document.getElementById("follow").hidden = true;
  };
  const close = connect(log.dataset.stream, { ...Object.fromEntries(LOOKS.map((look) => [look, add])), state, end });
} else if (!location.hash) {
  for (const step of steps.keys()) fold(step); // it is over: the steps alone tell what happened
  const failed = log.querySelector(".error");
  const last = failed && [...steps.keys()].filter((step) => step.compareDocumentPosition(failed) & Node.DOCUMENT_POSITION_FOLLOWING).pop();
  if (last) fold(last); // but what the failed one printed is what one came for
}

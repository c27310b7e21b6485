// A deploy: steps that fold and, while it runs, its lines and its head as they come. The browser resumes by itself.
import { Follow } from "./follow.js";
import { say } from "./connection.js";

const LOOKS = ["plain", "headline", "result", "error", "raw"];
const MAX_LINES = 5000; // in the page; the whole log is a link away
const log = document.getElementById("log");

function fold(head) {
  const button = head.querySelector("button.fold");
  const open = button.getAttribute("aria-expanded") === "true";
  button.setAttribute("aria-expanded", String(!open));
  for (let line = head.nextElementSibling; line && !line.matches(".headline, .result, .error"); line = line.nextElementSibling) {
    if (line.matches(".raw")) line.hidden = open;
  }
}

function foldable(head) {
  let button = head.querySelector("button.fold");
  if (!button) {
    button = document.createElement("button");
    button.type = "button";
    button.className = "fold";
    button.setAttribute("aria-expanded", "true");
    button.addEventListener("click", () => fold(head));
    head.append(button);
    button.count = 0;
  }
  button.count += 1;
  button.textContent = `${button.count} line${button.count === 1 ? "" : "s"}`;
  return button;
}

let head = null; // of the step that the next raw line belongs to
function place(item) {
  if (item.matches(".headline")) head = item;
  else if (item.matches(".result, .error")) head = null;
  else if (head && item.matches(".raw")) item.hidden = foldable(head).getAttribute("aria-expanded") === "false";
}

for (const item of log.children) place(item);

if (log.dataset.stream) {
  const follow = new Follow(document.getElementById("follow"));
  const source = new EventSource(log.dataset.stream);
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
    if (log.childElementCount > MAX_LINES) log.firstElementChild.remove();
    follow.keep();
  };
  for (const look of LOOKS) source.addEventListener(look, add);
  source.addEventListener("state", (event) => {
    const { state, head: html } = JSON.parse(event.data);
    document.getElementById("head").innerHTML = html; // likewise
    document.getElementById("stage").textContent = state;
    document.title = document.title.replace(/: [a-z ]+ –/, `: ${state} –`);
    follow.keep();
  });
  source.addEventListener("end", () => {
    source.close();
    document.getElementById("follow").hidden = true;
  });
  say(source);
} else if (!location.hash) {
  for (const step of log.querySelectorAll(".headline:has(button.fold)")) {
    if (step.nextElementSibling) fold(step); // it is over: the steps alone tell what happened
  }
  const failed = log.querySelector(".error");
  const last = failed && [...log.querySelectorAll(".headline")].filter((step) => step.compareDocumentPosition(failed) & Node.DOCUMENT_POSITION_FOLLOWING).pop();
  if (last?.querySelector("button.fold")) fold(last); // but what the failed one printed is what one came for
}

// Container logs as they come. Which lines are seen is decided here, so that all viewers share one stream.
import { Follow } from "./follow.js";
import { connect } from "./connection.js";

const MAX_LINES = 5000;
const log = document.getElementById("log");
const filter = document.getElementById("filter");

if (log) {
  const none = document.getElementById("none");
  const follow = new Follow(document.getElementById("follow"));
  const fits = (item) => {
    const process = filter.elements.process.value;
    const wanted = filter.elements.q.value.toLowerCase();
    return (!process || item.dataset.process === process) && (!wanted || item.lastElementChild.textContent.toLowerCase().includes(wanted));
  };
  const show = (item) => { item.hidden = !fits(item); };
  const tell = () => { none.hidden = Boolean(log.querySelector("li:not([hidden])")); };
  const all = () => {
    for (const item of log.children) show(item);
    tell();
    follow.keep();
    const query = new URLSearchParams([...new FormData(filter)].filter(([, value]) => value));
    history.replaceState(null, "", query.size ? `?${query}` : location.pathname);
  };
  filter.addEventListener("input", all);
  filter.addEventListener("submit", (event) => { event.preventDefault(); all(); });

  const lines = (event) => {
    const items = JSON.parse(event.data).map(([at, who, stream, html]) => {
      const item = document.createElement("li");
      item.className = stream;
      item.dataset.process = who.split(".")[0];
      const time = document.createElement("time");
      time.dateTime = time.title = new Date(at * 1000).toISOString();
      time.textContent = time.dateTime.slice(11, 19);
      const name = document.createElement("b");
      name.textContent = who;
      const text = document.createElement("span");
      text.innerHTML = html; // escaped by the server, as in the page itself
      item.append(time, " ", name, " ", text);
      show(item);
      return item;
    });
    log.append(...items);
    while (log.childElementCount > MAX_LINES) log.firstElementChild.remove();
    tell();
    follow.keep();
  };
  connect(log.dataset.stream, { lines });
}

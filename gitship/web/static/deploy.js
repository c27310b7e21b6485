// A deploy while it runs: its lines and its head as they come. The browser resumes after the last line it saw.
const LOOKS = ["plain", "headline", "result", "error", "raw"];
const MAX_LINES = 5000; // in the page; the whole log is a link away
const link = document.getElementById("link");
const log = document.getElementById("log");
const source = new EventSource(log.dataset.stream);

function atBottom() {
  return window.innerHeight + window.scrollY >= document.documentElement.scrollHeight - 40;
}

function add(event) {
  const follow = atBottom();
  const item = document.createElement("li");
  item.id = `L${event.lastEventId}`;
  item.className = event.type;
  item.textContent = event.data;
  log.append(item);
  if (log.childElementCount > MAX_LINES) {
    log.firstElementChild.remove();
    log.start += 1;
  }
  if (follow) window.scrollTo(0, document.documentElement.scrollHeight);
}

for (const look of LOOKS) source.addEventListener(look, add);
source.addEventListener("state", (event) => {
  const { state, head } = JSON.parse(event.data);
  document.getElementById("head").innerHTML = head; // escaped by the server, which made it from the page's own template
  document.title = document.title.replace(/: [a-z ]+ –/, `: ${state} –`);
});
source.addEventListener("end", () => source.close());
source.addEventListener("open", () => { link.textContent = ""; });
source.addEventListener("error", () => { link.textContent = "Connection lost, trying again"; });

// Fetches the page anew when the server says that some app changed. Without this script the page reads the same.
const link = document.getElementById("link");
const source = new EventSource(document.getElementById("live").dataset.stream);

async function refresh() {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = page.getElementById("live");
  if (!fresh) return location.reload(); // the app is gone, say
  document.getElementById("live").replaceWith(document.adoptNode(fresh));
  document.title = page.title;
}

source.addEventListener("changed", () => refresh().catch(() => {}));
source.addEventListener("open", () => { link.textContent = ""; });
source.addEventListener("error", () => { link.textContent = "Connection lost, trying again"; });

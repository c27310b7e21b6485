// Fetches this page anew and puts it in place; what had the focus keeps it.
let asked = 0;

export async function refresh() {
  const mine = ++asked;
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (answer.status >= 500) throw new Error(answer.statusText); // of Varnish, while gitship is being started: what is there stays
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  if (mine !== asked) return; // a later one shows more
  const fresh = page.getElementById("live");
  if (!fresh) return location.reload(); // the app is gone, say, or the session is over
  const focused = document.activeElement?.closest?.("#live a")?.getAttribute("href");
  document.getElementById("live").replaceWith(document.adoptNode(fresh));
  document.title = page.title;
  if (focused) document.querySelector(`#live a[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
}

const STEPS = [[60, 1, "s"], [3600, 60, "min"], [86400, 3600, "h"], [Infinity, 86400, "d"]];
setInterval(() => { // ages go on while nothing happens
  for (const time of document.querySelectorAll("#live time")) {
    const seconds = (Date.now() - Date.parse(time.dateTime)) / 1000;
    if (seconds < 0) continue; // it is still to come
    const [, unit, name] = STEPS.find(([limit]) => seconds < limit);
    const text = seconds < 5 ? "just now" : `${Math.floor(seconds / unit)} ${name} ago`;
    if (time.textContent !== text) time.textContent = text;
  }
}, 5000);

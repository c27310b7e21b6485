// A stream of events that comes back, also when Varnish answers for a gitship that is being started: after such an
// answer a browser gives up. Says when it is cut off, and when it cannot come back.
const AGAIN_MS = 2000;

export function connect(address, events) {
  const link = document.getElementById("link");
  let source, last = "", refused = false;

  const open = () => {
    const url = new URL(address, location.href);
    if (last) url.searchParams.set("after", last); // a new source tells no Last-Event-ID
    source = new EventSource(url);
    for (const [name, heard] of Object.entries(events)) {
      source.addEventListener(name, (event) => { last = event.lastEventId || last; heard(event); });
    }
    source.addEventListener("open", () => { link.textContent = ""; refused = false; });
    source.addEventListener("error", () => {
      link.textContent = "Connection lost, trying again";
      if (source.readyState === EventSource.CLOSED) again();
    });
  };

  const again = async () => {
    const answer = await fetch("/healthz").catch(() => null);
    if (!answer?.ok) setTimeout(again, AGAIN_MS);
    else if (refused) link.textContent = "Not connected; load the page again"; // the session is over, say
    else {
      refused = true;
      open();
    }
  };

  open();
  return () => source.close();
}

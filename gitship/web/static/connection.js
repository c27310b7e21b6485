// Says when the stream of events is cut off, and when it cannot come back.
export function say(source) {
  const link = document.getElementById("link");
  source.addEventListener("open", () => { link.textContent = ""; });
  source.addEventListener("error", () => {
    link.textContent = source.readyState === EventSource.CLOSED ? "Not connected; load the page again" : "Connection lost, trying again";
  });
}

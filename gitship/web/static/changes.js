// Shows what is new when the server says that some app changed. Without this script the page reads the same.
import { connect } from "./connection.js";
import { refresh } from "./refresh.js";

connect(document.getElementById("live").dataset.stream, {
  changed: () => refresh().catch(() => {}),
  figures: () => { if (!document.hidden) refresh().catch(() => {}); },
});

document.addEventListener("click", (event) => { // another view of the same page, without losing one's place in it
  const link = event.target.closest("a[data-swap]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  history.pushState(null, "", link.href);
  refresh().catch(() => location.reload());
});
addEventListener("popstate", () => refresh().catch(() => location.reload()));

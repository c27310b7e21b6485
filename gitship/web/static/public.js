// The public page has no stream: it looks once a minute.
import { refresh } from "./refresh.js";

setInterval(() => { if (!document.hidden) refresh().catch(() => {}); }, 60_000);

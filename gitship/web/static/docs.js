// The manual's search. A section is found when all words stand in it; those with the words in their heading come first.
const form = document.querySelector(".find");
const input = form.querySelector("input");
const told = form.querySelector("[role=status]");
const list = form.querySelector(".found");
const MOST = 12;
const AROUND = 70; // characters of the text before and after the first word
let sections;

const load = () => (sections ??= fetch(form.dataset.index)
  .then((answer) => (answer.ok ? answer.json() : Promise.reject(answer.status)))
  .catch((error) => { sections = undefined; throw error; }));

function score(section, words) {
  const title = `${section.title} ${section.topic}`.toLowerCase();
  const text = section.text.toLowerCase();
  let sum = 0;
  for (const word of words) {
    if (section.title.toLowerCase() === word) sum += 8;
    if (title.includes(word)) sum += 4;
    else if (text.includes(word)) sum += 1;
    else return 0;
  }
  return sum;
}

function entry(section, words) {
  const item = document.createElement("li");
  const link = document.createElement("a");
  link.href = section.address;
  link.textContent = section.title;
  const text = document.createElement("span");
  text.className = "small";
  const at = Math.max(0, section.text.toLowerCase().indexOf(words[0]) - AROUND);
  const excerpt = `${at ? "…" : ""}${section.text.slice(at, at + 2 * AROUND)}`;
  text.textContent = [section.topic, excerpt].filter(Boolean).join(" – ");
  item.append(link, " ", text);
  return item;
}

async function find() {
  const asked = input.value;
  const words = asked.toLowerCase().split(/\s+/).filter(Boolean);
  let found = [];
  if (words.length) {
    try {
      found = (await load()).map((section) => [score(section, words), section]).filter(([points]) => points);
    } catch {
      told.textContent = "The search does not answer; the list below has every topic.";
      return;
    }
  }
  if (input.value !== asked) return; // typed on meanwhile
  found.sort(([a], [b]) => b - a);
  list.replaceChildren(...found.slice(0, MOST).map(([, section]) => entry(section, words)));
  told.textContent = words.length ? `${found.length || "No"} section${found.length === 1 ? "" : "s"} found` : "";
}

form.hidden = false;
form.addEventListener("submit", (event) => { event.preventDefault(); list.querySelector("a")?.click(); });
input.addEventListener("input", find);

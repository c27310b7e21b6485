// A log that stays at its end while one follows it. Scrolling up pauses; the button, or scrolling down, goes on.
const NEAR_PX = 60;

export class Follow {
  constructor(button) {
    this.button = button;
    this.on = true;
    button.hidden = false;
    button.addEventListener("click", () => this.set(!this.on));
    addEventListener("scroll", () => this.set(this.#atBottom()), { passive: true });
    addEventListener("keydown", (event) => {
      if (event.key === "f" && !event.target.closest("input, select, textarea") && !event.ctrlKey && !event.metaKey) this.set(!this.on);
    });
    this.#apply(!location.hash);
  }

  #atBottom() {
    return innerHeight + scrollY >= document.documentElement.scrollHeight - NEAR_PX;
  }

  set(on) {
    if (on !== this.on) this.#apply(on);
  }

  #apply(on) {
    this.on = on;
    this.button.textContent = on ? "Following" : "Paused";
    this.button.setAttribute("aria-pressed", String(on));
    this.button.title = on ? "Pause (f)" : "Follow (f)";
    if (on) this.keep();
  }

  keep() {
    if (this.on) scrollTo(0, document.documentElement.scrollHeight);
  }
}

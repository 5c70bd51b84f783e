// What htmx leaves to the page: when not to ask, and what to do with what no page of ours is. Without scripts every page
// works the same, only that nothing is renewed by itself.
(() => {
  // A second click sends no form twice: a browser would show the refusal of the second in place of the new key.
  let sent = new WeakSet();
  window.addEventListener("pageshow", () => { sent = new WeakSet(); });
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.getAttribute("method") !== "post") return; // a field may be called method, too
    if (sent.has(form)) return event.preventDefault();
    sent.add(form);
    setTimeout(() => sent.delete(form), 10_000); // whoever has stopped the sending may send it again
  });

  const notice = () => document.getElementById("not-renewed");
  const show = (failed) => { notice().hidden = !failed; };

  // Nobody looks at a hidden tab; it is renewed when it is shown again.
  document.addEventListener("htmx:before:request", (event) => {
    if (document.hidden) event.preventDefault();
  });

  // What is on the page stays there until something better has come. Errors of our own are pages, and are shown.
  document.addEventListener("htmx:after:request", (event) => {
    const { sourceElement, response, text, hx } = event.detail.ctx;
    if (hx.redirect) return;
    const part = sourceElement.hasAttribute("data-part");
    const usable = part ? response.status === 200 : text.includes('<main id="content"');
    if (!usable) event.preventDefault();
    show(!usable);
  });

  // Whoever does not see it hears what has come in the place of the content. What is wrong in a form says so by itself.
  document.addEventListener("htmx:after:swap", (event) => {
    if (event.detail.ctx.sourceElement.hasAttribute("data-part")) return;
    const content = document.getElementById("content");
    document.getElementById("announcement").textContent = content.dataset.announcement;
  });

  // No response has come at all.
  document.addEventListener("htmx:error", () => show(true));
})();

// What comes, into the page that the server wrote. Without it the page stands still, and is whole.
"use strict";

(() => {
  const MOST_ROWS = 200;
  const SAID_EVERY = 15000;

  const main = document.querySelector("main[data-live]");
  document.querySelector("tr.here")?.scrollIntoView({ block: "center" });
  if (!main) return;

  const status = main.querySelector(".status");
  const region = document.getElementById("live");
  const rows = document.getElementById("lines");
  const there = new URL(main.dataset.live, location.href);

  let source = null;
  let paused = false;
  let saidAt = 0;

  const bar = document.createElement("p");
  bar.className = "ticker";
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Pause";
  button.setAttribute("aria-pressed", "false");
  const ticker = document.createElement("span");
  bar.append(button, " ", ticker);
  main.querySelector("h1").after(bar);

  // Written by the server, which has escaped what others wrote; no script in it would run.
  function parsed(html) {
    const template = document.createElement("template");
    template.innerHTML = html;
    return template.content;
  }

  function tell(text) {
    ticker.textContent = text;
    if (Date.now() - saidAt > SAID_EVERY) {
      saidAt = Date.now();
      status.textContent = text;
    }
  }

  function replaceRegion(html) {
    const focused = region.contains(document.activeElement) ? document.activeElement : null;
    const place = focused && [...region.querySelectorAll("a, [tabindex]")].indexOf(focused);
    const href = focused?.getAttribute("href");
    const scrolled = region.querySelector(".scroll")?.scrollLeft ?? 0;
    region.replaceChildren(parsed(html));
    const scroll = region.querySelector(".scroll");
    if (scroll) scroll.scrollLeft = scrolled;
    if (!focused) return;
    const all = [...region.querySelectorAll("a, [tabindex]")];
    const same = all.find((each) => href && each.getAttribute("href") === href);
    (same ?? all[place] ?? region.querySelector("a"))?.focus({ preventScroll: true });
  }

  function addRows(html) {
    const hadFocus = rows.contains(document.activeElement);
    rows.prepend(parsed(html));
    while (rows.children.length > MOST_ROWS && !hadFocus) rows.lastElementChild.remove();
  }

  function isSelecting() {
    const selection = getSelection();
    return region && !selection.isCollapsed && region.contains(selection.anchorNode);
  }

  function open() {
    if (source || paused || document.hidden) return;
    source = new EventSource(there);
    source.addEventListener("open", () => tell("live"));
    source.addEventListener("error", () => {
      const over = source.readyState === EventSource.CLOSED;
      tell(over ? "ended: open the page anew" : "the connection is lost, trying again");
    });
    source.addEventListener("trouble", (event) => tell(JSON.parse(event.data).said));
    source.addEventListener("now", (event) => {
      const { html, said } = JSON.parse(event.data);
      if (!isSelecting()) replaceRegion(html);
      tell(said);
    });
    source.addEventListener("rows", (event) => {
      const { rows: html, said } = JSON.parse(event.data);
      addRows(html);
      there.searchParams.set("after", event.lastEventId); // where to go on after a pause
      tell(said);
    });
  }

  function close() {
    source?.close();
    source = null;
  }

  button.addEventListener("click", () => {
    paused = !paused;
    button.setAttribute("aria-pressed", String(paused));
    button.textContent = paused ? "Go on" : "Pause";
    if (paused) close();
    else open();
    ticker.textContent = paused ? "paused" : "live";
  });

  // A page that nobody sees costs nothing, and leaves its connection to others.
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  addEventListener("pagehide", close);
  addEventListener("pageshow", open);
  open();
})();

// Shows what has changed: asks for the page again and replaces its regions, but never what somebody is reading or typing.
const policy = window.trustedTypes?.createPolicy("desk", { createHTML: (text) => text }) ?? { createHTML: (text) => text };
const regions = () => [...document.querySelectorAll("[data-live]")];
const bar = document.querySelector("[data-live-bar]");
const pause = document.querySelector("[data-pause]");
const POLL = 10000;
let paused = sessionStorage.getItem("paused") === "yes";
let source, timer, etag, asking, away = false, missed = false;

function say(text, link) {
  bar.replaceChildren(text);
  if (link) {
    const again = document.createElement("a");
    again.href = location.href;
    again.textContent = link;
    bar.append(" ", again);
  }
  bar.hidden = !text;
}

function isBusy(region) {
  const selection = getSelection();
  const typed = [...region.querySelectorAll("textarea, input:not([type=hidden])")].some((one) =>
    ["checkbox", "radio"].includes(one.type) ? one.checked !== one.defaultChecked : one.value !== one.defaultValue);
  const selected = !selection.isCollapsed && region.contains(selection.anchorNode);
  return typed || selected || region.querySelector("details.act[open]") || region.contains(document.activeElement);
}

async function ask() {
  if (asking || paused || document.hidden) return;
  asking = true;
  try {
    const answer = await fetch(location.href, { headers: etag ? { "If-None-Match": etag } : {}, cache: "no-store" });
    if (answer.ok) show(await answer.text(), answer.headers.get("ETag"));
    else if (answer.status === 401) say("You are not signed in any more.", "Sign in");
  } catch {
    say("The desk does not answer; this page is as it was.");
  } finally {
    asking = false;
  }
  plan();
}

function show(text, found) {
  const page = new DOMParser().parseFromString(policy.createHTML(text), "text/html");
  const version = (root) => root.querySelector("[data-version]")?.dataset.version;
  if (version(document) && version(page) && version(document) !== version(page)) {
    bar.setAttribute("role", "alert");
    say("A newer version has come. Nothing can be decided on this one any more.", "Show it");
    document.querySelectorAll("#decide form, #decide details").forEach((one) => one.remove());
    return;
  }
  etag = found;
  let left = false;
  for (const region of regions()) {
    const fresh = page.getElementById(region.id);
    if (!fresh || fresh.isEqualNode(region)) continue;
    if (isBusy(region)) left = true;
    else region.replaceWith(document.adoptNode(fresh));
  }
  document.title = page.title;
  say(left ? "This has changed." : away ? "Changes are not told at present; this page asks every 10 seconds." : "", left && "Show it");
}

function plan() {
  clearTimeout(timer);
  const again = Number(document.querySelector("[data-again]")?.dataset.again) * 1000;
  const wait = away ? Math.min(again || POLL, POLL) : again;
  if (wait && !paused && !document.hidden) timer = setTimeout(ask, wait);
}

function follow() {
  source?.close();
  source = undefined;
  clearTimeout(timer);
  if (pause) pause.textContent = paused ? "Go on with live changes" : "Pause live changes";
  if (paused || document.hidden) return;
  source = new EventSource("/live");
  source.addEventListener("changed", (event) => {
    if (event.data === "all" || regions().some((one) => ["all", event.data].includes(one.dataset.live))) ask();
  });
  source.addEventListener("kafka", (event) => {
    const was = away;
    away = event.data === "away";
    if (was !== away || missed || away) ask();
    missed = false;
  });
  source.addEventListener("error", () => { away = missed = true; plan(); });
  plan();
}

document.addEventListener("submit", (event) => {
  if (event.target.dataset.sent) event.preventDefault();
  else if (event.target.method === "post") event.target.dataset.sent = "yes";
});
document.addEventListener("input", (event) => {
  const count = event.target.closest("[data-counted]")?.parentElement.querySelector("[data-count]");
  if (count) count.textContent = `${[...event.target.value].length.toLocaleString("en")} of 1,000`;
});
addEventListener("pageshow", (event) => {
  if (event.persisted) document.querySelectorAll("[data-sent]").forEach((form) => form.removeAttribute("data-sent"));
});
if (regions().length) {
  if (pause) {
    pause.hidden = false;
    pause.addEventListener("click", () => {
      paused = !paused;
      sessionStorage.setItem("paused", paused ? "yes" : "no");
      follow();
      ask();
    });
  }
  document.addEventListener("visibilitychange", () => { missed = true; follow(); });
  follow();
}

// Shows what the node said about the page you are looking at: one HEAD request to this very URL.
// Everything else on the site works without this file.

const FIELDS = ["Cache-Status", "Age", "X-Edge-Deployment", "ETag"];

const panel = document.querySelector("[data-response]");
const reading = panel.querySelector("[data-reading]");
const list = panel.querySelector("[data-fields]");
const button = panel.querySelector("button");

/** `edge; hit; ttl=583` in a sentence (RFC 9211, section 2); the last cache named is the nearest. */
function inWords(cacheStatus) {
  if (cacheStatus === null) {
    return "No Cache-Status here: this page is not served by Edge, or something in between removed it.";
  }
  const [, ...parameters] = cacheStatus.split(",").pop().split(";").map((part) => part.trim());
  const value = (name) => parameters.find((part) => part.startsWith(`${name}=`))?.slice(name.length + 1);
  if (parameters.includes("hit")) {
    const seconds = value("ttl");
    return `Answered from the cache${seconds ? `, fresh for another ${seconds} s` : ""}.`;
  }
  const stored = parameters.includes("stored") ? " It is stored now: ask again." : "";
  return `Not answered from the cache (${value("fwd") ?? "no reason given"}).${stored}`;
}

function row(name, value) {
  const pair = document.createElement("div");
  const term = document.createElement("dt");
  const detail = document.createElement("dd");
  term.textContent = name;
  detail.textContent = value ?? "not sent";
  detail.classList.toggle("absent", value === null);
  pair.append(term, detail);
  return pair;
}

async function ask() {
  button.setAttribute("aria-disabled", "true");
  try {
    const started = performance.now();
    const response = await fetch(location.href, { method: "HEAD", cache: "no-store" });
    const milliseconds = (performance.now() - started).toFixed(1);
    reading.textContent = `${response.status} in ${milliseconds} ms. ${inWords(response.headers.get("Cache-Status"))}`;
    list.replaceChildren(...FIELDS.map((name) => row(name, response.headers.get(name))));
    list.classList.remove("fresh");
    void list.offsetWidth; // restarts the animation
    list.classList.add("fresh");
  } catch {
    reading.textContent = "No answer: the node is not running, or the network is away.";
  } finally {
    button.removeAttribute("aria-disabled");
  }
}

button.addEventListener("click", () => {
  if (!button.hasAttribute("aria-disabled")) ask();
});
button.hidden = false;
ask();

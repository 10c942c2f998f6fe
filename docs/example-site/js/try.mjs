// Asks the server a dozen questions and shows what it said. Each question
// states what HTTP leads one to expect; nothing here knows which server it is.

const json = "/data/week.json";

const questions = [
  { ask: "GET /", expect: "200, an HTML page", request: ["/"], is: (r) => r.status === 200 && kind(r) === "text/html" },
  { ask: "HEAD /css/site.css", expect: "200, no body, the style sheet's type", request: ["/css/site.css", { method: "HEAD" }], is: (r, body) => r.status === 200 && kind(r) === "text/css" && body === 0 },
  { ask: "GET /js/chart.mjs", expect: "200, a JavaScript type", request: ["/js/chart.mjs"], is: (r) => r.status === 200 && /javascript/.test(kind(r)) },
  { ask: "GET /harbour", expect: "a redirect to /harbour/", request: ["/harbour"], is: (r) => r.redirected && r.url.endsWith("/harbour/") },
  { ask: "GET /log/Gale%20over%20Brins%C3%B6.html", expect: "200, a name with a space and an ö", request: ["/log/Gale%20over%20Brins%C3%B6.html"], is: (r) => r.status === 200 },
  { ask: "GET /data/week.json, as a browser does", expect: "a compressed sibling: br, zstd or gzip", request: [json], is: (r) => r.headers.has("Content-Encoding") },
  { ask: "the same, If-None-Match: its ETag", expect: "304 Not Modified", request: async () => [json, { headers: { "If-None-Match": (await first(json)).get("ETag") ?? '"none"' } }], is: (r) => r.status === 304 },
  { ask: "the same, If-Modified-Since: its date", expect: "304 Not Modified", request: async () => [json, { headers: { "If-Modified-Since": (await first(json)).get("Last-Modified") ?? "" } }], is: (r) => r.status === 304 },
  { ask: "GET /media/waves.wav, Range: bytes=0-15", expect: "206, sixteen bytes", request: ["/media/waves.wav", { headers: { Range: "bytes=0-15" } }], is: (r, body) => r.status === 206 && body === 16 },
  { ask: "the same, Range: bytes=99999999999-", expect: "416, and the file's length", request: ["/media/waves.wav", { headers: { Range: "bytes=99999999999-" } }], is: (r) => r.status === 416 && r.headers.has("Content-Range") },
  { ask: "GET /no/such/page", expect: "404 Not Found", request: ["/no/such/page"], is: (r) => r.status === 404 },
  { ask: "POST /", expect: "405, and Allow", request: ["/", { method: "POST", body: "hello" }], is: (r) => r.status === 405 && r.headers.has("Allow") },
];
const telling = ["Content-Type", "Content-Encoding", "Content-Range", "Allow"];

const button = document.getElementById("ask");
const rows = document.getElementById("answers");
const total = document.getElementById("total");

for (const element of document.querySelectorAll(".origin")) element.textContent = location.origin;
button.hidden = false;
button.addEventListener("click", async () => {
  button.disabled = true;
  rows.replaceChildren();
  let good = 0;
  for (const question of questions) if (await put(question)) good += 1;
  total.textContent = `${good} of ${questions.length} as expected.`;
  button.disabled = false;
});

async function put(question) {
  const [said, good] = await answer(question);
  const row = document.createElement("tr");
  for (const text of [question.ask, question.expect, said]) row.append(Object.assign(document.createElement("td"), { textContent: text }));
  row.append(Object.assign(document.createElement("td"), { className: good ? "good" : "bad", textContent: good ? "yes" : "no" }));
  rows.append(row);
  return good;
}

async function answer(question) {
  const abort = new AbortController();
  try {
    const [address, options] = typeof question.request === "function" ? await question.request() : question.request;
    const response = await fetch(address, { cache: "no-store", signal: abort.signal, ...options });
    const long = response.status === 200 && address.startsWith("/media/"); // ranges unknown here: do not fetch it all
    const body = long ? NaN : (await response.arrayBuffer()).byteLength;
    const fields = telling.filter((name) => response.headers.has(name)).map((name) => `${name}: ${response.headers.get(name)}`);
    const arrived = response.redirected ? [`after a redirect to ${new URL(response.url).pathname}`] : [];
    return [[response.status, ...arrived, ...fields].join("; "), question.is(response, body)];
  } catch (error) {
    return [error.message, false];
  } finally {
    abort.abort();
  }
}

async function first(address) {
  return (await fetch(address, { method: "HEAD", cache: "no-store" })).headers;
}

function kind(response) {
  return (response.headers.get("Content-Type") ?? "").split(";")[0].trim();
}

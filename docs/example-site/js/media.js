// The media page: jumps in the film, a bar of what the browser has fetched,
// and sixteen bytes asked for by their numbers. A classic script, on purpose:
// the other scripts of this site are modules.

(function () {
  "use strict";

  const film = document.getElementById("film");
  const bar = document.getElementById("film-buffered");
  const answer = document.getElementById("range-answer");

  for (const button of document.querySelectorAll("[data-second]")) {
    button.addEventListener("click", function () {
      film.currentTime = Number(button.dataset.second);
    });
  }

  for (const event of ["progress", "seeked", "timeupdate", "loadedmetadata"]) {
    film.addEventListener(event, drawBuffered);
  }
  drawBuffered();

  for (const button of document.querySelectorAll("[data-range]")) {
    button.addEventListener("click", function () {
      askFor(button.dataset.range);
    });
  }

  function drawBuffered() {
    const spans = [];
    for (let i = 0; i < film.buffered.length; i++) {
      const span = document.createElement("span");
      span.style.left = (100 * film.buffered.start(i)) / film.duration + "%";
      span.style.right = 100 - (100 * film.buffered.end(i)) / film.duration + "%";
      spans.push(span);
    }
    bar.replaceChildren(...spans);
  }

  async function askFor(range) {
    const abort = new AbortController();
    try {
      const response = await fetch("/media/waves.wav", { headers: { Range: "bytes=" + range }, cache: "no-store", signal: abort.signal });
      const lines = [response.status + " " + response.statusText];
      for (const name of ["Content-Range", "Content-Length", "Content-Type"]) {
        lines.push(name + ": " + (response.headers.get(name) || "(none)"));
      }
      if (response.status === 206) lines.push("", hex(new Uint8Array(await response.arrayBuffer())));
      answer.textContent = lines.join("\n");
    } catch (error) {
      answer.textContent = "No answer: " + error.message;
    } finally {
      abort.abort(); // a server without ranges would send all of it
    }
  }

  function hex(bytes) {
    const lines = [];
    for (let i = 0; i < bytes.length; i += 8) {
      const row = Array.from(bytes.slice(i, i + 8));
      const digits = row.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
      lines.push(digits.padEnd(25) + row.map((byte) => (byte > 31 && byte < 127 ? String.fromCharCode(byte) : ".")).join(""));
    }
    return lines.join("\n");
  }
})();

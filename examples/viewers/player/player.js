// Plays /hls/<name>.m3u8 of the address ?name=…; "front" where none is named.
// Safari, and Chromium from version 142 on, play HLS themselves. For others put hls.js
// (https://github.com/video-dev/hls.js, dist/hls.mjs) beside this file.

const name = new URLSearchParams(location.search).get("name") ?? "front";
const source = `/hls/${encodeURIComponent(name)}.m3u8`;
const video = document.getElementById("video");
const state = document.getElementById("state");
const RETRY_MS = 2000;

async function attach() {
  if (video.canPlayType("application/vnd.apple.mpegurl")) {
    video.src = source;
    return;
  }
  try {
    const { default: Hls } = await import("./hls.mjs");
    const player = new Hls({ liveSyncDurationCount: 2 });
    player.loadSource(source);
    player.attachMedia(video);
  } catch {
    state.textContent = "This browser does not play HLS: put hls.mjs beside player.js.";
  }
}

async function wait() {
  const answer = await fetch(source, { cache: "no-store" }).catch(() => null);
  if (answer?.ok) {
    await attach();
    await video.play().catch(() => {}); // autoplay may be forbidden: the controls are there
  } else {
    state.textContent = "Waiting for the stream";
    setTimeout(wait, RETRY_MS);
  }
}

video.addEventListener("playing", () => (state.textContent = ""));
video.addEventListener("error", () => {
  state.textContent = "The stream was interrupted";
  setTimeout(wait, RETRY_MS);
});
wait();

// The outgoing picture: by WebRTC where the box and the browser can, else as Motion JPEG.

import { post } from "./api.js";
import { $, setText } from "./dom.js";

const FIRST_MS = 8000; // WebRTC has this long to show something
const AGAIN_MS = 1500;
const RENEW_MS = 9 * 60000; // the box ends both after ten minutes

let shown = null; // stream, and whether by WebRTC
let peer = null;
let failed = false; // WebRTC; until the next renewal
let timer = 0;

export function showPreview(status, stream) {
  const canRtc = status.webrtc && !failed && "RTCPeerConnection" in window;
  const wanted = status.preview && !document.hidden ? `${canRtc} ${stream}` : null;
  if (wanted === shown) return;
  stopPreview(status.preview ? "No picture yet" : "The preview is switched off");
  shown = wanted;
  if (wanted === null) return;
  if (canRtc) byRtc(stream);
  else byJpeg(stream);
}

export function stopPreview(text = "Paused") {
  clearTimeout(timer);
  peer?.close();
  peer = shown = null;
  $("film").srcObject = null;
  $("preview").removeAttribute("src");
  see(null, text);
}

function see(what, text = "") {
  $("film").hidden = what !== "film";
  $("preview").hidden = what !== "preview";
  $("no-preview").hidden = what !== null;
  setText($("no-preview"), text);
}

function byJpeg(stream) {
  $("preview").src = `/api/v1/streams/${encodeURIComponent(stream)}/preview.mjpeg?at=${Date.now()}`;
}

// No server is asked where this browser is: both are in one network.
async function byRtc(stream) {
  const mine = new RTCPeerConnection();
  peer = mine;
  const giveUp = () => {
    if (peer !== mine) return;
    failed = true;
    stopPreview("No picture yet"); // and by the next status as Motion JPEG
  };
  timer = setTimeout(giveUp, FIRST_MS);
  mine.ontrack = ({ track }) => ($("film").srcObject = new MediaStream([track]));
  mine.onconnectionstatechange = () => {
    if (peer !== mine) return;
    if (mine.connectionState === "failed") giveUp();
    if (mine.connectionState === "disconnected") stopPreview("No picture yet");
  };
  try {
    mine.addTransceiver("video", { direction: "recvonly" });
    await mine.setLocalDescription();
    const { sdp } = mine.localDescription;
    const answer = await post(`/api/v1/streams/${encodeURIComponent(stream)}/preview/offer`, { sdp });
    if (peer === mine) await mine.setRemoteDescription({ type: "answer", sdp: answer.sdp });
  } catch {
    giveUp();
  }
}

$("film").addEventListener("loadeddata", () => {
  clearTimeout(timer);
  see("film");
});
$("preview").addEventListener("load", () => shown && see("preview"));
$("preview").addEventListener("error", () => {
  if (!shown) return;
  see(null, "No picture yet");
  timer = setTimeout(() => (shown = null), AGAIN_MS);
});
addEventListener("pagehide", () => stopPreview());
setInterval(() => {
  failed = false;
  shown = null;
}, RENEW_MS);

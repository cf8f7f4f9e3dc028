// One frame is under way at a time: what the camera gives meanwhile is dropped, never queued.
const QUALITY = 0.8, WIDTH = 640, HEIGHT = 480;

function create(root, view) {
  const video = root.querySelector("video"), canvas = root.querySelector("canvas");
  const button = root.querySelector("button"), status = root.querySelector("span");
  const picture = canvas.getContext("2d");
  const grabbed = Object.assign(document.createElement("canvas"), { width: WIDTH, height: HEIGHT });
  let stream = null, delays = [], times = [];

  function draw(answer) {
    picture.drawImage(grabbed, 0, 0);
    Object.assign(picture, { lineWidth: 3, font: "16px sans-serif", textBaseline: "bottom" });
    for (const face of answer.faces) {
      const [x1, y1, x2, y2] = face.box, text = `${face.emotion} ${Math.round(100 * face.confidence)}%`;
      picture.strokeStyle = picture.fillStyle = view.current.data.colours[face.emotion];
      picture.strokeRect(x1, y1, x2 - x1, y2 - y1);
      const top = Math.max(y1, 24);
      picture.fillRect(x1 - 1.5, top - 24, picture.measureText(text).width + 14, 24);
      picture.fillStyle = "#141414";
      picture.fillText(text, x1 + 5, top - 4);
    }
  }

  function count(began) {
    const now = performance.now();
    delays.push(now - began); times.push(now);
    while (times[0] < now - 3000) { times.shift(); delays.shift(); }
    const sorted = [...delays].sort((one, other) => one - other);
    const at = (share) => Math.round(sorted[Math.floor(share * (sorted.length - 1))]);
    status.textContent = `${(times.length / 3).toFixed(1)} frames a second, delay ${at(0.5)} ms (95%: ${at(0.95)} ms)`;
  }

  async function post() {
    const began = performance.now();
    grabbed.getContext("2d").drawImage(video, 0, 0, WIDTH, HEIGHT);
    const body = await new Promise((done) => grabbed.toBlob(done, "image/jpeg", QUALITY));
    const reply = await fetch(view.current.data.to, { method: "POST", body });
    const answer = await reply.json();
    if (!reply.ok) throw new Error(answer.error ?? "The server did not answer.");
    if (!answer.dropped) { draw(answer); count(began); }
  }

  // Of one stream: after "Stop" a camera gives no frame, and the loop ends with the first one of the next stream.
  async function loop(mine) {
    while (stream === mine && root.isConnected) {
      await new Promise((ready) => video.requestVideoFrameCallback ? video.requestVideoFrameCallback(ready)
        : requestAnimationFrame(ready));
      if (stream !== mine) return;
      try { await post(); }
      catch (error) { if (stream === mine) { stop(); status.textContent = error.message; } return; }
    }
    if (stream === mine) stop();
  }

  function stop() {
    stream?.getTracks().forEach((track) => track.stop());
    stream = null; delays = []; times = [];
    button.textContent = "Start";
  }

  async function start() {
    status.textContent = "Waiting for the camera …";
    // A second press before the browser's question is answered would open a second stream, which nothing would end.
    button.disabled = true;
    try {
      const wanted = { video: { width: WIDTH, height: HEIGHT, frameRate: 30 }, audio: false };
      const mine = stream = await navigator.mediaDevices.getUserMedia(wanted);
      // The visitor may have left the page meanwhile.
      if (!root.isConnected) return stop();
      video.srcObject = mine;
      await video.play();
      button.textContent = "Stop";
      loop(mine);
    } catch (error) {
      stop();
      status.textContent = navigator.mediaDevices ? `The camera cannot be used: ${error.message}`
        : "Browsers open the camera over HTTPS, or on this machine, only.";
    } finally {
      button.disabled = false;
    }
  }

  button.onclick = () => { if (stream) { stop(); status.textContent = ""; } else start(); };
  return stop;
}

const views = new WeakMap();

export default function (component) {
  const root = component.parentElement.querySelector(".camera");
  let view = views.get(root);
  if (!view) {
    views.set(root, (view = { current: component }));
    view.end = create(root, view);
  }
  view.current = component;
  return view.end;
}

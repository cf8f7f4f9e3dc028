// The player: a video, or a clock of our own where there is no video that can be played; and the boxes on it.

const CHUNK_MS = 10000, KEPT = 12;

// If a browser does not say so long after it has the first picture when that is, it is taken for one at 0.
const UNSHOWN_MS = 1500;

function makePlayer(root, onMove, onState) {
  const video = root.querySelector('video'), notice = root.querySelector('.notice');
  const own = { ms: 0, since: null };
  let usesVideo = false, first = 0, length = 0, frame = 0;
  // Our times count from the first picture, the video's from its file's zero: sound may begin before the pictures.
  let begins = 0, isKnown = true, wanted = null, loads = 0;
  const settle = (load, ms) => {
    if (isKnown || load !== loads) return;
    begins = ms;
    isKnown = true;
    if (wanted != null) video.currentTime = (wanted + begins) / 1000;
    wanted = null;
  };
  const now = () => usesVideo ? wanted ?? Math.max(0, video.currentTime * 1000 - begins) : own.since == null ? own.ms : Math.min(length, own.ms + performance.now() - own.since);
  const playing = () => usesVideo ? !video.paused && !video.ended : own.since != null;
  const tick = () => {
    // The same moment for both: the clock goes on while `onMove` paints, and would stop before the end is shown.
    const ms = now();
    onMove(ms);
    if (!usesVideo && own.since != null && ms >= length) { own.ms = length; own.since = null; onState(false); }
    frame = playing() ? requestAnimationFrame(tick) : 0;
  };
  const wake = () => { onState(playing()); if (!frame) frame = requestAnimationFrame(tick); };
  const silent = reason => { usesVideo = false; video.hidden = true; video.removeAttribute('src'); notice.hidden = false; notice.textContent = reason; };
  for (const name of ['play', 'pause', 'ended', 'seeked', 'seeking', 'loadedmetadata']) video.addEventListener(name, wake);
  const giveUp = () => {
    if (!usesVideo) return;
    own.ms = first;
    silent('This browser cannot play the video. The chart and the boxes work without it.');
    wake();
  };
  video.addEventListener('error', giveUp);
  // The sound of a file is played even if its picture's codec is unknown.
  video.addEventListener('loadedmetadata', () => { if (!video.videoWidth) giveUp(); });
  return {
    now,
    // Between these the cursor moves; a timeline that grows gets new ones.
    bound(data) { first = data.first; length = data.length; },
    load({ source, reason, still }) {
      const image = root.querySelector('.still');
      usesVideo = Boolean(source) && !still;
      image.hidden = !(source && still);
      if (!source) return silent(reason);
      if (still) { image.src = source; video.hidden = true; return; }
      video.hidden = false;
      notice.hidden = true;
      const load = ++loads;
      begins = 0;
      wanted = null;
      isKnown = !video.requestVideoFrameCallback;
      video.src = source;
      if (isKnown) return;
      video.requestVideoFrameCallback((_, shown) => settle(load, shown.mediaTime * 1000));
      // A hidden tab shows nothing, so a jump that waits is not seen.
      video.addEventListener('loadeddata', () => setTimeout(() => document.hidden || settle(load, 0), UNSHOWN_MS), { once: true });
    },
    seek(ms) {
      const to = Math.min(length, Math.max(first, ms));
      if (usesVideo && !isKnown) wanted = to;
      else if (usesVideo) video.currentTime = (to + begins) / 1000;
      else { own.ms = to; own.since = own.since == null ? null : performance.now(); }
      wake();
      onMove(to);
    },
    toggle() {
      if (usesVideo) { if (playing()) video.pause(); else video.play().catch(() => {}); }
      else if (own.since == null) { own.ms = own.ms >= length ? first : own.ms; own.since = performance.now(); }
      else { own.ms = now(); own.since = null; }
      wake();
    },
    stop() { cancelAnimationFrame(frame); video.pause(); video.removeAttribute('src'); video.load(); },
  };
}

function makeBoxes(root, redraw) {
  const canvas = root.querySelector('.boxes'), stage = root.querySelector('.stage');
  let address = null, chunks = new Map();
  const fetched = (url, number, chunk = { frames: [] }) => {
    const turn = chunk.turn = (chunk.turn || 0) + 1;
    chunk.isOld = false;
    chunks.set(number, chunk);
    if (chunks.size > KEPT) chunks.delete(chunks.keys().next().value);
    fetch(`${url}?since=${number * CHUNK_MS}&until=${(number + 1) * CHUNK_MS}`)
      .then(reply => reply.ok ? reply.json() : chunk)
      // A later request may have been answered first.
      .then(found => { if (turn === chunk.turn) { chunk.frames = found.frames; redraw(); } })
      .catch(() => chunks.delete(number));
    return chunk;
  };
  const chunkAt = number => {
    const chunk = chunks.get(number);
    return chunk && !chunk.isOld ? chunk : fetched(address, number, chunk);
  };
  const at = (ms, pause) => {
    const frames = chunkAt(Math.floor(ms / CHUNK_MS)).frames;
    let low = 0, high = frames.length;
    while (low < high) { const middle = (low + high) >> 1; if (frames[middle][0] <= ms + 1) low = middle + 1; else high = middle; }
    const found = frames[low - 1];
    return found && ms - found[0] <= 1.5 * pause ? found[1] : [];
  };
  return {
    load(url) { address = url; chunks = new Map(); },
    // More was processed: what is known is drawn until the rest is there.
    refresh() { chunks.forEach(chunk => { chunk.isOld = true; }); },
    draw(tl) {
      const width = stage.clientWidth, height = stage.clientHeight, g = sized(canvas, width, height), data = tl.data;
      canvas.style.height = '100%';
      if (!address || !data.size) return;
      const zoom = Math.min(width / data.size[0], height / data.size[1]);
      g.translate((width - zoom * data.size[0]) / 2, (height - zoom * data.size[1]) / 2);
      g.font = `600 12px ${getComputedStyle(root).fontFamily}`;
      for (const [track, x1, y1, x2, y2, emotion, sure] of at(tl.cursor, data.pause)) {
        const colour = data.light[data.emotions.indexOf(emotion)];
        const word = `${track == null ? '' : `#${track} `}${emotion} ${Math.round(100 * sure)}%`;
        for (const [stroke, line] of [['rgba(0, 0, 0, .45)', 4], [colour, 2]]) {
          g.strokeStyle = stroke;
          g.lineWidth = line;
          g.strokeRect(x1 * zoom, y1 * zoom, (x2 - x1) * zoom, (y2 - y1) * zoom);
        }
        g.fillStyle = colour;
        const top = y1 * zoom > 18 ? y1 * zoom - 18 : y1 * zoom;
        g.fillRect(x1 * zoom - 1, top, g.measureText(word).width + 10, 18);
        g.fillStyle = emotion === 'sad' ? '#fff' : '#111';
        g.fillText(word, x1 * zoom + 4, top + 13);
      }
    },
  };
}

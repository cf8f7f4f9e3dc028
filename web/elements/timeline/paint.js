// Painting: the chart and ribbons on one canvas, the cursor and the brush on another above it.

const GUTTER = 44, MARKS = 16, CHART = 150, LANE = 18, SPACE = 4, AXIS = 22;
const TICKS_S = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400];

function clock(ms, exact = true, hasHours = false) {
  const whole = Math.max(0, Math.round(ms)), pad = (n, digits = 2) => String(n).padStart(digits, '0');
  const s = Math.floor(whole / 1000), hours = Math.floor(s / 3600), minutes = Math.floor(s / 60) % 60;
  const text = hours || hasHours ? `${hours}:${pad(minutes)}:${pad(s % 60)}` : `${minutes}:${pad(s % 60)}`;
  return exact ? `${text}.${pad(whole % 1000, 3)}` : text;
}

// A moment as the visitor reads it: of a stream the time of day, else counted from the beginning.
function moment(data, ms, exact = true) {
  return clock((data.origin ?? 0) + ms, exact, data.origin != null);
}

function layout(data) {
  const lanes = MARKS + CHART + 10, axis = lanes + data.lanes.length * (LANE + SPACE) + 2;
  return { chart: MARKS, lanes, axis, height: axis + AXIS };
}

function look(root) {
  const style = getComputedStyle(root), read = (name, other) => style.getPropertyValue(name).trim() || other;
  const ground = read('--st-background-color', '#ffffff'), text = read('--st-text-color', '#1b1b1b');
  const [r, g, b] = [1, 3, 5].map(n => parseInt(ground.slice(n, n + 2), 16));
  return { ground, text, accent: read('--st-primary-color', '#0072b2'), dark: 0.3 * r + 0.6 * g + 0.1 * b < 110 };
}

function sized(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1, w = Math.round(width * ratio), h = Math.round(height * ratio);
  if (canvas.width !== w || canvas.height !== h) { canvas.width = w; canvas.height = h; canvas.style.height = `${height}px`; }
  const g = canvas.getContext('2d');
  g.setTransform(ratio, 0, 0, ratio, 0, 0);
  g.clearRect(0, 0, width, height);
  return g;
}

function hatch(g, colour, crossed = false) {
  const tile = document.createElement('canvas'), t = tile.getContext('2d');
  tile.width = tile.height = 7;
  t.strokeStyle = colour;
  t.beginPath();
  t.moveTo(-1, 8); t.lineTo(8, -1);
  if (crossed) { t.moveTo(-1, -1); t.lineTo(8, 8); }
  t.stroke();
  return g.createPattern(tile, 'repeat');
}

function scale(data, width) {
  const room = Math.max(1, width - GUTTER), length = data.until - data.since;
  return {
    x: ms => GUTTER + (ms - data.since) / length * room,
    ms: x => Math.min(data.until, Math.max(data.since, data.since + (x - GUTTER) / room * length)),
    edge: step => Math.round(GUTTER + Math.min(1, step * data.step / length) * room),
  };
}

function paintBase(tl) {
  const { data, base, root } = tl, width = base.clientWidth;
  if (!width) return;
  const at = layout(data), to = scale(data, width), see = look(root), colours = see.dark ? data.dark : data.light;
  const g = sized(base, width, at.height);
  g.font = `11px ${getComputedStyle(root).fontFamily}`;
  paintGaps(g, data, at, to, see);
  data.steps.forEach((step, n) => paintStep(g, data, at, to, colours, step, n));
  g.fillStyle = hatch(g, see.ground);
  data.low.forEach(([first, steps]) => g.fillRect(to.edge(first), at.chart, to.edge(first + steps) - to.edge(first), CHART));
  data.lanes.forEach((lane, n) => paintLane(g, data, to, see, colours, lane, at.lanes + n * (LANE + SPACE)));
  paintLabels(g, data, at, see);
  paintAxis(g, data, at, to, see, width);
  paintMarks(g, data, at, to, see);
}

function paintStep(g, data, at, to, colours, step, n) {
  // A step alone without a frame is no gap.
  const last = data.steps[n + 1] === step + 2 ? 2 : 1, left = to.edge(step), width = Math.max(1, to.edge(step + last) - left);
  let bottom = at.chart + CHART;
  data.scores[n].forEach((share, emotion) => {
    const top = bottom - share / 1000 * CHART;
    g.fillStyle = colours[emotion];
    g.fillRect(left, top, width, bottom - top);
    bottom = top;
  });
}

function paintGaps(g, data, at, to, see) {
  const fill = (parts, crossed, alpha) => {
    g.save();
    g.globalAlpha = alpha;
    g.fillStyle = hatch(g, see.text, crossed);
    parts.forEach(([first, steps]) => g.fillRect(to.edge(first), at.chart, to.edge(first + steps) - to.edge(first), CHART));
    g.restore();
  };
  fill(data.faceless, false, 0.22);
  fill(data.skipped, true, 0.32);
  g.save();
  g.globalAlpha = 0.16;
  g.fillStyle = see.text;
  g.fillRect(GUTTER, at.chart + CHART, to.edge(Infinity) - GUTTER, 1);
  g.restore();
}

function paintLane(g, data, to, see, colours, lane, top) {
  g.save();
  g.globalAlpha = 0.12;
  g.fillStyle = see.text;
  g.fillRect(GUTTER, top + LANE / 2, to.edge(Infinity) - GUTTER, 1);
  g.restore();
  lane.runs.forEach(([first, steps, emotion, low]) => {
    const left = to.edge(first), width = Math.max(1, to.edge(first + steps) - left);
    g.fillStyle = colours[emotion];
    g.fillRect(left, top, width, LANE);
    if (low) { g.fillStyle = hatch(g, see.ground); g.fillRect(left, top, width, LANE); }
    const word = data.emotions[emotion];
    if (low || width < g.measureText(word).width + 10) return;
    g.fillStyle = word === 'sad' && !see.dark ? '#fff' : '#111';
    g.fillText(word, left + 5, top + LANE - 5);
  });
}

function paintLabels(g, data, at, see) {
  g.save();
  g.globalAlpha = 0.66;
  g.fillStyle = see.text;
  g.textAlign = 'right';
  [[1, '100%'], [0.5, '50%'], [0, '0%']].forEach(([share, word]) => g.fillText(word, GUTTER - 7, at.chart + (1 - share) * CHART + (share === 1 ? 9 : share ? 4 : 0)));
  data.lanes.forEach((lane, n) => g.fillText(`#${lane.id}`, GUTTER - 7, at.lanes + n * (LANE + SPACE) + LANE - 5));
  g.restore();
}

function paintAxis(g, data, at, to, see, width) {
  const most = Math.max(2, Math.floor((width - GUTTER) / 90)), length = data.until - data.since;
  const tick = 1000 * (TICKS_S.find(s => length / (1000 * s) <= most) || 86400);
  g.save();
  g.fillStyle = see.text;
  for (let ms = Math.ceil(data.since / tick) * tick; ms <= data.until; ms += tick) {
    const x = Math.round(to.x(ms)), word = tick < 1000 ? moment(data, ms).replace(/00$/, '') : moment(data, ms, false);
    g.globalAlpha = 0.1;
    g.fillRect(x, at.chart, 1, at.axis - at.chart);
    g.globalAlpha = 0.66;
    g.textAlign = x > width - 30 ? 'right' : x < GUTTER + 16 ? 'left' : 'center';
    g.fillText(word, x, at.axis + 15);
  }
  g.restore();
}

function paintMarks(g, data, at, to, see) {
  g.save();
  g.fillStyle = g.strokeStyle = see.accent;
  data.marks.forEach(mark => {
    if ((mark.until ?? mark.at) < data.since || mark.at > data.until) return;
    const left = Math.max(GUTTER, to.x(mark.at)), right = mark.until == null ? left : Math.max(left + 2, to.x(mark.until));
    g.globalAlpha = 0.25;
    g.fillRect(left, at.chart, Math.max(1, right - left), at.axis - at.chart);
    g.globalAlpha = 1;
    g.fillRect(left, 1, Math.max(2, right - left), 3);
    g.fillText(mark.label.length > 24 ? `${mark.label.slice(0, 23)}…` : mark.label, left + 6, MARKS - 4);
  });
  g.restore();
}

function paintOver(tl) {
  const { data, over, root } = tl, width = over.clientWidth;
  if (!width) return;
  const at = layout(data), to = scale(data, width), see = look(root), g = sized(over, width, at.height);
  if (tl.span) {
    const [left, right] = tl.span.map(ms => Math.max(GUTTER, Math.min(width, to.x(ms))));
    g.globalAlpha = 0.18;
    g.fillStyle = see.accent;
    g.fillRect(left, at.chart, right - left, at.axis - at.chart);
    g.globalAlpha = 1;
    g.fillRect(left, at.chart, 1, at.axis - at.chart);
    g.fillRect(right - 1, at.chart, 1, at.axis - at.chart);
  }
  if (tl.cursor >= data.since && tl.cursor <= data.until) {
    const x = to.x(tl.cursor);
    g.fillStyle = see.ground;
    g.fillRect(x - 2, at.chart - 4, 4, at.axis - at.chart + 4);
    g.fillStyle = see.text;
    g.fillRect(x - 1, at.chart - 4, 2, at.axis - at.chart + 4);
    g.beginPath();
    g.arc(x, at.chart - 5, 4, 0, 7);
    g.fill();
  }
}

// One cursor for the player, the chart and the boxes; Python gets a span, a part to zoom into, and markers.

function makeTimeline(root, send) {
  const find = name => root.querySelector(name), plot = find('.plot'), note = find('.note');
  const tl = { root, send, data: null, cursor: 0, span: null, shown: null, base: find('.base'), over: find('.over') };
  const draw = () => { paintOver(tl); tl.boxes.draw(tl); };
  const move = ms => {
    tl.cursor = ms;
    root.dataset.ms = Math.round(ms);
    find('.clock').textContent = moment(tl.data, ms) + (tl.data.origin != null ? ' UTC' : ` / ${clock(tl.data.length, false)}`);
    showNow(tl);
    draw();
  };
  tl.player = makePlayer(root, move, playing => { find('.play').textContent = playing ? 'Pause' : 'Play'; });
  tl.boxes = makeBoxes(root, draw);
  tl.repaint = () => { if (tl.data) { paintBase(tl); draw(); } };
  tl.seek = ms => tl.player.seek(ms);
  tl.select = span => {
    tl.span = span;
    tl.send.setStateValue('span', span && span.map(Math.round));
    showButtons(tl);
    draw();
  };
  find('.play').onclick = () => tl.player.toggle();
  find('.before').onclick = () => jump(tl, -1);
  find('.after').onclick = () => jump(tl, 1);
  find('.kind').onchange = () => showButtons(tl);
  find('.mark').onclick = () => openNote(tl);
  find('.cancel').onclick = () => { note.hidden = true; plot.focus(); };
  find('.zoom').onclick = () => tl.send.setStateValue('view', isZoomable(tl) ? tl.span.map(Math.round) : null);
  note.onsubmit = event => { event.preventDefault(); saveNote(tl); };
  root.addEventListener('keydown', event => onKey(tl, event));
  brush(tl, plot);
  const sizes = new ResizeObserver(tl.repaint);
  sizes.observe(plot);
  sizes.observe(find('.stage'));
  const scheme = matchMedia('(prefers-color-scheme: dark)');
  scheme.addEventListener('change', tl.repaint);
  tl.end = () => { sizes.disconnect(); scheme.removeEventListener('change', tl.repaint); tl.player.stop(); };
  return tl;
}

function update(tl, data) {
  const before = tl.data, stage = tl.root.querySelector('.stage');
  tl.data = data;
  tl.places = new Map(data.steps.map((step, n) => [step, n]));
  tl.shown = null;
  tl.player.bound(data);
  makeRows(tl);
  if (!before || before.medium !== data.medium) {
    const [width, height] = data.size || [16, 9];
    stage.style.aspectRatio = `${width} / ${height}`;
    tl.root.classList.toggle('picture', data.still);
    tl.player.load(data);
    tl.boxes.load(data.boxes);
    tl.seek(data.since);
  } else if (String(before.progress) !== String(data.progress)) tl.boxes.refresh();
  const plot = tl.root.querySelector('.plot');
  plot.setAttribute('aria-valuemin', data.first);
  plot.setAttribute('aria-valuemax', data.length);
  showButtons(tl);
  showNow(tl);
  tl.repaint();
}

function makeRows(tl) {
  const list = tl.root.querySelector('.now'), colours = look(tl.root).dark ? tl.data.dark : tl.data.light;
  const row = (name, n) => {
    const item = document.createElement('li'), parts = ['b', 'i', 's'].map(tag => document.createElement(tag));
    parts[0].textContent = name;
    parts[1].append(document.createElement('u'));
    parts[1].style.setProperty('--c', colours[n]);
    item.append(...parts);
    return item;
  };
  const state = document.createElement('li');
  state.className = 'state';
  list.replaceChildren(...tl.data.emotions.map(row), state);
}

function showNow(tl) {
  const { data } = tl, step = Math.floor((tl.cursor - data.since) / data.step), place = tl.places.get(step) ?? tl.places.get(step - 1);
  const plot = tl.root.querySelector('.plot');
  plot.setAttribute('aria-valuenow', Math.round(tl.cursor));
  if (tl.shown === step) return;
  tl.shown = step;
  const scores = place == null ? null : data.scores[place], list = tl.root.querySelector('.now');
  data.emotions.forEach((_, n) => {
    list.children[n].querySelector('u').style.width = scores ? `${scores[n] / 10}%` : '0';
    list.children[n].querySelector('s').textContent = scores ? `${Math.round(scores[n] / 10)}%` : '–';
  });
  const within = parts => parts.some(([first, steps]) => step >= first && step < first + steps);
  const words = scores ? data.words[place] : within(data.skipped) ? 'not processed' : 'no face';
  list.lastChild.textContent = words;
  const best = scores && data.emotions[scores.indexOf(Math.max(...scores))];
  plot.setAttribute('aria-valuetext', `${moment(data, tl.cursor, false)}, ${best ? `${best}, ${words}` : words}`);
}

function jump(tl, direction) {
  const moments = tl.data.jumps[tl.root.querySelector('.kind').value], here = tl.player.now();
  const found = direction > 0 ? moments.find(ms => ms > here + 1) : moments.findLast(ms => ms < here - 1);
  if (found != null) tl.seek(found);
}

function isZoomable(tl) {
  return tl.span != null && tl.span[1] - tl.span[0] < 0.95 * (tl.data.until - tl.data.since) && tl.span[1] - tl.span[0] > tl.data.pause;
}

function showButtons(tl) {
  const { data } = tl, zoom = tl.root.querySelector('.zoom'), none = !data.jumps[tl.root.querySelector('.kind').value].length;
  const whole = data.whole;
  zoom.textContent = whole || isZoomable(tl) ? 'Zoom in' : 'Zoom out';
  zoom.disabled = whole && !isZoomable(tl);
  for (const name of ['.before', '.after']) tl.root.querySelector(name).disabled = none;
  tl.root.querySelector('.mark').hidden = !data.markable;
}

function openNote(tl) {
  if (!tl.data.markable) return;
  const note = tl.root.querySelector('.note');
  tl.noted = tl.span || [tl.player.now(), null];
  note.querySelector('.where').textContent = tl.noted.filter(ms => ms != null).map(ms => moment(tl.data, ms)).join(' to ');
  note.hidden = false;
  note.querySelector('.label').focus();
}

function saveNote(tl) {
  const note = tl.root.querySelector('.note'), [at, until] = tl.noted;
  const value = name => note.querySelector(name).value.trim();
  if (!value('.label')) return;
  tl.send.setTriggerValue('mark', { at: Math.round(at), until: until == null ? null : Math.round(until), label: value('.label'), note: value('.text') });
  note.reset();
  note.hidden = true;
  tl.root.querySelector('.plot').focus();
}

// Sets one end of the span to the cursor; the other stays, or is the chart's where it would not lie beyond the cursor.
function setEnd(tl, isBegin) {
  const { since, until } = tl.data, here = Math.min(until, Math.max(since, tl.player.now())), [from, to] = tl.span || [since, until];
  const span = isBegin ? [here, to > here ? to : until] : [from < here ? from : since, here];
  if (span[0] < span[1]) tl.select(span);
}

function onKey(tl, event) {
  const inField = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName), isBracket = event.key === '[' || event.key === ']';
  if (event.key === 'Escape') { tl.root.querySelector('.note').hidden = true; if (tl.span) tl.select(null); return; }
  // Many keyboards have brackets behind AltGr, which counts as Ctrl and Alt.
  if (inField || event.metaKey || ((event.ctrlKey || event.altKey) && !isBracket)) return;
  const step = event.shiftKey ? 5000 : tl.data.frame, here = tl.player.now();
  const actions = {
    ' ': () => tl.player.toggle(), ArrowLeft: () => tl.seek(here - step), ArrowRight: () => tl.seek(here + step),
    Home: () => tl.seek(tl.data.first), End: () => tl.seek(tl.data.length), m: () => openNote(tl), n: () => jump(tl, 1), p: () => jump(tl, -1),
    '[': () => setEnd(tl, true), ']': () => setEnd(tl, false),
  };
  const action = actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!action || (event.key === ' ' && event.target.tagName === 'BUTTON')) return;
  event.preventDefault();
  event.stopPropagation();
  action();
}

function brush(tl, plot) {
  let from = null, isDrag = false;
  const place = event => event.clientX - plot.getBoundingClientRect().left, time = x => scale(tl.data, plot.clientWidth).ms(x);
  plot.onpointerdown = event => { if (event.button === 0) { from = place(event); isDrag = false; plot.setPointerCapture(event.pointerId); } };
  plot.onpointermove = event => {
    if (from == null) return;
    isDrag = isDrag || Math.abs(place(event) - from) > 4;
    if (isDrag) { tl.span = [time(from), time(place(event))].sort((a, b) => a - b); paintOver(tl); }
  };
  plot.onpointerup = event => {
    if (from == null) return;
    if (isDrag) tl.select(tl.span); else tl.seek(time(place(event)));
    from = null;
  };
  plot.onpointercancel = () => { from = null; };
}

const KEPT_TIMELINES = new WeakMap();

export default function ({ data, parentElement, setStateValue, setTriggerValue }) {
  const root = parentElement.querySelector('.tl');
  const tl = KEPT_TIMELINES.get(root) || makeTimeline(root, {});
  KEPT_TIMELINES.set(root, tl);
  tl.send = { setStateValue, setTriggerValue };
  update(tl, data);
  // It is called after each change of the data too, and before the element leaves the page.
  return () => setTimeout(() => { if (!root.isConnected) { tl.end(); KEPT_TIMELINES.delete(root); } });
}

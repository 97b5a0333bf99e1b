// Draws what /live sends: one look at the host at a time. Text is only ever set as text; nothing is sent back.
"use strict";

const KEPT = 240; // points of a time series
const LEAST = 60; // that a plot has room for
const WINDOW_SECONDS = 5; // that the drawn p99 is of
const HOPS = {
  venue_received: "venue → received",
  received_published: "received → published",
  published_read: "published → read",
  read_signal: "read → signal",
  signal_sent: "signal → order sent",
};
const series = { messages: [], ticks: [], p99: [] };
const statuses = []; // the runtime's last ones, for the p99 of a window
let last = null;

const element = (id) => document.getElementById(id);

function make(tag, text, ...classes) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  made.classList.add(...classes.filter(Boolean));
  return made;
}

// A figure that the exporter has too: its name there and its exact value stand beside what is shown.
function figure(name, labels, value, shown) {
  const cell = make("td", shown === undefined ? count(value) : shown);
  const inside = Object.entries(labels).map(([key, label]) => `${key}=${JSON.stringify(label)}`);
  cell.dataset.metric = `quietcore_${name}{${inside.sort().join(",")}}`;
  cell.dataset.value = String(value);
  return cell;
}

function count(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  return Math.abs(value) < 10 && !Number.isInteger(value) ? value.toFixed(1) : Math.round(value).toLocaleString("en");
}

function duration(ns) {
  if (ns === null || ns === undefined) return "–";
  for (const [unit, size] of [["ns", 1], ["µs", 1e3], ["ms", 1e6]]) {
    if (ns < 1000 * size) return `${unit === "ns" ? ns.toFixed(0) : (ns / size).toPrecision(3)} ${unit}`;
  }
  return `${(ns / 1e9).toFixed(1)} s`;
}

// A head that begins with "<" stands above text, and to the left as text does.
function table(id, heads, rows) {
  const head = make("tr");
  heads.forEach((title) => head.append(make("th", title.replace("<", ""), title.startsWith("<") ? "left" : "")));
  const body = make("tbody");
  rows.forEach((cells) => {
    const row = make("tr");
    cells.forEach((cell) => row.append(cell instanceof Node ? cell : make("td", cell)));
    body.append(row);
  });
  const top = make("thead");
  top.append(head);
  element(id).replaceChildren(top, body);
}

function chips(look) {
  const status = look.runtime;
  const shown = [];
  const chip = (text, kind) => shown.push(make("span", text, "chip", kind));
  if (status === null) chip("no runtime", "doubtful");
  else {
    chip(`runtime ${status.state}`, { alive: "good", silent: "bad" }[status.state] || "doubtful");
    chip(`${status.mode} ${status.symbol}`);
    chip(`position ${status.position}`);
    if (status.degraded) chip(`degraded: ${status.degraded}`, "doubtful");
  }
  if (look.kill_switch === null) chip("kill switch off", "faint");
  else chip(`killed: ${look.kill_switch}`, "bad");
  if (look.guard !== null) {
    chip(look.guard.armed ? "guard armed" : "guard not armed", look.guard.armed ? "good" : "doubtful");
    if (look.guard.fired) chip(`guard fired ${look.guard.fired}`, "bad");
  }
  if (look.audit === null) chip("no audit yet", "doubtful");
  else chip(look.audit.passed ? "audit passed" : "audit did not pass", look.audit.passed ? "good" : "bad");
  chip(new Date(look.time * 1000).toISOString().slice(11, 19) + " UTC", "faint");
  element("chips").replaceChildren(...shown);
}

function feeds(look) {
  const rows = Object.entries(look.feeds).map(([name, feed]) => {
    if (feed.error) {
      const cell = make("td", feed.error, "bad", "left");
      cell.colSpan = 7;
      return [name, cell];
    }
    const labels = { feed: name };
    const total = (field) => figure(`feed_${field}_total`, labels, feed.statistics[field]);
    return [
      name,
      make("td", feed.producer, feed.producer === "alive" ? "good" : "bad"),
      figure("ring_published_ticks_total", labels, feed.published),
      total("messages"),
      figure("books", { ...labels, state: "live" }, feed.books.LIVE, `${feed.books.LIVE} of ${feed.symbols}`),
      total("gaps"),
      total("resyncs"),
      total("reconnects"),
    ];
  });
  table("feeds", ["feed", "producer", "ticks", "messages", "live", "gaps", "resyncs", "reconnects"], rows);
}

function orders(status) {
  if (status === null) {
    table("orders", ["no runtime"], []);
    return;
  }
  const rows = [
    ["ticks lost", figure("runtime_ticks_dropped_total", {}, status.ticks.dropped)],
    ["signals", figure("runtime_signals_total", {}, status.signals)],
    ["orders open", figure("orders_open", {}, status.orders.open)],
  ];
  for (const event of ["sent", "acknowledged", "filled", "cancelled", "rejected", "uncertain", "withheld"]) {
    if (event in status.orders) rows.push([`orders ${event}`, figure("orders_total", { event }, status.orders[event])]);
  }
  rows.push(["fills", figure("fills_total", {}, status.fills)]);
  rows.push(["refused by risk", figure("risk_refused_total", {}, status.orders.refused_by_risk)]);
  for (const [reason, refused] of Object.entries(status.orders.refusals)) {
    rows.push([`… for ${reason}`, figure("risk_refusals_total", { reason }, refused)]);
  }
  table("orders", ["", "since the start"], rows);
}

function cores(look) {
  const rows = look.cores.map((core) => {
    const bar = document.createElement("meter");
    bar.max = 1;
    bar.value = core.busy ?? 0;
    const cell = make("td", "", "left");
    cell.append(bar, ` ${core.busy === null ? "–" : Math.round(core.busy * 100) + " %"}`);
    const ran = core.ran.filter((thread) => thread.share >= 0.005);
    const crowded = core.isolated && ran.length > 1;
    const who = ran.map((thread) => `${thread.name} ${Math.round(thread.share * 100)} %`).join(", ");
    const role = make("td", core.role || "no plan", "left");
    return [String(core.cpu), role, cell, make("td", who, "left", "many", crowded ? "bad" : "")];
  });
  table("cores", ["cpu", "<role", "<busy", "<who ran"], rows);
}

function books(look) {
  const rows = [];
  for (const [feed, state] of Object.entries(look.feeds)) {
    for (const [symbol, book] of Object.entries(state.book_list || {})) {
      const side = (level) => (level === null ? "–" : `${level[0]} × ${level[1]}`);
      rows.push([
        symbol,
        make("td", book.state, book.state === "LIVE" ? "" : "doubtful"),
        duration(book.age_ns),
        side(book.bid),
        side(book.ask),
        figure("book_messages_total", { feed, symbol }, book.messages),
      ]);
    }
  }
  table("books", ["book", "state", "age", "bid", "ask", "messages"], rows);
}

function audit(look) {
  const parts = [];
  if (look.audit === null) parts.push(make("p", "No audit has been made yet.", "doubtful"));
  else {
    const ago = duration(look.audit.age_seconds * 1e9);
    parts.push(make("p", `Audit ${ago} ago: ${look.audit.summary}`, look.audit.passed ? "good" : "bad"));
    const list = make("ul");
    look.audit.findings.forEach((one) => list.append(make("li", `${one.id}: ${one.verdict}: ${one.text}`)));
    if (look.audit.findings.length) parts.push(list);
  }
  if (look.runtime === null) parts.push(make("p", look.runtime_problem, "doubtful"));
  else {
    const list = make("ul");
    look.runtime.warnings.forEach((line) => list.append(make("li", line, "doubtful")));
    if (look.runtime.warnings.length) parts.push(list);
  }
  element("audit").replaceChildren(...parts);
}

// ---- drawing

function canvas(target) {
  const ratio = window.devicePixelRatio || 1;
  const width = target.clientWidth, height = target.clientHeight;
  target.width = Math.round(width * ratio);
  target.height = Math.round(height * ratio);
  const pen = target.getContext("2d");
  pen.scale(ratio, ratio);
  pen.font = "11px system-ui, sans-serif";
  return { pen, width, height };
}

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function curve(id, points, text) {
  const target = element(id);
  const { pen, width, height } = canvas(target);
  const known = points.filter((point) => point !== null);
  const top = Math.max(...known, 0) * 1.1 || 1;
  const left = 56, bottom = height - 6;
  pen.strokeStyle = colour("--line");
  pen.fillStyle = colour("--faint");
  pen.textAlign = "right";
  for (const share of [0, 0.5, 1]) {
    const y = bottom - share * (bottom - 10);
    pen.beginPath();
    pen.moveTo(left, y);
    pen.lineTo(width, y);
    pen.stroke();
    pen.fillText(text(top * share), left - 4, y + 4);
  }
  pen.strokeStyle = colour("--first");
  pen.lineWidth = 1.5;
  pen.beginPath();
  const room = Math.max(points.length, LEAST);
  let down = false;
  points.forEach((point, number) => {
    if (point === null) {
      down = false;
      return;
    }
    const x = left + ((room - points.length + number) / (room - 1)) * (width - left);
    const y = bottom - (point / top) * (bottom - 10);
    if (down) pen.lineTo(x, y);
    else pen.moveTo(x, y);
    down = true;
  });
  pen.stroke();
  target.setAttribute("role", "img");
  target.setAttribute("aria-label", `time series, now ${known.length ? text(known[known.length - 1]) : "nothing"}`);
}

// Bars between the exporter's own bounds, on a logarithmic scale of time.
function histogram(target, bounds, counts, all) {
  const { pen, width, height } = canvas(target);
  const bars = [...counts, all].map((value, number) => value - (number ? counts[number - 1] : 0));
  const top = Math.max(...bars, 1);
  const bottom = height - 16, step = width / bars.length;
  pen.fillStyle = colour("--first");
  bars.forEach((value, number) => {
    const tall = value ? Math.max(1.5, (value / top) * (bottom - 4)) : 0;
    pen.fillRect(number * step + 0.5, bottom - tall, Math.max(1, step - 1), tall);
  });
  pen.strokeStyle = colour("--line");
  pen.beginPath();
  pen.moveTo(0, bottom + 0.5);
  pen.lineTo(width, bottom + 0.5);
  pen.stroke();
  pen.fillStyle = colour("--faint");
  pen.textAlign = "center";
  bounds.forEach((bound, number) => {
    if ([1e3, 1e6, 1e9].includes(bound)) pen.fillText({ 1e3: "1 µs", 1e6: "1 ms", 1e9: "1 s" }[bound], (number + 1) * step, height - 3);
  });
}

function hops(look) {
  const status = look.runtime;
  const place = element("hops");
  if (!place.children.length) {
    for (const [name, title] of Object.entries(HOPS)) {
      const part = make("figure");
      const caption = make("figcaption", title + " ");
      const figures = make("b");
      figures.id = `hop-${name}`;
      caption.append(figures);
      const drawn = document.createElement("canvas");
      drawn.setAttribute("role", "img");
      part.append(caption, drawn);
      place.append(part);
    }
  }
  Object.keys(HOPS).forEach((name, number) => {
    const hop = status === null ? null : status.hops[name];
    const figures = element(`hop-${name}`);
    const drawn = place.children[number].querySelector("canvas");
    if (!hop || !hop.cumulative || hop.count === 0) {
      figures.textContent = hop && hop.not_comparable ? "clocks that cannot be compared" : "–";
      delete figures.dataset.metric;
      drawn.setAttribute("aria-label", "no latency");
      canvas(drawn);
      return;
    }
    figures.textContent = `p50 ${duration(hop.p50)}, p99 ${duration(hop.p99)}, max ${duration(hop.max)}`;
    figures.dataset.metric = `quietcore_hop_latency_seconds_count{hop="${name}"}`;
    figures.dataset.value = String(hop.count);
    drawn.setAttribute("aria-label", `histogram of ${hop.count} latencies, ${figures.textContent}`);
    histogram(drawn, look.bounds_ns, hop.cumulative.counts, hop.count);
  });
}

// The p99 of what lies between two statuses: the bound below which 99 % of it is, interpolated as Prometheus does.
function between(earlier, later, bounds) {
  const before = earlier.hops.published_read, now = later.hops.published_read;
  if (!before.cumulative || !now.cumulative) return null;
  const all = now.count - before.count;
  if (all <= 0) return null;
  let low = 0, below = 0;
  for (let number = 0; number < bounds.length; number += 1) {
    const counted = now.cumulative.counts[number] - before.cumulative.counts[number];
    if (counted >= 0.99 * all) return low + ((bounds[number] - low) * (0.99 * all - below)) / (counted - below);
    low = bounds[number];
    below = counted;
  }
  return low;
}

function follow(look) {
  const sum = (value) => Object.values(look.feeds).reduce((all, feed) => all + (feed.error ? 0 : value(feed)), 0);
  const rate = (value) => {
    if (last === null) return null;
    const seconds = look.time - last.time;
    const before = Object.values(last.feeds).reduce((all, feed) => all + (feed.error ? 0 : value(feed)), 0);
    const grown = sum(value) - before;
    return seconds > 0 && grown >= 0 ? grown / seconds : null;
  };
  const add = (name, value) => {
    series[name].push(value);
    if (series[name].length > KEPT) series[name].shift();
  };
  add("messages", rate((feed) => feed.statistics.messages));
  add("ticks", rate((feed) => feed.published));
  const status = look.runtime;
  if (status === null || (statuses.length && statuses[0].started !== status.started)) statuses.length = 0;
  if (status !== null) {
    if (!statuses.length || statuses[statuses.length - 1].written !== status.written) statuses.push(status);
    while (statuses.length > 2 && statuses[0].written < status.written - WINDOW_SECONDS) statuses.shift();
  }
  add("p99", statuses.length > 1 ? between(statuses[0], statuses[statuses.length - 1], look.bounds_ns) : null);
  last = look;
}

function draw() {
  if (last === null) return;
  curve("messages", series.messages, count);
  curve("ticks", series.ticks, count);
  curve("p99", series.p99, duration);
  const now = (name, text) => {
    const value = series[name][series[name].length - 1];
    element(`${name}-now`).textContent = value === null ? "" : text(value);
  };
  now("messages", count);
  now("ticks", count);
  now("p99", duration);
  hops(last);
}

function show(look) {
  follow(look);
  element("host").textContent = look.host;
  chips(look);
  feeds(look);
  orders(look.runtime);
  cores(look);
  books(look);
  audit(look);
  draw();
  document.body.dataset.looks = String(Number(document.body.dataset.looks || 0) + 1);
}

function connect() {
  const address = new URL("live", location.href);
  address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  const socket = new WebSocket(address);
  const lost = element("connection");
  socket.onmessage = (event) => {
    lost.hidden = true;
    show(JSON.parse(event.data));
  };
  socket.onclose = () => {
    lost.textContent = "Connection lost: what is shown is old. Trying again each second.";
    lost.hidden = false;
    setTimeout(connect, 1000);
  };
}

window.addEventListener("resize", draw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
connect();

/* The star of notebook 01 on two maps: trained with its record, and without.

   `mount` draws them, in JupyterLab (`render`, for anywidget) and on the website. It asks, with `ask([x, y])`, about one
   place at a time; who answers calls `answered` with {asked, at, with, without, map}. Until then the picture says that it
   waits. When an answer has come, the newest place is next; those passed over meanwhile are never asked about. `leave`, where
   there is somewhere to go, takes the keyboard away from the star. */

const LATE = 150; // milliseconds after which the old map is covered
const LOST = 5000; // after which waiting is explained
const SIZE = 600; // pixels of a map, which is shown smaller
const MOST = 65535; // a probability of 1; maps hold 16 bits for each point

const STYLE = `
.mia-star { max-width: 44rem; font-size: 0.9rem; line-height: 1.4; }
.mia-star * { box-sizing: border-box; }
.mia-star .maps { display: flex; flex-wrap: wrap; gap: 0.8rem 1.2rem; }
.mia-star figure { flex: 1 1 15rem; min-width: 0; max-width: 21rem; margin: 0; display: grid; grid-template-columns: auto 1fr; }
.mia-star figcaption { grid-column: 2; text-align: center; min-height: 2.8em; margin: 0; }
.mia-star .plane { position: relative; aspect-ratio: 1; border: 1px solid; }
.mia-star canvas { display: block; width: 100%; height: 100%; cursor: crosshair; background: #fff; }
.mia-star .late canvas { opacity: 0.35; }
.mia-star .across, .mia-star .up { position: relative; font-size: 0.8rem; line-height: 1.2; text-align: center; }
.mia-star .across { grid-column: 2; padding-top: 1.3em; }
.mia-star .up { writing-mode: vertical-rl; transform: rotate(180deg); padding-left: 1.3em; }
.mia-star .across span { position: absolute; top: 0; transform: translateX(-50%); }
.mia-star .up span { position: absolute; left: 0; transform: translateY(-50%); }
.mia-star .here { position: absolute; width: 44px; height: 44px; margin: -22px 0 0 -22px; pointer-events: none; }
.mia-star .here svg { display: block; width: 22px; height: 22px; margin: 11px; }
.mia-star .handle { pointer-events: auto; cursor: grab; touch-action: none; border-radius: 50%; outline: none; }
.mia-star .handle:focus { outline: 3px solid #000; outline-offset: -4px; box-shadow: inset 0 0 0 3px #fff; }
.mia-star .handle:active { cursor: grabbing; }
.mia-star p { margin: 0.5rem 0 0; }
.mia-star .says { min-height: 2.8em; }
.mia-star .legend { display: flex; flex-wrap: wrap; align-items: center; gap: 0.2rem 1.4rem; }
.mia-star .bar { display: inline-flex; border: 1px solid; margin: 0 0.4em; vertical-align: middle; }
.mia-star .bar i { width: 1em; height: 0.9em; }
.mia-star .legend svg { width: 0.9em; height: 0.9em; vertical-align: -0.05em; }
`;

const STAR = `<svg viewBox="-1.1 -1.1 2.2 2.2" aria-hidden="true"><path fill="#fff" stroke="#000" stroke-width="0.14" d="M${[
  ...Array(10).keys(),
].map((i) => { const r = i % 2 ? 0.4 : 1, a = (i * Math.PI) / 5; return `${r * Math.sin(a)} ${-r * Math.cos(a)}`; }).join("L")}Z"/></svg>`;
const CIRCLE = '<svg viewBox="-1 -1 2 2" aria-hidden="true"><circle r="0.9" fill="currentColor"/></svg>';
const TRIANGLE = '<svg viewBox="-1 -1 2 2" aria-hidden="true"><path d="M0-.9.9.9H-.9z" fill="currentColor"/></svg>';
const LINE = '<svg viewBox="-1 -1 2 2" aria-hidden="true"><path d="M-1 0H1" stroke="currentColor" stroke-width="0.3"/></svg>';

let mounted = 0; // makes ids unique on a page

export function mount(root, setting, ask, leave = null) {
  const { edge, limit, step, small } = setting;
  const id = `mia-star-${++mounted}-${Math.random().toString(36).slice(2)}`;
  root.classList.add("mia-star");
  root.innerHTML = `<style>${STYLE}</style><div class="maps"></div>
    <p class="says" role="status" aria-live="polite"></p>
    <p id="${id}" class="how">Drag the star, or click on a map. With the keyboard: the arrow keys${small < step ? "; with Shift, small steps" : ""}${leave ? "; Escape leaves the star" : ""}.</p>
    <p class="legend"><span>probability of “ill”: 0<span class="bar"></span>1</span> <span>${LINE} 0.5, the border</span>
    <span>${CIRCLE} healthy</span> <span>${TRIANGLE} ill</span> <span>${STAR} the star, ill</span></p>`;
  root.querySelector(".bar").innerHTML = setting.colours.map((c) => `<i style="background:${c}"></i>`).join("");
  const says = root.querySelector(".says");
  const [left, right] = ["star in training", "star not in training"].map((name) => figure(root.querySelector(".maps"), name, edge));
  const handle = left.here;
  handle.classList.add("handle");
  const named = { tabindex: "0", role: "application", "aria-roledescription": "slider in two dimensions" };
  Object.assign(named, { "aria-label": "the star", "aria-describedby": id, "data-lm-suppress-shortcuts": "true" });
  for (const [name, value] of Object.entries(named)) handle.setAttribute(name, value);

  let at = [0, 0]; // where the star stands
  let asked = null; // the place that is being asked about
  let timers = [];

  const snapped = (value) => Number(Math.max(-limit, Math.min(limit, Math.round((value + limit) / small) * small - limit)).toFixed(4));
  const place = ([x, y]) => `${signed(x)} and ${signed(y)}`;

  function put(where) {
    at = where;
    for (const { here } of [left, right]) {
      here.style.left = `${(50 * (at[0] + edge)) / edge}%`;
      here.style.top = `${(50 * (edge - at[1])) / edge}%`;
    }
  }

  function move(x, y) {
    const next = [snapped(x), snapped(y)];
    if (same(next, at)) return;
    put(next);
    if (asked === null) request();
  }

  function request() {
    asked = at;
    timers = [
      setTimeout(() => {
        left.plane.classList.add("late");
        for (const line of [left.told, right.told, says]) line.textContent = "drawing …";
        left.plane.setAttribute("aria-busy", "true");
      }, LATE),
      setTimeout(() => {
        says.textContent = "drawing … There is no answer yet: the kernel is busy with other cells, or it is gone.";
      }, LOST),
    ];
    ask([...at]);
  }

  function answered(answer) {
    if (asked !== null && !same(answer.asked, asked)) return; // another view's, or one that we have given up
    const newest = asked === null || same(at, asked);
    asked = null;
    timers.forEach(clearTimeout);
    left.plane.classList.remove("late");
    left.plane.removeAttribute("aria-busy");
    draw(left.canvas, answer.map, setting);
    left.told.textContent = `ill with probability ${answer.with.toFixed(2)}`;
    right.told.textContent = `ill with probability ${answer.without.toFixed(2)}`;
    if (!newest) return request(); // the star has moved on, and is followed
    put(answer.at);
    says.textContent =
      `The star stands at ${place(at)}. Trained with its record, the model says: ill with probability ` +
      `${answer.with.toFixed(2)}; without, ${answer.without.toFixed(2)}.`;
  }

  function pointed(event, plane, beside = { x: 0, y: 0 }) {
    const box = plane.getBoundingClientRect();
    const [x, y] = [(event.clientX - beside.x - box.left) / box.width, (event.clientY - beside.y - box.top) / box.height];
    move(edge * (2 * x - 1), edge * (1 - 2 * y));
  }

  for (const { plane, canvas } of [left, right]) {
    canvas.addEventListener("click", (event) => {
      pointed(event, plane);
      handle.focus({ preventScroll: true });
    });
  }
  let held = null; // the pointer that holds the star, and how far beside its middle
  handle.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    const box = handle.getBoundingClientRect();
    held = { id: event.pointerId, x: event.clientX - box.left - box.width / 2, y: event.clientY - box.top - box.height / 2 };
    handle.setPointerCapture(held.id);
  });
  handle.addEventListener("pointermove", (event) => {
    if (event.pointerId === held?.id) pointed(event, left.plane, held);
  });
  for (const end of ["pointerup", "pointercancel"]) handle.addEventListener(end, () => (held = null));
  handle.addEventListener("keydown", (event) => {
    // The star keeps its keys from JupyterLab, whose arrows lead to other cells; Escape gives them back.
    if (event.key === "Escape") return leave?.();
    const direction = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (!direction || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    const by = event.shiftKey ? small : step;
    move(at[0] + by * direction[0], at[1] + by * direction[1]);
  });

  draw(right.canvas, setting.without, setting);
  return { put, request, answered, close: () => timers.forEach(clearTimeout) };
}

const same = (a, b) => a[0] === b[0] && a[1] === b[1];
const signed = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`;

function figure(maps, name, edge) {
  const ticks = (side) =>
    [-2, 0, 2].map((t) => `<span style="${side}:${(50 * (t + edge)) / edge}%">${t < 0 ? "−2" : t}</span>`).join("");
  const box = document.createElement("figure");
  box.innerHTML = `<figcaption>${name}:<br><span class="told">drawing …</span></figcaption>
    <div class="up" aria-hidden="true">${ticks("top")}second measurement (s.d.)</div>
    <div class="plane"><canvas width="${SIZE}" height="${SIZE}" role="img" aria-label="map of the model, ${name}"></canvas>
    <div class="here">${STAR}</div></div>
    <div class="across" aria-hidden="true">${ticks("left")}first measurement (s.d.)</div>`;
  maps.append(box);
  const [plane, canvas, here, told] = [".plane", "canvas", ".here", ".told"].map((s) => box.querySelector(s));
  return { plane, canvas, here, told };
}

/* The map as matplotlib draws it: bands of one colour, the border in black, patients as circles and triangles. */
function draw(canvas, map, { colours, points, ill, edge }) {
  if (map instanceof DataView) map = new Uint16Array(map.buffer.slice(map.byteOffset, map.byteOffset + map.byteLength));
  const n = Math.sqrt(map.length), size = canvas.width, context = canvas.getContext("2d");
  const picture = context.createImageData(size, size), pixels = new Uint32Array(picture.data.buffer);
  const bands = new Uint32Array(Uint8Array.from(colours.flatMap((c) => [1, 3, 5].map((k) => parseInt(c.slice(k, k + 2), 16)).concat(255))).buffer);
  const nodes = Array.from({ length: size }, (_, i) => {
    const at = ((i + 0.5) / size) * (n - 1), low = Math.min(Math.floor(at), n - 2);
    return [low, at - low];
  });
  for (let i = 0; i < size; i++) {
    const [row, up] = nodes[size - 1 - i];
    for (let j = 0; j < size; j++) {
      const [column, right] = nodes[j], k = row * n + column;
      const below = map[k] * (1 - right) + map[k + 1] * right, above = map[k + n] * (1 - right) + map[k + n + 1] * right;
      const band = Math.min(colours.length - 1, Math.floor(((below * (1 - up) + above * up) / MOST) * colours.length));
      pixels[i * size + j] = bands[band];
    }
  }
  context.putImageData(picture, 0, 0);
  border(context, map, n, size);
  context.fillStyle = "rgba(0, 0, 0, 0.6)";
  points.forEach(([x, y], i) => {
    const px = ((x + edge) / (2 * edge)) * size, py = ((edge - y) / (2 * edge)) * size, r = size / 85;
    context.beginPath();
    if (ill[i]) [[0, -r], [r, r], [-r, r]].forEach(([dx, dy]) => context.lineTo(px + dx, py + dy));
    else context.arc(px, py, r, 0, 2 * Math.PI);
    context.fill();
  });
}

/* Where the answer passes the middle: a straight piece through each cell of the grid (two where it passes twice). */
function border(context, map, n, size) {
  const toPixel = size / (n - 1);
  context.beginPath();
  for (let row = 0; row < n - 1; row++) {
    for (let column = 0; column < n - 1; column++) {
      const corners = [[column, row], [column + 1, row], [column + 1, row + 1], [column, row + 1]];
      const values = corners.map(([x, y]) => map[y * n + x] - MOST / 2);
      const crossed = [];
      corners.forEach(([x, y], k) => {
        const next = (k + 1) % 4, share = values[k] / (values[k] - values[next]);
        if (values[k] < 0 === values[next] < 0) return;
        crossed.push([x + share * (corners[next][0] - x), y + share * (corners[next][1] - y)]);
      });
      for (let k = 0; k + 1 < crossed.length; k += 2) {
        context.moveTo(crossed[k][0] * toPixel, size - crossed[k][1] * toPixel);
        context.lineTo(crossed[k + 1][0] * toPixel, size - crossed[k + 1][1] * toPixel);
      }
    }
  }
  context.lineWidth = size / 250;
  context.strokeStyle = "#000";
  context.stroke();
}

export default {
  render({ model, el }) {
    const root = document.createElement("div");
    el.append(root);
    const ask = (place) => {
      model.set("asked", place);
      model.save_changes();
    };
    const view = mount(root, model.get("setting"), ask, () => el.closest(".jp-Cell")?.focus());
    const answered = () => view.answered(model.get("answer"));
    view.put(model.get("answer").at);
    answered();
    model.on("change:answer", answered);
    return () => {
      view.close();
      model.off("change:answer", answered);
    };
  },
};

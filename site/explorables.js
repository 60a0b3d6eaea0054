/* What can be moved on the website. Its data lie in the page; see explorables.py. */

const explore = {
  /* The star of notebook 01, on the places where a model was trained when the site was built; `mount` is of star.js. */
  async star() {
    const [root, data] = explore.parts("star");
    const { setting, places, most } = data;
    const bytes = await explore.inflated(data.maps);
    const n = bytes.length / 2 / (places.length + 1), half = bytes.length / 2;
    const maps = Array.from({ length: places.length + 1 }, (_, k) => {
      const map = new Int32Array(n);
      let value = 0;
      for (let i = 0; i < n; i++) {
        value += ((bytes[k * n + i] | (bytes[half + k * n + i] << 8)) << 16) >> 16; // two bytes with a sign
        map[i] = value;
      }
      return map;
    });
    const full = (map) => Uint16Array.from(map, (value) => Math.round((value / most) * 65535));
    setting.without = full(maps[0]);
    const answer = ([x, y]) => {
      const k = places.findIndex(({ at }) => at[0] === x && at[1] === y);
      return { ...places[k], asked: [x, y], map: full(maps[k + 1].map((value, i) => value + maps[0][i])) };
    };
    const view = mount(root, setting, (place) => view.answered(answer(place)));
    view.answered(answer(data.start));
    root.insertAdjacentHTML(
      "afterbegin",
      `<p>Here the star stands on one of ${places.length} places, at each of which a model was trained beforehand. In JupyterLab it
       stands anywhere, and the model is trained while you watch.</p>`,
    );
  },

  /* The threshold of notebook 04: histograms of confidence, and what a threshold at each of some stops says. */
  threshold() {
    const [root, { shares, stops, colours }] = explore.parts("threshold");
    const [members, ...others] = Object.keys(shares);
    root.classList.add("mia-drawing");
    root.innerHTML = `<div class="mia-slider"><div><label for="explore-stop">threshold</label> <output for="explore-stop"></output></div>
      <input type="range" id="explore-stop" min="0" max="${stops.length - 1}" step="1"></div>
      <div class="explore-panels"></div><p role="status" aria-live="polite"></p>`;
    const [range, readout, panels, says] = ["input", "output", ".explore-panels", "p"].map((s) => root.querySelector(s));
    panels.innerHTML = others.map((other) => explore.histograms(members, other, shares, colours)).join("");
    const per = (share) => `${(100 * share).toFixed(share > 0.995 || share < 0.005 ? 2 : 1)} %`;
    const show = () => {
      const { threshold, called } = stops[range.value];
      readout.textContent = threshold;
      range.setAttribute("aria-valuetext", threshold);
      others.forEach((other, i) => {
        const accuracy = (called[members] + 1 - called[other]) / 2;
        const [title, line] = ["figcaption", ".explore-line"].map((s) => panels.children[i].querySelector(s));
        title.textContent = `against ${other}: accuracy ${accuracy.toFixed(2)}`;
        line.setAttribute("transform", `translate(${explore.across(threshold)} 0)`);
      });
      const names = Object.entries(called).map(([name, share]) => `${per(share)} of the ${name}`);
      says.textContent = `A threshold of ${threshold} calls members: ${names.join(", ")}.`;
    };
    range.value = stops.findIndex(({ threshold }) => threshold === 0.9);
    range.addEventListener("input", show);
    show();
  },

  /* Two histograms as outlines over a logarithmic axis, and a line for the threshold; the second is dashed. */
  histograms(members, other, shares, colours) {
    const up = (share) => 200 - (185 * Math.log10(Math.max(share, 0.02) / 0.02)) / Math.log10(120 / 0.02);
    const outline = (values) =>
      values.map((share, i) => `V${up(share).toFixed(1)}H${explore.across((i + 1) / values.length).toFixed(1)}`).join("");
    const shapes = [members, other].map((name, i) => {
      const dash = i ? 'stroke-dasharray="6 3"' : "";
      const path = `M${explore.across(0)} 200${outline(shares[name])}V200`;
      return `<path d="${path}" fill="${colours[i]}" fill-opacity="0.25" stroke="${colours[i]}" stroke-width="1.8" ${dash}/>`;
    });
    const ticks = [0.1, 1, 10, 100].map((t) => `<path d="M45 ${up(t)}h-4" stroke="#000"/><text x="38" y="${up(t) + 4}" text-anchor="end">${t}</text>`);
    const bottom = [0, 0.2, 0.4, 0.6, 0.8, 1].map(
      (t) => `<path d="M${explore.across(t)} 200v4" stroke="#000"/><text x="${explore.across(t)}" y="217" text-anchor="middle">${t}</text>`,
    );
    const legend = [members, other].map(
      (name, i) => `<path d="M55 ${24 + 18 * i}h26" stroke="${colours[i]}" stroke-width="2" ${i ? 'stroke-dasharray="6 3"' : ""}/>
        <text x="87" y="${28 + 18 * i}">${name}</text>`,
    );
    return `<figure><figcaption></figcaption><svg viewBox="0 0 340 240" role="img" aria-label="histograms of the target's confidence:
      ${members} at the right-hand end, ${other} also in a tail to the left; shares in per cent on a logarithmic axis">
      <rect width="340" height="240" fill="#fff"/>${shapes.join("")}${ticks.join("")}${bottom.join("")}
      <path d="M45 15V200H330" fill="none" stroke="#000"/><g class="explore-line"><path d="M0 15V200" stroke="#000" stroke-width="3"/></g>
      <rect x="50" y="12" width="130" height="38" fill="#fff"/>${legend.join("")}
      <text x="187" y="235" text-anchor="middle">confidence (largest probability)</text>
      <text transform="translate(11 107) rotate(-90)" text-anchor="middle">share of the group (%)</text></svg></figure>`;
  },

  across: (confidence) => 45 + 285 * confidence,

  parts(name) {
    const [root, data] = [`explore-${name}`, `explore-${name}-data`].map((id) => document.getElementById(id));
    return [root, JSON.parse(data.textContent)];
  },

  async inflated(text) {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  },
};

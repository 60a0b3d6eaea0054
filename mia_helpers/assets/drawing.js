// What a function of the notebook draws, below a slider for each of its arguments.
//
// From the kernel: names, stops (the text of each place of each slider); with every drawing `shown` (the places that it is
// of), pictures (PNG), alts, said (printed), error. To the kernel: `asked` (places). A new question waits until the last one is
// answered, and then it is the newest, so the kernel never works off a queue. Without a kernel nothing claims to be drawn.

const same = (a, b) => a.length === b.length && a.every((value, i) => value === b[i]);

let made = 0; // numbers for ids, which must differ within a page

const element = (kind, attributes = {}, ...children) => {
  const made = document.createElement(kind);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
};

function render({ model, el }) {
  const number = (made += 1);
  const [names, stops] = [model.get("names"), model.get("stops")];
  let places = [...model.get("asked")];
  let asked = null; // the places that the kernel has been asked for, until it answers

  const controls = names.map((name, i) => {
    const id = `mia-slider-${number}-${i}`;
    const range = element("input", { type: "range", id, min: 0, max: stops[i].length - 1, step: 1 });
    const label = element("label", { for: id }, name);
    const readout = element("output", { for: id });
    return { range, readout, row: element("div", { class: "mia-slider" }, element("div", {}, label, readout), range) };
  });
  const figures = element("div", { class: "mia-figures" });
  const said = element("pre", { class: "mia-said" });
  const error = element("pre", { class: "mia-error", role: "alert" });
  el.classList.add("mia-drawing");
  el.replaceChildren(...controls.map(({ row }) => row), figures, said, error);

  const read = () => {
    const waiting = !same(places, model.get("shown"));
    controls.forEach(({ range, readout }, i) => {
      const stop = stops[i][places[i]];
      range.value = places[i];
      range.setAttribute("aria-valuetext", stop);
      readout.textContent = waiting ? `drawing ${stop} …` : stop;
    });
    figures.classList.toggle("mia-waiting", waiting);
  };

  const ask = () => {
    if (asked !== null || same(places, model.get("shown"))) return;
    asked = [...places];
    model.set("asked", asked);
    model.save_changes();
  };

  let urls = [];
  const picture = () => {
    const old = urls;
    const pictures = model.get("pictures");
    urls = pictures.map((png) => URL.createObjectURL(new Blob([png], { type: "image/png" })));
    figures.replaceChildren(...urls.map((src, i) => element("img", { src, alt: model.get("alts")[i] })));
    old.forEach((url) => URL.revokeObjectURL(url));
    said.textContent = model.get("said");
    error.textContent = model.get("error");
    said.hidden = !said.textContent;
    error.hidden = !error.textContent;
  };

  const answered = () => {
    picture();
    asked = null;
    read();
    ask();
  };

  controls.forEach(({ range }, i) => {
    range.addEventListener("input", () => {
      places[i] = Number(range.value);
      read();
      ask();
    });
    range.addEventListener("keydown", (event) => {
      // These are the slider's: JupyterLab would go to another cell.
      if (/^(Arrow|Page|Home|End)/.test(event.key)) event.stopPropagation();
    });
  });
  const moved = () => {
    if (asked === null) { // in another view of the same slider
      places = [...model.get("asked")];
      read();
    }
  };
  model.on("change:drawn", answered);
  model.on("change:asked", moved);
  picture();
  read();
  return () => {
    model.off("change:drawn", answered);
    model.off("change:asked", moved);
    urls.forEach((url) => URL.revokeObjectURL(url));
  };
}

export default { render };

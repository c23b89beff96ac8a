"use strict";
(() => {
  const NAMES = { before: "Before", after: "After", removed: "Removed", reference: "Reference",
    error: "Error", uncertainty: "Uncertainty" };
  const TOLD = {
    before: "as it came", after: "denoised", removed: "before minus after: it should look like noise alone",
    reference: "what it is measured against", error: "after minus reference",
    uncertainty: "standard deviation of each pixel" };
  const HEAT = [[0, 0, 4], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]];
  const STEP = 2, LEAP = 10, BLINK_MS = 500, THUMB = 256, EAGER = 6;

  // --- pixels ---

  async function unpack(text, width, height, smooth) {
    const raw = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    const stream = new Blob([raw]).stream().pipeThrough(new DecompressionStream("deflate"));
    const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
    const count = width * height, values = new Int16Array(count);
    for (let i = 0; i < count; i++) {
      const folded = (bytes[i] << 8) | bytes[count + i];
      let value = (folded >>> 1) ^ -(folded & 1);
      if (smooth && i > 0) {
        const left = i % width ? values[i - 1] : values[i - width];
        const up = i >= width ? values[i - width] : left;
        value += (left + up) >> 1;
      }
      values[i] = value;
    }
    return values;
  }

  class Picture {
    constructor(entry, data) {
      Object.assign(this, { entry, data, w: entry.w, h: entry.h });
      this.layers = ["before", "after"].filter((name) => name in entry);
      if ("before" in entry && !data.coarser) this.layers.push("removed");
      this.layers.push(...rivals(entry));
      if ("reference" in entry) this.layers.push("reference", "error");
      if ("uncertainty" in entry) this.layers.push("uncertainty");
    }

    ready() {
      this.loading ??= (async () => {
        this.parts = {};
        for (const name of ["after", "before", "reference", "uncertainty", ...rivals(this.entry)]) {
          if (!(name in this.entry)) continue;
          const smooth = name === "after" || name === "uncertainty";
          this.parts[name] = await unpack(this.entry[name], this.w, this.h, smooth);
          delete this.entry[name];
        }
      })();
      return this.loading;
    }

    value(layer, i) {
      const { step, offset } = this.data, parts = this.parts;
      if (layer === "after") return offset + step * parts.after[i];
      if (layer === "removed") return step * parts.before[i];
      if (layer === "error") return -step * parts.reference[i];
      if (layer === "uncertainty") return step * parts.uncertainty[i];
      return offset + step * (parts.after[i] + parts[layer][i]);
    }

    paint(layer, window) {
      const image = new ImageData(this.w, this.h), out = image.data;
      const [low, high] = limits(this.data, layer, window);
      const scale = 255 / (high - low), heat = layer === "uncertainty", flip = flipped(this.data, layer);
      for (let i = 0, o = 0; i < this.w * this.h; i++, o += 4) {
        let grey = (this.value(layer, i) - low) * scale;
        grey = grey < 0 ? 0 : grey > 255 ? 255 : grey;
        if (flip) grey = 255 - grey;
        if (heat) {
          const place = grey / 255 * (HEAT.length - 1), k = Math.min(place | 0, HEAT.length - 2);
          for (let c = 0; c < 3; c++) out[o + c] = HEAT[k][c] + (place - k) * (HEAT[k + 1][c] - HEAT[k][c]);
        } else {
          out[o] = out[o + 1] = out[o + 2] = grey;
        }
        out[o + 3] = 255;
      }
      return image;
    }
  }

  // layers of other results of the same image
  function rivals(entry) {
    return Object.keys(entry).filter((name) => name.startsWith("rival"));
  }

  function limits(data, layer, window) {
    if (layer === "removed" || layer === "error") return [-data.scale, data.scale];
    if (layer === "uncertainty") return [0, data.spread];
    return window.slice(1);
  }

  function flipped(data, layer) {
    return data.inverted && !["removed", "error", "uncertainty"].includes(layer);
  }

  // --- small parts ---

  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (value !== false) element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...children);
    return element;
  }

  function shown(value, data) {
    const digits = Math.max(0, Math.min(6, Math.ceil(-Math.log10(data.step * 4))));
    return value.toFixed(digits).replace("-", "−");
  }

  function short(value) {
    return String(Number(value.toPrecision(3))).replace("-", "−");
  }

  function range([low, high], data) {
    const ends = [low, high].map((end) => String(Number(end.toPrecision(4))).replace("-", "−"));
    return ends.join(" to ") + (data.unit ? ` ${data.unit}` : "");
  }

  // --- the viewer ---

  class Viewer {
    constructor(host, data) {
      this.data = data;
      this.names = { ...NAMES, ...data.names };
      this.pictures = data.pictures.map((entry) => new Picture(entry, data));
      this.listed = this.pictures.filter((picture) => !picture.entry.clip);
      this.layers = this.pictures[0].layers;
      this.left = this.layers.includes("before") ? "before" : this.layers.at(-1);
      this.right = "after";
      this.window = 0;
      this.place = 50;
      this.single = null;
      this.timer = null;
      this.playing = null;
      this.build(host);
      this.choose(0);
    }

    build(host) {
      const choice = (side) => make("select", { "aria-label": side === "left" ? "Left picture" : "Right picture",
        onchange: (event) => { this[side] = event.target.value; this.draw(); } },
      ...this.layers.map((name) => make("option", { value: name, ...(this[side] === name && { selected: true }) },
        this.names[name])));
      this.windows = this.data.windows.map(([name], k) => make("button", { type: "button",
        title: `Key ${k + 1}`, onclick: () => this.setWindow(k) }, name));
      this.flicker = make("button", { type: "button", class: "flicker", "aria-pressed": "false", title: "Key F",
        onclick: () => this.blink() }, "Flicker");
      this.canvas = make("canvas", { role: "img" });
      this.handle = make("div", { class: "handle", role: "slider", tabindex: "0", "aria-valuemin": "0",
        "aria-valuemax": "100", "aria-label": "Swipe" }, make("span"));
      this.tags = [make("span", { class: "tag left" }), make("span", { class: "tag right" })];
      this.boxes = make("div", { class: "boxes" });
      this.scales = [make("span", { class: "scale left" }), make("span", { class: "scale right" })];
      this.stage = make("div", { class: "stage" }, this.canvas, this.boxes, ...this.tags, ...this.scales, this.handle);
      this.told = make("p", { class: "told" });
      this.read = make("p", { class: "read" });
      this.rows = this.listed.map((picture, k) => this.row(picture, k));
      const tools = make("div", { class: "tools" },
        make("span", { class: "pair" }, choice("left"), make("span", { "aria-hidden": "true" }, "|"),
          choice("right"), this.flicker),
        make("span", { class: "windows", role: "group", "aria-label": "Window" }, ...this.windows));
      const keys = make("p", { class: "keys" });
      for (const [key, what] of [["← →", "swipe"], ["Space", "switch"], ["F", "flicker"],
        [`1–${this.windows.length}`, "window"], ["PgUp PgDn", "picture"], ...(this.data.clip ? [["P", "play"]] : [])]) {
        keys.append(make("span", {}, make("kbd", {}, key), ` ${what}`));
      }
      this.root = make("div", { class: "frame" }, tools, this.stage, ...this.player(), this.read, this.told, keys);
      host.append(this.root, make("div", { class: "strip" }, ...this.rows.map((row) => row.button)));
      this.root.addEventListener("keydown", (event) => this.key(event));
      this.stage.addEventListener("pointerdown", (event) => this.grab(event));
      this.stage.addEventListener("pointermove", (event) => this.point(event));
      this.stage.addEventListener("pointerleave", () => this.rest());
    }

    // the bar under the picture that plays a cine; nothing for all else
    player() {
      const { clip } = this.data;
      if (!clip) return [];
      this.button = make("button", { type: "button", "aria-pressed": "false", title: "Key P",
        onclick: () => this.play() }, "Play");
      this.slider = make("input", { type: "range", min: 1, max: clip.count, value: 1, "aria-label": "Frame",
        oninput: () => { this.pause(); this.choose(this.listed.length + Number(this.slider.value) - 1); } });
      const some = clip.count < clip.frames ? ` (first ${clip.count} of ${clip.frames})` : "";
      this.counter = make("span", { class: "counter" }, `${Math.round(1000 / clip.ms)} frames/s${some}`);
      return [make("div", { class: "player" }, this.button, this.slider, this.counter)];
    }

    play() {
      if (this.playing !== null) {
        this.pause();
        return;
      }
      const { count, ms } = this.data.clip, first = this.listed.length;
      const turn = {};
      this.playing = turn;
      this.button.textContent = "Pause";
      this.button.setAttribute("aria-pressed", "true");
      const next = async () => {
        if (this.playing !== turn) return;
        const due = performance.now() + ms;
        await this.choose(first + (this.pictures[this.current].entry.index + 1 || 0) % count);
        setTimeout(next, Math.max(0, due - performance.now()));
      };
      next();
    }

    pause() {
      if (this.playing === null) return;
      this.playing = null;
      this.button.textContent = "Play";
      this.button.setAttribute("aria-pressed", "false");
    }

    row(picture, k) {
      const { label, why, region } = picture.entry;
      const number = this.pictures.slice(0, k + 1).filter((p) => p.entry.region).length;
      const name = region ? `Region ${number}` : label;
      const reason = region ? `${label.toLowerCase()}: ${why}` : why;
      picture.name = reason ? `${name}: ${reason}` : name;
      const thumbs = picture.layers.map((layer) => ({ layer, canvas: make("canvas") }));
      const cells = thumbs.map(({ layer, canvas }) => make("span", { class: "thumb" }, canvas,
        make("small", {}, this.names[layer], ...this.ends(layer))));
      const text = make("span", { class: "name" }, make("b", {}, name), ...(reason ? [` ${reason}`] : []));
      const button = make("button", { type: "button", class: `row n${cells.length}`, "aria-pressed": "false",
        onclick: () => { if (this.playing !== null) this.pause(); this.choose(k); } }, text, make("span", { class: "thumbs" }, ...cells));
      return { button, thumbs, picture, painted: -1 };
    }

    // of differences: the values shown black and white
    ends(layer) {
      if (!["removed", "error"].includes(layer)) return [];
      const unit = this.data.unit ? ` ${this.data.unit}` : "";
      return [" ", make("i", {}, `±${short(this.data.scale)}${unit}`)];
    }

    async choose(k) {
      this.current = k;
      this.rows.forEach(({ button }, n) => button.setAttribute("aria-pressed", String(n === k)));
      const picture = this.pictures[k];
      await picture.ready();
      if (this.current !== k) return;
      this.canvas.width = picture.w;
      this.canvas.height = picture.h;
      this.stage.style.setProperty("--ratio", String(picture.w * this.data.ratio / picture.h));
      this.stage.classList.toggle("fine", Boolean(picture.entry.region));
      if (picture.entry.clip) picture.name = picture.entry.label;
      if (this.slider && "index" in picture.entry) this.slider.value = picture.entry.index + 1;
      this.frame(picture, k);
      this.draw();
    }

    frame(picture, k) {
      this.boxes.replaceChildren(...(picture.entry.boxes ?? []).map(([x, y, side], n) => {
        const f = picture.entry.factor, box = make("button", { type: "button", tabindex: "-1",
          "aria-label": `Show region ${n + 1} of this picture`, onclick: () => this.choose(k + 1 + n) });
        box.style.left = `${100 * x / f / picture.w}%`;
        box.style.top = `${100 * y / f / picture.h}%`;
        box.style.width = `${100 * side / f / picture.w}%`;
        box.style.height = `${100 * side / f / picture.h}%`;
        return box;
      }));
    }

    setWindow(k) {
      if (k >= this.windows.length) return;
      this.window = k;
      this.draw();
      this.thumbs();
    }

    draw() {
      const picture = this.pictures[this.current], window = this.data.windows[this.window];
      if (!picture.parts) return;
      this.images = [this.left, this.right].map((layer) => picture.paint(layer, window));
      this.windows.forEach((button, n) => button.setAttribute("aria-pressed", String(n === this.window)));
      const layers = [...new Set([this.left, this.right])];
      this.legend = `${picture.name}. ` + layers.filter((layer) => layer in TOLD && layer !== "before" && layer !== "after")
        .map((layer) => `${this.names[layer]}: ${TOLD[layer]}, shown ${range(limits(this.data, layer), this.data)}. `)
        .join("") + `Window ${range(window.slice(1), this.data)}.`;
      this.told.textContent = this.legend;
      [this.left, this.right].forEach((layer, n) => this.scale(this.scales[n], layer, window));
      this.show();
    }

    scale(host, layer, window) {
      const { data } = this, [low, high] = limits(data, layer, window);
      const colours = layer === "uncertainty" ? HEAT.map((rgb) => `rgb(${rgb})`) : ["#000", "#fff"];
      if (flipped(data, layer)) colours.reverse();
      const bar = make("i");
      bar.style.background = `linear-gradient(to right, ${colours.join(", ")})`;
      host.replaceChildren(short(low), bar, short(high) + (data.unit ? ` ${data.unit}` : ""));
    }

    show() {
      if (!this.images) return;
      const { width, height } = this.canvas, context = this.canvas.getContext("2d");
      const cut = this.single === null ? Math.round(width * this.place / 100) : this.single ? 0 : width;
      const [left, right] = this.images;
      if (cut > 0) context.putImageData(left, 0, 0, 0, 0, cut, height);
      if (cut < width) context.putImageData(right, 0, 0, cut, 0, width - cut, height);
      this.stage.style.setProperty("--place", `${this.place}%`);
      this.stage.classList.toggle("single", this.single !== null);
      const sides = [this.names[this.left], this.names[this.right]];
      this.tags.forEach((tag, n) => {
        tag.textContent = sides[n];
        tag.hidden = this.single !== null && Number(this.single) !== n;
        this.scales[n].hidden = tag.hidden;
      });
      this.handle.setAttribute("aria-valuenow", String(this.place));
      this.handle.setAttribute("aria-valuetext", this.single === null
        ? `${sides[0]} ${this.place} percent, ${sides[1]} the rest` : sides[Number(this.single)]);
      this.canvas.setAttribute("aria-label", this.single === null ? `${sides[0]} and ${sides[1]}`
        : sides[Number(this.single)]);
    }

    swipe(place) {
      this.stop();
      this.single = null;
      this.place = Math.round(Math.min(100, Math.max(0, place)));
      this.show();
    }

    // the other picture, in the same place
    toggle() {
      this.single = this.single === null ? false : !this.single;
      this.show();
    }

    blink() {
      const running = this.timer !== null;
      this.stop();
      if (running) {
        this.single = null;
        this.show();
        return;
      }
      this.toggle();
      if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
      this.timer = setInterval(() => this.toggle(), BLINK_MS);
      this.flicker.setAttribute("aria-pressed", "true");
    }

    stop() {
      clearInterval(this.timer);
      this.timer = null;
      this.flicker.setAttribute("aria-pressed", "false");
    }

    key(event) {
      if (event.ctrlKey || event.metaKey || event.altKey || event.target.tagName === "SELECT") return;
      const by = event.shiftKey ? LEAP : STEP, digit = Number(event.key);
      const on = event.target === this.handle;
      if (on && ["ArrowLeft", "ArrowDown"].includes(event.key)) this.swipe(this.place - by);
      else if (on && ["ArrowRight", "ArrowUp"].includes(event.key)) this.swipe(this.place + by);
      else if (on && event.key === "Home") this.swipe(0);
      else if (on && event.key === "End") this.swipe(100);
      else if (on && event.key === " ") { this.stop(); this.toggle(); }
      else if (event.key.toLowerCase() === "f") this.blink();
      else if (digit >= 1 && digit <= this.windows.length) this.setWindow(digit - 1);
      else if (event.key.toLowerCase() === "p" && this.data.clip) this.play();
      else if (event.key === "PageDown") this.turn(1);
      else if (event.key === "PageUp") this.turn(-1);
      else return;
      event.preventDefault();
    }

    // the next picture of the list, or the next frame of the cine
    turn(by) {
      const listed = this.listed.length, clip = this.current >= listed;
      const first = clip ? listed : 0, count = clip ? this.pictures.length - listed : listed;
      this.pause();
      this.choose(first + (this.current - first + by + count) % count);
    }

    grab(event) {
      if (event.button !== 0 || event.target.parentElement === this.boxes) return;
      this.held = true;
      this.stage.setPointerCapture(event.pointerId);
      this.handle.focus({ preventScroll: true });
      const release = () => { this.held = false; };
      this.stage.addEventListener("pointerup", release, { once: true });
      this.stage.addEventListener("pointercancel", release, { once: true });
      this.point(event);
      event.preventDefault();
    }

    point(event) {
      const box = this.canvas.getBoundingClientRect(), picture = this.pictures[this.current];
      const x = (event.clientX - box.left) / box.width, y = (event.clientY - box.top) / box.height;
      if (this.held) this.swipe(100 * x);
      if (!picture.parts || x < 0 || y < 0 || x >= 1 || y >= 1) return;
      const column = Math.floor(x * picture.w), line = Math.floor(y * picture.h);
      this.read.textContent = `x ${column}, y ${line}: ` + picture.layers
        .map((layer) => `${this.names[layer].toLowerCase()} ${shown(picture.value(layer, line * picture.w + column),
          this.data)}`).join(", ") + (this.data.unit ? ` ${this.data.unit}` : "");
      this.root.classList.add("reading");
    }

    rest() {
      this.root.classList.remove("reading");
    }

    async thumbs() {
      for (const row of this.rows) {
        await row.picture.ready();
        const wanted = this.window;
        if (row.painted === wanted) continue;
        row.painted = wanted;
        for (const { layer, canvas } of row.thumbs) this.thumb(row.picture, layer, canvas);
        await new Promise((done) => setTimeout(done));
      }
    }

    // every n-th pixel: a mean would take the noise away
    thumb(picture, layer, canvas) {
      const image = picture.paint(layer, this.data.windows[this.window]);
      const skip = Math.max(1, Math.ceil(picture.w / THUMB));
      const w = Math.floor(picture.w / skip) || 1, h = Math.floor(picture.h / skip) || 1;
      const small = new ImageData(w, h), from = new Uint32Array(image.data.buffer);
      const to = new Uint32Array(small.data.buffer);
      for (let y = 0; y < h; y++) for (let x = 0; x < w; x++) to[y * w + x] = from[y * skip * picture.w + x * skip];
      canvas.width = w;
      canvas.height = h;
      canvas.style.aspectRatio = String(w * this.data.ratio / h);
      canvas.getContext("2d").putImageData(small, 0, 0);
    }
  }

  // --- all of them, the first at once, the others when they come near ---

  const hosts = [...document.querySelectorAll(".viewer")];
  const open = (host) => {
    const store = host.querySelector("script");
    const viewer = new Viewer(host, JSON.parse(store.textContent));
    store.remove();
    return viewer.thumbs();
  };
  const near = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      near.unobserve(target);
      open(target);
    }
  }, { rootMargin: "1200px" });
  // a link to a folded series opens it
  const unfold = () => {
    const fold = location.hash.length > 1 && document.getElementById(location.hash.slice(1))?.querySelector(".fold");
    if (fold) fold.open = true;
  };
  addEventListener("hashchange", unfold);
  addEventListener("click", (event) => { if (event.target.closest?.("a[href^='#']")) setTimeout(unfold); });
  unfold();
  addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll("details")) details.open = true;
  });
  if (typeof DecompressionStream === "undefined") {
    for (const host of hosts) host.append(make("p", { class: "note" }, "This browser is too old for the pictures."));
  } else {
    hosts.slice(0, EAGER).reduce((before, host) => before.then(() => open(host)), Promise.resolve());
    hosts.slice(EAGER).forEach((host) => near.observe(host));
  }
})();

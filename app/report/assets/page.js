{
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name);
  const KINDS = { ours: '--accent', other: '--other', published: '--published' };
  const paint = (trace) => {
    const ink = colour(KINDS[trace.meta]);
    return { ...trace, line: { ...trace.line, color: ink }, marker: { ...trace.marker, color: ink }, fillcolor: ink };
  };
  const draw = () => {
    const axis = { gridcolor: colour('--line'), zerolinecolor: colour('--faint'), automargin: true, title: { standoff: 8, font: { size: 12 } }, zeroline: false };
    const template = { layout: {
      paper_bgcolor: 'transparent', plot_bgcolor: 'transparent', margin: { l: 8, r: 12, t: 8, b: 8 }, xaxis: axis, yaxis: axis,
      font: { family: 'system-ui, sans-serif', size: 12, color: colour('--faint') },
      hoverlabel: { bgcolor: colour('--paper'), bordercolor: colour('--line'), font: { color: colour('--ink') } },
    } };
    for (const place of document.querySelectorAll('.drawing')) {
      const { data, layout } = JSON.parse(place.previousElementSibling.textContent);
      Plotly.react(place, data.map(paint), { ...layout, template }, { responsive: true, displayModeBar: false });
    }
  };
  if (window.Plotly) {
    draw();
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);
  }
}
{
  const scenes = document.getElementById('scenes');
  // white, amber, red, dark violet: nothing where the pictures agree
  const STOPS = [[255, 255, 255], [253, 224, 158], [244, 148, 68], [205, 50, 76], [96, 26, 96], [24, 10, 46]];
  const colour = (share) => {
    const place = Math.min(Math.max(share, 0), 1) * (STOPS.length - 1);
    const first = Math.min(Math.floor(place), STOPS.length - 2);
    return STOPS[first].map((low, k) => low + (place - first) * (STOPS[first + 1][k] - low));
  };
  const pixels = (image) => {
    const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight);
    const context = canvas.getContext('2d', { willReadFrequently: true });
    context.drawImage(image, 0, 0);
    return context.getImageData(0, 0, canvas.width, canvas.height);
  };
  const drawError = async (canvas, truth, image, most) => {
    truth.loading = image.loading = 'eager'; // a hidden picture that is lazy never comes
    await Promise.all([truth.decode(), image.decode()]);
    const [a, b] = [pixels(truth), pixels(image)];
    const error = new ImageData(a.width, a.height);
    let total = 0;
    for (let k = 0; k < a.data.length; k += 4) {
      let sum = 0;
      for (let c = k; c < k + 3; c++) sum += Math.abs(a.data[c] - b.data[c]);
      total += sum / 765;
      error.data.set(colour(sum / 765 / most), k);
      error.data[k + 3] = 255;
    }
    canvas.width = a.width;
    canvas.height = a.height;
    canvas.getContext('2d').putImageData(error, 0, 0);
    canvas.parentElement.querySelector('figcaption').textContent = `mean ${(total * 4 / a.data.length).toFixed(4)}`;
  };
  const open = () => {
    const find = (id) => document.getElementById(id);
    const [of, gain, order, key] = ['of', 'gain', 'order', 'key'].map(find);
    const articles = [...scenes.children];
    const near = new Set();

    const refresh = (article) => {
      for (const row of article.querySelectorAll('.cells')) {
        const canvas = row.querySelector('canvas');
        const image = row.querySelector(`[data-entry="${of.value}"]`);
        const wanted = `${of.value} ${gain.value}`;
        if (canvas.dataset.drawn === wanted) continue;
        canvas.dataset.drawn = wanted;
        if (image) drawError(canvas, row.querySelector('.truth'), image, Number(gain.value));
        else canvas.width = 1;
      }
    };
    const watch = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) {
        if (isIntersecting) { near.add(target); refresh(target); } else near.delete(target);
      }
    }, { rootMargin: '800px' });
    articles.forEach((article) => watch.observe(article));
    const redraw = () => near.forEach(refresh);

    const drawKey = () => {
      const context = key.getContext('2d');
      const line = context.createImageData(key.width, 1);
      for (let k = 0; k < key.width; k++) line.data.set([...colour(k / (key.width - 1)), 255], 4 * k);
      context.putImageData(line, 0, 0);
    };
    // pictures are as large as their own pixels where there is room, and smaller where many columns are open
    const fit = () => {
      const columns = document.querySelectorAll('.heads .cells > span:not([hidden])').length + 1;
      const room = (scenes.clientWidth - 46 - 6 * columns) / columns;
      scenes.parentElement.style.setProperty('--cell', `${Math.min(Math.max(room, 48), 128)}px`);
    };
    new ResizeObserver(fit).observe(scenes);
    const show = (column, shown) => {
      for (const cell of document.querySelectorAll(`.c-${column}`)) cell.hidden = !shown;
      fit();
    };
    const press = (button, pressed) => button.setAttribute('aria-pressed', pressed);
    for (const button of document.querySelectorAll('[data-column]')) {
      show(button.dataset.column, button.ariaPressed === 'true');
      button.onclick = () => {
        const shown = button.ariaPressed !== 'true';
        press(button, shown);
        show(button.dataset.column, shown);
      };
    }
    const choices = [...document.querySelectorAll('button[data-views]')];
    const choose = (views) => {
      for (const button of choices) press(button, button.dataset.views === views);
      for (const article of articles) article.hidden = article.dataset.views !== views;
    };
    for (const button of choices) button.onclick = () => choose(button.dataset.views);
    choose(articles[0].dataset.views);

    order.onchange = () => {
      const rank = { scene: (a) => Number(a.dataset.scene), worst: (a) => Number(a.dataset.psnr), best: (a) => -a.dataset.psnr };
      scenes.append(...articles.sort((a, b) => rank[order.value](a) - rank[order.value](b)));
    };
    of.onchange = redraw;
    gain.onchange = redraw;
    drawKey();

    // while a picture is held, the truth stands in its place
    let held = null;
    const release = () => {
      if (!held) return;
      held.image.src = held.source;
      held.image.classList.remove('flipped');
      held = null;
    };
    scenes.addEventListener('pointerdown', (event) => {
      const image = event.target;
      if (!image.dataset.entry) return;
      event.preventDefault();
      held = { image, source: image.src };
      image.src = image.closest('.cells').querySelector('.truth').src;
      image.classList.add('flipped');
    });
    for (const ending of ['pointerup', 'pointercancel', 'blur']) addEventListener(ending, release);
  };
  if (scenes) open();
}

// Every text, control and picture that can be seen below an element, with its box on the screen
root => {
  const all = [...root.querySelectorAll('*')], style = o => getComputedStyle(o);
  const place = o => all.indexOf(o), tidy = text => (text ?? '').replace(/\s+/g, ' ').trim();
  const scrolls = o => /auto|scroll/.test(style(o).overflowX) && o.scrollWidth > o.clientWidth;
  const above = (o, top = root) => o && o !== top ? [o.parentElement, ...above(o.parentElement, top)] : [];

  const box = (rects, least = Math.min, most = Math.max) => ({
    x: least(...rects.map(r => r.left)), right: most(...rects.map(r => r.right)),
    y: least(...rects.map(r => r.top)), bottom: most(...rects.map(r => r.bottom)),
  });
  const inside = rects => box(rects, Math.max, Math.min);
  const written = o => [...o.childNodes].filter(n => n.nodeType === 3 && n.data.trim());
  const letters = n => {
    const range = document.createRange();
    range.selectNodeContents(n);
    return [...range.getClientRects()];
  };

  // Contrast of text with what lies behind it, as WCAG counts it
  const numbers = colour => colour.match(/[\d.]+/g).map((v, i) => i < 3 && colour.startsWith('rgb') ? v/255 : +v);
  const linear = v => v <= 0.04045 ? v/12.92 : ((v + 0.055)/1.055)**2.4;
  const light = c => 0.2126*linear(c[0]) + 0.7152*linear(c[1]) + 0.0722*linear(c[2]);
  const paper = Object.assign(document.createElement('div'), {style: 'background:Canvas'});
  document.body.append(paper);
  const contrast = o => {
    const styles = [o, ...above(o, null).filter(p => p), paper].map(style);
    const ground = styles.map(s => numbers(s.backgroundColor)).find(c => (c[3] ?? 1) > 0.99);
    const opacity = styles.reduce((product, s) => product*s.opacity, 1);
    const ink = numbers(style(o).color).map((v, i) => opacity*v + (1 - opacity)*ground[i]);
    const [dark, bright] = [light(ink), light(ground)].sort((a, b) => a - b);
    return (bright + 0.05)/(dark + 0.05);
  };

  // Text that does not fit: a menu's choice beside its arrow, or what is hidden where nothing scrolls
  const pen = document.createElement('canvas').getContext('2d');
  const room = o => {
    const {font, paddingLeft, paddingRight} = style(o);
    pen.font = font;
    const taken = Math.max(20, parseFloat(paddingLeft) + parseFloat(paddingRight));
    return o.clientWidth - taken - pen.measureText(o.selectedOptions[0]?.text ?? '').width;
  };
  const hides = o => style(o).overflowX !== 'visible' && !scrolls(o) && o.scrollWidth > o.clientWidth + 1;

  const seen = [];
  const add = (kind, o, text, rects) => {
    const boxes = above(o).filter(scrolls).map(p => p.getBoundingClientRect()), whole = box(rects);
    const shown = boxes.length ? inside([{left: whole.x, top: whole.y, ...whole}, ...boxes]) : whole;
    seen.push({
      kind, text: tidy(text), ...whole, shown, scrolled: boxes.length > 0,
      at: place(o), around: above(o).map(place), figure: place(o.closest('figure')),
      names: [...o.labels ?? []].flatMap(l => [l, ...l.querySelectorAll('*')]).map(place),
      cut: o.matches('select') ? room(o) < 0 : hides(o),
      contrast: kind !== 'text' || o.closest(':disabled') ? 21 : contrast(o),
    });
  };
  for (const o of all) {
    const rect = o.getBoundingClientRect(), text = written(o);
    if (o.closest('svg, option') || !o.checkVisibility({visibilityProperty: true, opacityProperty: true})) continue;
    if (rect.width < 2 || rect.height < 2) continue; // for screen readers alone
    if (o.matches('img[alt]:not([alt=""])')) add('picture', o, o.alt, [rect]);
    const name = o.ariaLabel ?? o.labels?.[0]?.innerText ?? o.innerText;
    if (o.matches('input, select, button')) add('control', o, name, [rect]);
    if (text.length) add('text', o, o.innerText, text.flatMap(letters));
  }
  paper.remove();
  return seen;
}

// The keys on the screen.

const LETTERS = {
  qwerty: ['qwertyuiop', 'asdfghjkl', 'zxcvbnm'],
  qwertz: ['qwertzuiop', 'asdfghjkl', 'yxcvbnm'],
  azerty: ['azertyuiop', 'qsdfghjklm', 'wxcvbn'],
};
const SIGNS = ['1234567890', '-/:;()$&@"', '.,?!\'%+=*'];

export class Keys {
  #shift = false;
  #signs = false;
  #layout = 'qwerty';
  #buttons = [];

  /** `press` is given what a key types, or 'erase' or 'enter' as its second argument. */
  constructor(root, press) {
    [this.root, this.press] = [root, press];
    // The cursor stays in the text.
    root.addEventListener('pointerdown', (event) => event.preventDefault());
    root.addEventListener('keydown', (event) => this.#move(event));
    this.#draw();
  }

  set layout(name) {
    this.#layout = name;
    this.#draw();
  }

  /** Whether the next letter is a capital. */
  set shift(value) {
    if (this.#shift === value) return;
    this.#shift = value;
    for (const key of this.#buttons) if (key.dataset.letter) this.#label(key);
    const shift = this.root.querySelector('.shift');
    if (shift) shift.ariaPressed = String(value);
  }

  #letter(key) {
    return this.#shift ? key.dataset.letter.toUpperCase() : key.dataset.letter;
  }

  #label(key) {
    key.textContent = this.#letter(key);
  }

  #draw() {
    const [top, middle, bottom] = this.#signs ? SIGNS : LETTERS[this.#layout];
    const letters = (row) => [...row].map((letter) => this.#letterKey(letter));
    const shift = this.#key('⇧', 'wide shift', 'Shift', () => (this.shift = !this.#shift));
    shift.ariaPressed = String(this.#shift);
    const erase = this.#key('⌫', 'wide', 'Delete', () => this.press('', 'erase'));
    const signs = this.#key(this.#signs ? 'abc' : '123', 'wide', this.#signs ? 'Letters' : 'Figures and marks', () => {
      this.#signs = !this.#signs;
      this.#draw();
      this.root.querySelector('.signs').focus({ preventScroll: true, focusVisible: false });
      this.press('', 'stay');
    });
    signs.classList.add('signs');
    const space = this.#key('space', 'space', 'Space', () => this.press(' '));
    const mark = (text, name) => this.#key(text, '', name, () => this.press(text));
    const enter = this.#key('⏎', 'enter', 'Send', () => this.press('', 'enter'));
    const rows = [
      letters(top),
      letters(middle),
      this.#signs ? [...letters(bottom), erase] : [shift, ...letters(bottom), erase],
      [signs, mark(',', 'Comma'), space, mark('.', 'Full stop'), enter],
    ];
    this.root.replaceChildren(...rows.map((keys) => {
      const row = document.createElement('div');
      row.append(...keys);
      return row;
    }));
    this.#buttons = rows.flat();
    // One stop for the Tab key; arrows move among the keys.
    this.#buttons.forEach((key, at) => (key.tabIndex = at === 0 ? 0 : -1));
  }

  #letterKey(letter) {
    const key = this.#key(letter, '', null, () => this.press(this.#letter(key)));
    key.dataset.letter = letter;
    this.#label(key);
    return key;
  }

  #key(text, kind, label, act) {
    const key = document.createElement('button');
    key.type = 'button';
    key.className = `key ${kind}`;
    key.textContent = text;
    if (label) key.ariaLabel = label;
    key.addEventListener('click', act);
    return key;
  }

  #move(event) {
    const rows = [...this.root.children].map((row) => [...row.children]);
    const at = rows.findIndex((row) => row.includes(document.activeElement));
    if (at < 0) return;
    const column = rows[at].indexOf(document.activeElement);
    const to = {
      ArrowLeft: rows[at][column - 1],
      ArrowRight: rows[at][column + 1],
      ArrowUp: rows[at - 1]?.[Math.min(column, rows[at - 1].length - 1)],
      ArrowDown: rows[at + 1]?.[Math.min(column, rows[at + 1].length - 1)],
    }[event.key];
    if (!to) return;
    event.preventDefault();
    this.#buttons.forEach((key) => (key.tabIndex = key === to ? 0 : -1));
    to.focus();
  }
}

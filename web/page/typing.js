// What keys do to the text: letters, taken words, corrections and their undoing.

const ENDS = /^[ .,!?;:\n]$/;
const MARKS = /^[.,!?;:]$/;

export class Typing {
  /** The strip for the text before the cursor. */
  strip = { typed: '', words: [], correction: null };
  /** The correction that was made last and can be undone: where it ends, what was typed, what it became. */
  mended = null;
  /** Whether the space before the cursor came with a taken word. */
  #gave = false;
  /** Corrections that were undone here: the typed form stays. */
  #kept = new Set();

  /** `field` is the text area; `engine` gives strips; `changed` is called after every change. */
  constructor(field, engine, changed) {
    [this.field, this.engine, this.changed] = [field, engine, changed];
    field.addEventListener('beforeinput', (event) => this.#before(event));
    field.addEventListener('input', () => this.refresh());
    // A moved cursor asks for another strip.
    document.addEventListener('selectionchange', () => {
      if (document.activeElement === field) this.#catchUp();
    });
  }

  #at = 0;

  get before() {
    return this.field.value.slice(0, this.field.selectionStart);
  }

  /** Asks for the strip anew. */
  refresh() {
    this.#at = this.field.selectionStart;
    if (this.mended && !this.#isMended()) this.mended = null;
    const begun = performance.now();
    this.strip = this.engine.strip(this.before);
    if (this.#kept.has(this.strip.typed)) this.strip.correction = null;
    this.changed(performance.now() - begun);
  }

  /** Keys of a real keyboard do what those on the screen do. */
  #before(event) {
    if (event.isComposing) return;
    const act = {
      insertText: () => this.type(event.data),
      insertLineBreak: () => this.type('\n'),
      deleteContentBackward: () => this.erase(),
      deleteContentForward: () => this.#eraseNext(),
    }[event.inputType];
    this.#gave &&= Boolean(act);
    if (!act) return;
    event.preventDefault();
    act();
  }

  #replace(start, end, text) {
    this.field.setRangeText(text, start, end, 'end');
  }

  /** The event of a moved cursor may come after the next key. */
  #catchUp() {
    if (this.#at === this.field.selectionStart) return;
    this.#gave = false;
    this.refresh();
  }

  type(text) {
    this.#catchUp();
    const { selectionStart: start, selectionEnd: end } = this.field;
    const { typed, correction } = this.strip;
    const gave = this.#gave;
    this.#gave = false;
    this.mended = null;
    if (gave && MARKS.test(text) && start === end) {
      // The mark belongs to the word, the space behind the mark.
      this.#replace(start - 1, end, `${text} `);
    } else if (correction && start === end && ENDS.test(text)) {
      this.#replace(start - typed.length, end, correction.word + text);
      this.mended = { end: this.field.selectionStart, typed, word: correction.word, after: text };
    } else {
      this.#replace(start, end, text);
    }
    this.refresh();
  }

  /** Takes the place of what is typed by a word of the strip. */
  take(word) {
    this.#catchUp();
    const end = this.field.selectionEnd;
    const hasSpace = this.field.value[end] === ' ';
    this.#replace(this.field.selectionStart - this.strip.typed.length, end, hasSpace ? word : `${word} `);
    if (hasSpace) this.field.selectionStart += 1;
    this.mended = null;
    this.#gave = !hasSpace;
    this.refresh();
  }

  /** Leaves what is typed as it is, here and from now on. */
  keep() {
    this.#kept.add(this.strip.typed);
    this.take(this.strip.typed);
  }

  erase() {
    this.#catchUp();
    if (this.mended) return this.undo();
    const { selectionStart: start, selectionEnd: end } = this.field;
    this.#gave = false;
    if (start !== end) this.#replace(start, end, '');
    else if (start > 0) this.#replace(start - [...this.before.slice(-2)].at(-1).length, end, '');
    this.refresh();
  }

  #eraseNext() {
    const { selectionStart: start, selectionEnd: end, value } = this.field;
    this.#gave = false;
    this.#replace(start, start === end ? end + ([...value.slice(end, end + 2)][0]?.length ?? 0) : end, '');
    this.refresh();
  }

  #isMended() {
    const { end, word, after } = this.mended;
    return this.field.selectionStart === end && this.before.endsWith(word + after);
  }

  /** Takes the last correction back; the word is left as it was typed from now on. */
  undo() {
    const { end, typed, word, after } = this.mended;
    this.#kept.add(typed);
    this.#replace(end - after.length - word.length, end, typed + after);
    this.mended = null;
    this.refresh();
    return typed;
  }

  clear() {
    this.field.value = '';
    [this.mended, this.#gave] = [null, false];
    this.refresh();
  }
}

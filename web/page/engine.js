// The model in use and its user's words: opened, started again after a fault, kept in the browser's storage.
import { load, PocketlmError } from './pocketlm/index.js';

const WORDS = 'pocketlm.words';
const LAYOUT = 'pocketlm.layout';

/** What this browser keeps; nothing where it keeps nothing. */
function stored(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

export class Engine {
  #pocketlm;
  #keyboard;
  #bytes;
  #isPrivate = false;
  model = null;

  /** `tell` is given what a person should know. */
  constructor(tell) {
    this.tell = tell;
  }

  /** Takes another model; if its bytes are none, the present one stays and the error is thrown. */
  async open(bytes) {
    try {
      await this.#open(bytes);
    } catch (error) {
      if (error.isFault && this.#bytes && bytes !== this.#bytes) await this.#restart();
      throw error;
    }
  }

  async #open(bytes) {
    this.#pocketlm ??= await load(new URL('pocketlm/pocketlm.wasm', import.meta.url));
    const model = this.#pocketlm.open(bytes);
    let keyboard;
    try {
      model.verify();
      keyboard = model.keyboard();
    } catch (error) {
      if (!error.isFault) model.close();
      throw error;
    }
    this.#keyboard?.close();
    this.model?.close();
    [this.model, this.#keyboard, this.#bytes] = [model, keyboard, bytes];
    keyboard.isPrivate = this.#isPrivate;
    keyboard.layout = this.layout;
    this.#recall();
  }

  /** Reads the words that were kept. Damaged ones are set aside, so that typing goes on. */
  #recall() {
    const lines = stored(WORDS);
    if (lines === null) return;
    try {
      this.#keyboard.import(lines);
    } catch (error) {
      if (!(error instanceof PocketlmError) || error.isFault) throw error;
      this.#keep(`${WORDS}.damaged`, lines);
      this.#keep(WORDS, this.#keyboard.export());
      this.tell(`Your words could not be read (${error.message}). They were set aside, and new ones begin.`);
    }
  }

  #keep(key, value) {
    try {
      localStorage.setItem(key, value);
    } catch (error) {
      this.tell(`This browser keeps nothing of it: ${error.message}`);
    }
  }

  /** Does something with the keyboard; a fault of the library starts it again. */
  #use(work, otherwise) {
    if (!this.#keyboard) return otherwise;
    try {
      return work(this.#keyboard);
    } catch (error) {
      if (!(error instanceof PocketlmError)) throw error;
      this.tell(error.message);
      if (error.isFault) this.#restart();
      return otherwise;
    }
  }

  async #restart() {
    [this.#pocketlm, this.#keyboard, this.model] = [null, null, null];
    try {
      await this.open(this.#bytes);
    } catch (error) {
      this.tell(error.message);
    }
  }

  /** A change of the user's words, which is kept at once. */
  #change(work) {
    return this.#use((keyboard) => {
      const result = work(keyboard);
      this.#keep(WORDS, keyboard.export());
      return result;
    }, false);
  }

  strip(text) {
    const nothing = { typed: '', words: [], correction: null };
    return this.#use((keyboard) => keyboard.strip(text.normalize('NFC'), 3), nothing);
  }

  learn(text) {
    if (!this.#isPrivate) this.#change((keyboard) => keyboard.learn(text.normalize('NFC')));
  }

  add(word) {
    return this.#change((keyboard) => keyboard.add(word));
  }

  forget(word) {
    return this.#change((keyboard) => keyboard.forget(word));
  }

  block(word) {
    return this.#change((keyboard) => keyboard.block(word));
  }

  unblock(word) {
    return this.#change((keyboard) => keyboard.unblock(word));
  }

  erase() {
    this.#change((keyboard) => keyboard.erase());
  }

  import(lines) {
    return this.#change((keyboard) => {
      keyboard.import(lines);
      return true;
    });
  }

  export() {
    return this.#use((keyboard) => keyboard.export(), '');
  }

  get words() {
    return this.#use((keyboard) => keyboard.words, []);
  }

  get blocked() {
    return this.#use((keyboard) => keyboard.blocked, []);
  }

  get isPrivate() {
    return this.#isPrivate;
  }

  set isPrivate(value) {
    this.#isPrivate = value;
    this.#use((keyboard) => (keyboard.isPrivate = value));
  }

  get layout() {
    const layout = stored(LAYOUT);
    return ['qwertz', 'azerty'].includes(layout) ? layout : 'qwerty';
  }

  set layout(name) {
    this.#keep(LAYOUT, name);
    this.#use((keyboard) => (keyboard.layout = name));
  }

  get memory() {
    return this.#pocketlm?.memory ?? 0;
  }
}

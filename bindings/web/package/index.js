// The package `pocketlm`: what the WebAssembly module does, with JavaScript's texts, lists and errors.

export class PocketlmError extends Error {
  constructor(message, isFault = false) {
    super(message);
    this.name = 'PocketlmError';
    this.isFault = isFault;
  }
}

export async function load(source = new URL('pocketlm.wasm', import.meta.url)) {
  const { instance } = await instantiate(source);
  return new Pocketlm(instance.exports);
}

async function instantiate(source) {
  if (source instanceof WebAssembly.Module) return { instance: await WebAssembly.instantiate(source) };
  if (source instanceof ArrayBuffer || ArrayBuffer.isView(source)) return WebAssembly.instantiate(source);
  const url = new URL(source, import.meta.url);
  if (url.protocol === 'file:') {
    const { readFile } = await import('node:fs/promises');
    return WebAssembly.instantiate(await readFile(url));
  }
  const response = await fetch(url);
  if (!response.ok) throw new PocketlmError(`${url}: ${response.status} ${response.statusText}`);
  // A server that calls the module something else than application/wasm hinders only compiling as it comes.
  const type = response.headers.get('Content-Type') ?? '';
  if (type.startsWith('application/wasm')) return WebAssembly.instantiateStreaming(response);
  return WebAssembly.instantiate(await response.arrayBuffer());
}

const FAILED = -1;

/** The module's functions, which it is asked for one at a time. */
class Pocketlm {
  #module;
  #fault = null;
  #encoder = new TextEncoder();
  #decoder = new TextDecoder();

  constructor(module) {
    this.#module = module;
  }

  get memory() {
    return this.#module.memory.buffer.byteLength;
  }

  open(bytes) {
    const view = ArrayBuffer.isView(bytes)
      ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      : new Uint8Array(bytes);
    const start = this.#room(view);
    const handle = this.call('model_open', start, view.length);
    if (handle === 0) throw new PocketlmError(this.reply());
    return new Model(this, handle);
  }

  /** Calls a function; a trap ends this instance, with the message that the module left. */
  call(name, ...values) {
    if (this.#fault !== null) throw new PocketlmError(this.#fault, true);
    try {
      return this.#module[name](...values);
    } catch (error) {
      const panic = this.reply();
      this.#fault = `a fault of pocketlm: ${panic.startsWith('panicked') ? panic : error.message}`;
      throw new PocketlmError(this.#fault, true);
    }
  }

  /** Calls a function with a handle, a text, and what follows; throws what went wrong. */
  withText(name, values, text, ...more) {
    const bytes = this.#encoder.encode(text);
    const start = this.#room(bytes);
    const value = this.call(name, ...values, start, bytes.length, ...more);
    this.call('release', start, bytes.length);
    if (value === FAILED) throw new PocketlmError(this.reply());
    return value;
  }

  /** What the last call left. */
  reply() {
    const { memory, reply, reply_length } = this.#module;
    return this.#decoder.decode(new Uint8Array(memory.buffer, reply(), reply_length()));
  }

  /** Lines of fields. */
  lines() {
    return this.reply().split('\n').slice(0, -1).map((line) => line.split('\t'));
  }

  #room(bytes) {
    const start = this.call('room', bytes.length);
    if (start === 0) throw new PocketlmError(`there is no memory for ${bytes.length} bytes`);
    new Uint8Array(this.#module.memory.buffer).set(bytes, start);
    return start;
  }
}

export { Pocketlm };

/** Something of the module that is open until it is closed. */
class Open {
  #kind;
  #handle;

  constructor(pocketlm, kind, handle) {
    this.pocketlm = pocketlm;
    this.#kind = kind;
    this.#handle = handle;
  }

  get handle() {
    if (this.#handle === 0) throw new PocketlmError(`this ${this.#kind} is closed`);
    return this.#handle;
  }

  close() {
    if (this.#handle === 0) return;
    const handle = this.#handle;
    this.#handle = 0;
    this.pocketlm.call(`${this.#kind}_close`, handle);
  }

  call(name, ...values) {
    return this.pocketlm.call(`${this.#kind}_${name}`, this.handle, ...values);
  }

  withText(name, text, ...more) {
    return this.pocketlm.withText(`${this.#kind}_${name}`, [this.handle], text, ...more);
  }
}

export class Model extends Open {
  constructor(pocketlm, handle) {
    super(pocketlm, 'model', handle);
    this.call('describe');
    const [types, unit, checksum] = pocketlm.lines()[0];
    this.types = Number(types);
    this.unit = unit;
    this.isRaw = unit.startsWith('raw');
    this.checksum = Number(checksum);
  }

  verify() {
    if (this.call('verify') === FAILED) throw new PocketlmError(this.pocketlm.reply());
  }

  session() {
    return new Session(this.pocketlm, 'session', this.pocketlm.call('session_open', this.handle));
  }

  keyboard() {
    const handle = this.pocketlm.call('keyboard_open', this.handle);
    if (handle === 0) throw new PocketlmError(this.pocketlm.reply());
    return new Keyboard(this.pocketlm, 'keyboard', handle);
  }
}

const suggestion = ([probability, word]) => ({ word, probability: Number(probability) });

/** A count of suggestions that the module can be asked for. */
function count(value) {
  if (Number.isInteger(value) && value >= 0 && value <= 10000) return value;
  throw new PocketlmError(`the number of suggestions is ${value}: give one from 0 to 10000`);
}

export class Session extends Open {
  reset() {
    this.call('reset');
  }

  feed(text) {
    return this.withText('feed', text);
  }

  suggest(most = 3, prefix = '') {
    this.withText('suggest', prefix, count(most));
    return this.pocketlm.lines().map(suggestion);
  }

  complete(text, most = 3) {
    this.withText('complete', text, count(most));
    return this.pocketlm.lines().map(suggestion);
  }

  correct(typed, most = 3) {
    this.withText('correct', typed, count(most));
    const [[asTyped], ...words] = this.pocketlm.lines();
    return { asTyped: Number(asTyped), words: words.map(suggestion) };
  }

  score(text) {
    this.withText('score', text);
    const [tokens, unknown, nll] = this.pocketlm.lines()[0].map(Number);
    return { tokens, unknown, nll };
  }

  logProbability(word) {
    this.withText('log_probability', word);
    return Number(this.pocketlm.reply());
  }
}

const CHANGES = ['add', 'forget', 'block', 'unblock'];
const LAYOUTS = ['qwerty', 'qwertz', 'azerty'];

export class Keyboard extends Open {
  #isPrivate = false;
  #layout = LAYOUTS[0];

  strip(text, most = 3) {
    this.withText('strip', text, count(most));
    const [[typed], correction, ...words] = this.pocketlm.lines();
    return {
      typed,
      correction: correction.length === 2 ? suggestion(correction) : null,
      words: words.map(([probability, own, word]) => ({ word, probability: Number(probability), isOwn: own === '1' })),
    };
  }

  learn(text) {
    this.withText('learn', text);
  }

  add(word) {
    return this.#change('add', word);
  }

  forget(word) {
    return this.#change('forget', word);
  }

  block(word) {
    return this.#change('block', word);
  }

  unblock(word) {
    return this.#change('unblock', word);
  }

  #change(what, word) {
    const name = 'keyboard_change';
    return this.pocketlm.withText(name, [this.handle, CHANGES.indexOf(what)], word) === 1;
  }

  erase() {
    this.call('erase');
  }

  get words() {
    return this.#list(false);
  }

  get blocked() {
    return this.#list(true);
  }

  #list(blocked) {
    this.call('words', blocked);
    return this.pocketlm.lines().map(([word]) => word);
  }

  get isPrivate() {
    return this.#isPrivate;
  }

  set isPrivate(value) {
    this.#isPrivate = Boolean(value);
    this.call('private', this.#isPrivate);
  }

  get layout() {
    return this.#layout;
  }

  set layout(name) {
    const at = LAYOUTS.indexOf(name);
    if (at < 0) throw new PocketlmError(`the layout is ${name}: it can be ${LAYOUTS.join(', ')}`);
    this.#layout = name;
    this.call('layout', at);
  }

  export() {
    this.call('export');
    return this.pocketlm.reply();
  }

  import(lines) {
    this.withText('import', lines);
  }
}

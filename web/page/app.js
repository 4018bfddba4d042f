// The page: what is on it, and what happens when it is touched.
import { Engine } from './engine.js';
import { Keys } from './keys.js';
import { Typing } from './typing.js';

/** The model that the page begins with: web/build puts it here. */
const DEFAULT = { name: 'Built in', url: 'keyboard.plm' };
/** Times of strips that are counted. */
const TIMES = 1000;

const $ = (id) => document.getElementById(id);
const slots = [...document.querySelectorAll('.slot')];
const times = [];
const models = [];
let shown = [];

const engine = new Engine(notice);
const typing = new Typing($('field'), engine, show);
const keys = new Keys($('keys'), press);
/** For tests: milliseconds of the last strips, bytes of the module's memory, when the first strip was there. */
globalThis.pocketlmKeyboard = { times, memory: () => engine.memory };

function notice(text) {
  $('notice').textContent = text;
  $('notice').hidden = !text;
}

function say(text) {
  $('live').textContent = text;
}

const bytes = (count) => (count < 1e6 ? `${Math.round(count / 1e3)} KB` : `${(count / 1e6).toFixed(1)} MB`);

function quantile(share) {
  const sorted = [...times].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
}

/** Shows the strip, and how long it took. */
function show(milliseconds) {
  times.push(milliseconds);
  if (times.length > TIMES) times.shift();
  const { words, correction, typed } = typing.strip;
  shown = words.map((offer) => ({ ...offer, kind: offer.word === correction?.word ? 'mends' : 'word' }));
  if (correction) shown = [shown[0], { word: typed, kind: 'keep' }, ...shown.slice(1)].slice(0, slots.length);
  const { mended } = typing;
  if (mended) {
    shown = [{ word: mended.typed, kind: 'undo' }, ...shown].slice(0, slots.length);
    say(`${mended.typed} was corrected to ${mended.word}. Delete undoes it.`);
  } else {
    announce(shown);
  }
  slots.forEach((slot, at) => showOffer(slot, shown[at], at === 0 && typed !== ''));
  $('send').disabled = $('field').value.trim() === '';
  if (engine.model?.isRaw) keys.shift = /(^|[.!?]["”')]*\s+|\n)$/.test(typing.before);
  $('status').textContent = `${milliseconds.toFixed(1)} ms, 99 % within ${quantile(0.99).toFixed(1)} ms`;
}

const LABELS = {
  mends: (word) => `Correct to ${word}`,
  undo: (word) => `Undo the correction: ${word}`,
  keep: (word) => `Keep ${word}`,
  word: (word) => word,
};

const TEXTS = { mends: (word) => word, undo: (word) => `↩ ${word}`, keep: (word) => `“${word}”`, word: (word) => word };

function showOffer(slot, offer, isBest) {
  slot.disabled = !offer;
  slot.className = 'slot';
  slot.textContent = '';
  slot.tabIndex = offer ? 0 : -1;
  slot.removeAttribute('aria-label');
  if (!offer) return;
  slot.classList.toggle('best', isBest && offer.kind === 'word');
  slot.classList.toggle('own', Boolean(offer.isOwn));
  if (offer.kind !== 'word') slot.classList.add(offer.kind);
  slot.textContent = TEXTS[offer.kind](offer.word);
  slot.ariaLabel = LABELS[offer.kind](offer.word);
}

/** Tells a screen reader of the words once typing rests. */
let resting;
function announce(offers) {
  clearTimeout(resting);
  if (offers.length === 0) return;
  resting = setTimeout(() => say(`Suggestions: ${offers.map(({ word }) => word).join(', ')}`), 900);
}

function take(at) {
  const offer = shown[at];
  if (!offer) return;
  if (offer.kind === 'undo') say(`Back to ${typing.undo()}`);
  else if (offer.kind === 'keep') typing.keep();
  else typing.take(offer.word);
  $('field').focus();
}

function press(text, act) {
  if (act === 'enter') send();
  else if (act === 'erase') typing.erase();
  else if (act !== 'stay') typing.type(text);
}

function send() {
  // What is typed last is mended as a space would.
  if (typing.strip.correction) typing.type(' ');
  const text = $('field').value.trim();
  if (text === '') return;
  notice('');
  const line = document.createElement('li');
  line.textContent = text;
  line.classList.toggle('private', engine.isPrivate);
  $('sent').append(line);
  while ($('sent').children.length > 100) $('sent').firstChild.remove();
  $('sent').scrollTop = $('sent').scrollHeight;
  engine.learn(text);
  typing.clear();
  say('Sent');
}

$('field').addEventListener('keydown', (event) => {
  if (event.isComposing) return;
  const digit = /^Digit([123])$/.exec(event.code);
  if (event.altKey && digit) take(Number(digit[1]) - 1);
  else if (event.key === 'Tab' && !event.shiftKey && typing.strip.typed !== '' && shown[0]?.kind !== 'undo' && shown.length) take(0);
  else if (event.key === 'Enter' && !event.shiftKey) send();
  else return;
  event.preventDefault();
});
$('send').addEventListener('click', () => (send(), $('field').focus()));
$('strip').addEventListener('pointerdown', (event) => event.preventDefault());

slots.forEach((slot, at) => {
  slot.addEventListener('click', () => take(at));
  slot.addEventListener('contextmenu', (event) => (event.preventDefault(), ask(shown[at])));
  slot.addEventListener('keydown', (event) => event.key === 'Delete' && ask(shown[at]));
  held(slot, () => ask(shown[at]));
});

/** Calls `act` when a finger stays for half a second; the click that follows does nothing. */
function held(button, act) {
  let timer;
  let isHeld = false;
  button.addEventListener('pointerdown', (event) => {
    isHeld = false;
    if (event.pointerType !== 'mouse') timer = setTimeout(() => ((isHeld = true), act()), 500);
  });
  for (const end of ['pointerup', 'pointerleave', 'pointercancel']) button.addEventListener(end, () => clearTimeout(timer));
  button.addEventListener('click', (event) => isHeld && event.stopImmediatePropagation(), true);
}

/** Asks what to do with a suggested word. */
function ask(offer) {
  if (!offer || offer.kind === 'undo' || offer.kind === 'keep') return;
  $('word-title').textContent = offer.word;
  $('word-forget').hidden = !offer.isOwn;
  $('word-block').onclick = () => done(engine.block(offer.word), `${offer.word} is never suggested now`);
  $('word-forget').onclick = () => done(engine.forget(offer.word), `${offer.word} is forgotten`);
  $('word-dialog').showModal();
  function done(isDone, text) {
    if (isDone) say(text);
    $('word-dialog').close();
    typing.refresh();
  }
}

function list(root, words, label, act) {
  root.replaceChildren(...words.map((word) => {
    const line = document.createElement('li');
    const button = document.createElement('button');
    button.type = 'button';
    button.textContent = '×';
    button.ariaLabel = `${label} ${word}`;
    button.addEventListener('click', () => (act(word), showWords()));
    line.append(word, button);
    return line;
  }));
}

function showWords() {
  list($('own'), engine.words, 'Forget', (word) => engine.forget(word));
  list($('blocked'), engine.blocked, 'Suggest again', (word) => engine.unblock(word));
  typing.refresh();
}

$('words-button').addEventListener('click', () => (showWords(), $('words-dialog').showModal()));
$('add').addEventListener('submit', (event) => {
  event.preventDefault();
  const word = $('new-word').value.trim().normalize('NFC');
  const isDone = event.submitter?.value === 'block' ? engine.block(word) : engine.add(word);
  if (isDone) $('new-word').value = '';
  else notice(`“${word}” can be no word: at most 64 bytes, without spaces`);
  showWords();
});
$('erase').addEventListener('click', () => {
  if (confirm('Forget all of your words?')) engine.erase();
  showWords();
});
$('export').addEventListener('click', () => {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([engine.export()], { type: 'application/jsonl' }));
  link.download = 'pocketlm-words.jsonl';
  link.click();
  URL.revokeObjectURL(link.href);
});
$('import').addEventListener('change', async ({ target }) => {
  const [file] = target.files;
  if (file && engine.import(await file.text())) notice('');
  target.value = '';
  showWords();
});

$('private-button').addEventListener('click', ({ currentTarget }) => {
  engine.isPrivate = !engine.isPrivate;
  currentTarget.ariaPressed = String(engine.isPrivate);
  $('field').placeholder = engine.isPrivate ? 'Private: nothing is learnt' : 'Type a message';
  say(engine.isPrivate ? 'Private: nothing is learnt' : 'What you send is learnt');
  $('field').focus();
});

/** Opens a model; the present one stays where its bytes are none. */
async function use(model) {
  notice('');
  try {
    await engine.open(model.bytes);
  } catch (error) {
    notice(`${model.name} cannot be used: ${error.message}`);
    return showModels();
  }
  if (!models.includes(model)) models.push(model);
  models.forEach((other) => (other.isUsed = other === model));
  $('model-name').textContent = model.name;
  times.length = 0;
  showModels();
  typing.refresh();
  globalThis.pocketlmKeyboard.ready ??= performance.now();
}

function showModels() {
  $('models').replaceChildren(...models.map((model) => {
    const label = document.createElement('label');
    const input = document.createElement('input');
    [input.type, input.name, input.checked] = ['radio', 'model', Boolean(model.isUsed)];
    input.addEventListener('change', () => use(model));
    const size = document.createElement('small');
    size.textContent = bytes(model.bytes.byteLength);
    label.append(input, model.name, size);
    return label;
  }));
  if (!engine.model) return;
  const { types, unit } = engine.model;
  const kind = { word: 'words', character: 'characters', subword: 'parts of words' }[unit] ?? 'words and marks';
  $('model-facts').textContent = `${types.toLocaleString('en')} ${kind}; ${bytes(engine.memory)} of memory with the program.`;
}

async function useFile(file) {
  if (!file) return;
  if (file.size > 200e6) return notice(`${file.name} has ${bytes(file.size)}: no model for a page`);
  await use({ name: file.name, bytes: await file.arrayBuffer() });
}

$('model-button').addEventListener('click', () => (showModels(), $('model-dialog').showModal()));
$('file').addEventListener('change', async ({ target }) => {
  await useFile(target.files[0]);
  target.value = '';
});
for (const kind of ['dragover', 'dragleave', 'drop']) {
  addEventListener(kind, (event) => {
    event.preventDefault();
    $('drop').hidden = kind !== 'dragover';
    if (kind === 'drop') useFile(event.dataTransfer.files[0]);
  });
}
$('layout').value = engine.layout;
keys.layout = engine.layout;
$('layout').addEventListener('change', ({ target }) => {
  engine.layout = target.value;
  keys.layout = target.value;
  typing.refresh();
});
for (const dialog of document.querySelectorAll('dialog')) {
  dialog.addEventListener('click', (event) => event.target === dialog && dialog.close());
  dialog.addEventListener('close', () => $('field').focus());
}

try {
  const response = await fetch(DEFAULT.url);
  if (!response.ok) throw new Error(`${response.status} ${response.statusText}`);
  await use({ name: DEFAULT.name, bytes: await response.arrayBuffer() });
} catch (error) {
  notice(`The model could not be loaded (${error.message}). Open a .plm file instead.`);
  $('model-name').textContent = 'no model';
}
$('field').focus();

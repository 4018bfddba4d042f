// Tests of the built package: POCKETLM_PACKAGE is its folder (bindings/web/check sets it).
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';

const root = new URL('../../..', import.meta.url).pathname;
const folder = process.env.POCKETLM_PACKAGE;
const { load, PocketlmError } = await import(pathToFileURL(join(folder, 'index.js')));
const file = (path) => readFileSync(join(root, path));
const seed = (name) => file(`fuzz/seeds/open/${name}.plm`);
const keyboardModel = file('assets/frontier/1mb.plm');

/** The bits of a double. */
function bits(value) {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value);
  return view.getBigUint64(0).toString(16).padStart(16, '0');
}

// What Rust gives (bindings/overhead/measure.rs prints it); bindings/check compares anew.
const BITS = { 'lstm-int8': 'c043c81a664e57bc', 'lstm-int2': 'c043c8b40e5ddec2', 'cifg-int4': 'c043dd2d9d4122eb' };

test('integer models give the bits that Rust gives', async () => {
  const pocketlm = await load();
  for (const [name, expected] of Object.entries(BITS)) {
    const session = pocketlm.open(seed(name)).session();
    const { nll, tokens, unknown } = session.score('the under a then Zug\nthem été an unknown');
    assert.equal(bits(-nll), expected, name);
    assert.deepEqual([tokens, unknown], [11, 1], name);
  }
});

test('the module comes from bytes, a compiled module, a URL or a path', async () => {
  const wasm = readFileSync(join(folder, 'pocketlm.wasm'));
  const url = pathToFileURL(join(folder, 'pocketlm.wasm'));
  for (const source of [undefined, wasm, new Uint8Array(wasm).buffer, new WebAssembly.Module(wasm), url, url.href]) {
    const model = (await load(source)).open(keyboardModel);
    assert.deepEqual([model.types, model.unit, model.isRaw], [10000, 'word', false]);
    model.verify();
  }
});

test('a session suggests, completes, corrects and scores', async () => {
  const session = (await load()).open(keyboardModel).session();
  assert.equal(session.feed('the company zzz'), 1);
  session.reset();
  session.feed('the company');
  const [said] = session.suggest(3, 'sa');
  assert.equal(said.word, 'said');
  assert.ok(Math.abs(Math.exp(session.logProbability('said')) - session.suggest(50).find(({ word }) => word === 'said').probability) < 1e-9);
  assert.deepEqual(session.complete('the company sa').map(({ word }) => word), ['said', 'says', 'say']);
  session.reset();
  session.feed('it was');
  const { asTyped, words } = session.correct('abuot', 3);
  assert.ok(words[0].word === 'about' && words[0].probability > 0.5 && asTyped < 0.5);
  assert.equal(session.score('').tokens, 1);
  assert.deepEqual(session.suggest(0), []);
});

test('every kind of model opens and gives a strip', async () => {
  const pocketlm = await load();
  for (const name of ['gru-f32', 'lstm-f16', 'ngram-3', 'coded-int3', 'characters-int4', 'panels-int4', 'unitary']) {
    const model = pocketlm.open(seed(name));
    const keyboard = model.keyboard();
    assert.ok(keyboard.strip('the ', 3).words.length <= 3, name);
    keyboard.close();
    model.close();
  }
});

test('words are learnt, forgotten, blocked, kept and taken up again', async () => {
  const pocketlm = await load();
  const keyboard = pocketlm.open(keyboardModel).keyboard();
  const offers = (text) => keyboard.strip(text, 3).words.map(({ word }) => word);
  keyboard.isPrivate = true;
  keyboard.learn('see Zsuzsi and Zsuzsi');
  assert.deepEqual(keyboard.words, []);
  keyboard.isPrivate = false;
  keyboard.learn('see Zsuzsi and Zsuzsi');
  assert.ok(keyboard.words.includes('Zsuzsi'));
  const [first] = keyboard.strip('see Zs', 3).words;
  assert.deepEqual([first.word, first.isOwn], ['Zsuzsi', true]);
  assert.ok(keyboard.block('said') && !offers('the company sa').includes('said'));

  const other = pocketlm.open(keyboardModel).keyboard();
  other.import(keyboard.export());
  assert.deepEqual([other.words, other.blocked], [keyboard.words, ['said']]);
  assert.throws(() => other.import(keyboard.export().slice(0, -9)), PocketlmError);
  assert.deepEqual(other.blocked, ['said']);

  assert.ok(keyboard.forget('Zsuzsi') && !keyboard.forget('Zsuzsi'));
  assert.ok(!offers('see Zs').includes('Zsuzsi'));
  assert.ok(keyboard.unblock('said') && offers('the company sa').includes('said'));
  assert.ok(!keyboard.add('two words') && keyboard.add('Óbuda'));
  assert.equal(offers('in Ób')[0], 'Óbuda');
  keyboard.erase();
  assert.deepEqual([keyboard.words, keyboard.blocked], [[], []]);
});

test('a slip is mended where that is sure, a word of the user never', async () => {
  const keyboard = (await load()).open(keyboardModel).keyboard();
  const strip = keyboard.strip('i am not sure abuot', 3);
  assert.deepEqual([strip.typed, strip.correction.word, strip.words[0].word], ['abuot', 'about', 'about']);
  keyboard.add('abuot');
  assert.equal(keyboard.strip('i am not sure abuot', 3).correction, null);
  for (const layout of ['qwertz', 'azerty', 'qwerty']) keyboard.layout = layout;
  assert.throws(() => (keyboard.layout = 'dvorak'), PocketlmError);
});

test('hostile bytes get a message, and the next call works', async () => {
  const pocketlm = await load();
  const texts = ['', 'no model', '{"a":1}', '\0'.repeat(4096)];
  const cases = [...texts.map((text) => Buffer.from(text)), keyboardModel.subarray(0, 500000), readFileSync(process.execPath).subarray(0, 1 << 20)];
  const huge = Buffer.from(keyboardModel);
  huge.writeBigUInt64LE(2n ** 60n, 0);
  for (const bytes of [...cases, huge]) {
    assert.throws(() => pocketlm.open(bytes), (error) => error instanceof PocketlmError && !error.isFault && error.message.length > 10);
  }
  for (let at = 8; at < 6000; at += 97) {
    const damaged = Buffer.from(keyboardModel);
    damaged[at] ^= 0x55;
    try {
      pocketlm.open(damaged).close();
    } catch (error) {
      assert.ok(error instanceof PocketlmError && !error.isFault, `byte ${at}: ${error}`);
    }
  }
  assert.equal(pocketlm.open(keyboardModel).types, 10000);
});

test('wrong calls are errors of this package', async () => {
  const pocketlm = await load();
  const model = pocketlm.open(keyboardModel);
  const session = model.session();
  for (const count of [-1, 1.5, NaN, 1e9]) assert.throws(() => session.suggest(count), PocketlmError);
  model.close();
  model.close();
  assert.throws(() => model.session(), /closed/);
  assert.equal(session.score('the').tokens, 2);
  session.close();
  assert.throws(() => session.reset(), /closed/);
  await assert.rejects(load(new Uint8Array(8)), WebAssembly.CompileError);
});

test('a fault ends the instance with its message, and another one works', async () => {
  const pocketlm = await load();
  assert.throws(() => pocketlm.call('session_reset', 0x7fffffff), (error) => error.isFault);
  assert.throws(() => pocketlm.open(keyboardModel), (error) => error.isFault && /fault of pocketlm/.test(error.message));
  assert.equal((await load()).open(keyboardModel).types, 10000);
});

test('opening, typing and closing do not grow the memory', async () => {
  const pocketlm = await load();
  const round = () => {
    const model = pocketlm.open(keyboardModel);
    const keyboard = model.keyboard();
    for (let at = 0; at < 40; at += 1) keyboard.strip('the company said it was '.repeat(at), 3);
    keyboard.learn('the company said');
    keyboard.close();
    model.close();
  };
  for (let at = 0; at < 3; at += 1) round();
  const before = pocketlm.memory;
  for (let at = 0; at < 10; at += 1) round();
  assert.equal(pocketlm.memory, before);
});

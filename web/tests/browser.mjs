// Tests of the page in Chromium: node browser.mjs FOLDER PLAYWRIGHT [--minutes N] [--json FILE] [--pictures FOLDER]
// FOLDER is what web/build made, PLAYWRIGHT the folder of playwright-core. Random keys come for N minutes, else 1,500 of them.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { serve } from './server.mjs';

const { values: options, positionals: [folder, playwright] } = parseArgs({
  allowPositionals: true,
  options: { minutes: { type: 'string' }, json: { type: 'string' }, pictures: { type: 'string' }, chromium: { type: 'string', default: '/usr/bin/chromium' } },
});
const { chromium } = createRequire(`${playwright}/`)('playwright-core');
const root = new URL('../..', import.meta.url).pathname;
// Chromium without what it does on its own: this machine may have no network.
const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];

const { server, address } = await serve(folder);
const browser = await chromium.launch({ executablePath: options.chromium, args: FLAGS });
const faults = [];

/** A page of a new user, or of the context of one. */
async function open(context) {
  const page = await (context ?? await browser.newContext({ viewport: { width: 390, height: 800 } })).newPage();
  page.on('pageerror', (error) => faults.push(String(error)));
  page.on('console', (line) => line.type() === 'error' && faults.push(line.text()));
  page.on('dialog', (dialog) => dialog.accept());
  await page.goto(address);
  await page.waitForFunction(() => globalThis.pocketlmKeyboard?.ready);
  return page;
}

const value = (page) => page.inputValue('#field');
const words = (page) => page.$$eval('.slot', (slots) => slots.map((slot) => slot.textContent).filter(Boolean));
const notice = (page) => page.$eval('#notice', (element) => (element.hidden ? '' : element.textContent));

async function type(page, text) {
  await page.focus('#field');
  await page.keyboard.type(text);
}

async function send(page, text) {
  await type(page, text);
  await page.keyboard.press('Enter');
}

const tests = {
  async 'suggests, completes, and takes words by key and by touch'() {
    const page = await open();
    assert.equal((await words(page)).length, 3);
    await type(page, 'the company sa');
    assert.equal((await words(page))[0], 'said');
    await page.keyboard.press('Tab');
    assert.equal(await value(page), 'the company said ');
    const [, second] = await words(page);
    await page.keyboard.press('Alt+2');
    assert.equal(await value(page), `the company said ${second} `);
    const [first] = await words(page);
    await page.click('.slot >> nth=0');
    assert.equal(await value(page), `the company said ${second} ${first} `);
    await type(page, ',');
    assert.equal(await value(page), `the company said ${second} ${first}, `);
    return page;
  },

  async 'the keys on the screen type'() {
    const page = await open();
    const press = (name) => page.click(`#keys button:text-is("${name}")`);
    for (const key of ['h', 'i', 'space', '123', '7', 'abc', '⇧', 'A', '⌫']) await press(key);
    assert.equal(await value(page), 'hi 7');
    await page.click('#keys [aria-label=Send]');
    assert.equal(await page.textContent('#sent li'), 'hi 7');
    assert.equal(await value(page), '');
    return page;
  },

  async 'a slip is mended at the space, seen, and undone for good'() {
    const page = await open();
    await type(page, 'we are not sure abuot');
    assert.deepEqual((await words(page)).slice(0, 2), ['about', '“abuot”']);
    await page.keyboard.press('Space');
    assert.equal(await value(page), 'we are not sure about ');
    assert.equal((await words(page))[0], '↩ abuot');
    assert.match(await page.textContent('#live'), /abuot was corrected to about/);
    await page.keyboard.press('Backspace');
    assert.equal(await value(page), 'we are not sure abuot ');
    await type(page, 'and not sure abuot ');
    assert.equal(await value(page), 'we are not sure abuot and not sure abuot ');
    return page;
  },

  async 'a word is learnt, there after a reload, and forgotten'() {
    const page = await open();
    await send(page, 'see Zsuzsi and Zsuzsi');
    await page.reload();
    await page.waitForFunction(() => globalThis.pocketlmKeyboard?.ready);
    await type(page, 'see Zs');
    assert.equal((await words(page))[0], 'Zsuzsi');
    await page.click('#words-button');
    await page.click('[aria-label="Forget Zsuzsi"]');
    await page.keyboard.press('Escape');
    assert.ok(!(await words(page)).includes('Zsuzsi'));
    await page.reload();
    await page.waitForFunction(() => globalThis.pocketlmKeyboard?.ready);
    await type(page, 'see Zs');
    assert.ok(!(await words(page)).includes('Zsuzsi'));
    return page;
  },

  async 'a word is blocked from the strip, and let in again'() {
    const page = await open();
    await type(page, 'the company sa');
    await page.click('.slot >> nth=0', { button: 'right' });
    await page.click('#word-block');
    assert.ok(!(await words(page)).includes('said'));
    await page.click('#words-button');
    await page.click('[aria-label="Suggest again said"]');
    await page.keyboard.press('Escape');
    assert.equal((await words(page))[0], 'said');
    return page;
  },

  async 'a private text is not learnt'() {
    const page = await open();
    await page.click('#private-button');
    await send(page, 'see Zsuzsi and Zsuzsi');
    await type(page, 'see Zs');
    assert.ok(!(await words(page)).includes('Zsuzsi'));
    assert.equal(await page.evaluate(() => localStorage.getItem('pocketlm.words')), null);
    return page;
  },

  async 'words are added, saved, erased and loaded'() {
    const page = await open();
    await page.click('#words-button');
    await page.fill('#new-word', 'Óbuda');
    await page.keyboard.press('Enter');
    const [download] = await Promise.all([page.waitForEvent('download'), page.click('#export')]);
    const kept = readFileSync(await download.path());
    await page.click('#erase');
    assert.equal(await page.textContent('#own'), '');
    await page.setInputFiles('#import', { name: 'words.jsonl', mimeType: 'text/plain', buffer: kept });
    await page.waitForSelector('[aria-label="Forget Óbuda"]');
    await page.setInputFiles('#import', { name: 'words.jsonl', mimeType: 'text/plain', buffer: kept.subarray(0, -5) });
    await page.waitForSelector('#notice:not([hidden])', { state: 'attached' });
    assert.match(await notice(page), /damaged/);
    await page.waitForSelector('[aria-label="Forget Óbuda"]');
    return page;
  },

  async 'damaged words are set aside with a message'() {
    const page = await open();
    await page.evaluate(() => localStorage.setItem('pocketlm.words', 'no words'));
    await page.reload();
    await page.waitForFunction(() => globalThis.pocketlmKeyboard?.ready);
    assert.match(await notice(page), /set aside/);
    assert.equal(await page.evaluate(() => localStorage.getItem('pocketlm.words.damaged')), 'no words');
    assert.equal((await words(page)).length, 3);
    return page;
  },

  async 'a hostile file gets a message, a good one is used'() {
    const page = await open();
    const drop = (name, bytes) => page.evaluate(([name, bytes]) => {
      const dataTransfer = new DataTransfer();
      dataTransfer.items.add(new File([Uint8Array.from(atob(bytes), (char) => char.charCodeAt(0))], name));
      document.body.dispatchEvent(new DragEvent('drop', { dataTransfer, bubbles: true, cancelable: true }));
    }, [name, Buffer.from(bytes).toString('base64')]);
    const model = readFileSync(join(root, 'fuzz/seeds/open/lstm-int8.plm'));
    const damaged = Buffer.from(model);
    damaged.fill(0x55, 100, 400);
    for (const [name, bytes] of [['empty.plm', ''], ['text.plm', 'hello'], ['cut.plm', model.subarray(0, 900)], ['damaged.plm', damaged]]) {
      await drop(name, bytes);
      await page.waitForFunction((name) => document.getElementById('notice').textContent.startsWith(name), name);
      assert.match(await notice(page), /cannot be used: .{10,}/);
      assert.equal((await words(page)).length, 3);
    }
    await drop('tiny.plm', model);
    await page.waitForFunction(() => document.getElementById('model-name').textContent === 'tiny.plm');
    assert.equal(await notice(page), '');
    await page.click('#model-button');
    await page.click('text=Built in');
    await page.waitForFunction(() => document.getElementById('model-name').textContent === 'Built in');
    return page;
  },

  async 'it works without a network once it is there'() {
    const page = await open();
    const asked = [];
    page.on('request', (request) => asked.push(request.url()));
    await page.context().setOffline(true);
    await send(page, 'the company said it was abuot');
    await type(page, 'the company sa');
    assert.equal((await words(page))[0], 'said');
    await page.click('#words-button');
    assert.deepEqual(asked.filter((url) => !url.startsWith('data:')), []);
    return page;
  },

  async 'everything that can be pressed has a name and a place in the order'() {
    const page = await open();
    await type(page, 'the');
    const nameless = await page.$$eval('button, input, textarea, select', (all) => all
      .filter((element) => !element.disabled && element.checkVisibility() && !(element.ariaLabel || element.textContent.trim() || element.labels?.length))
      .map((element) => element.outerHTML));
    assert.deepEqual(nameless, []);
    await page.focus('#keys button');
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Enter');
    assert.equal(await value(page), 'thes');
    for (const [scheme, floor] of [['light', 4.5], ['dark', 4.5]]) {
      await page.emulateMedia({ colorScheme: scheme });
      assert.ok(await page.evaluate(contrast, ['--ink', '--page']) >= floor);
      assert.ok(await page.evaluate(contrast, ['--soft', '--tray']) >= floor, `soft on tray, ${scheme}`);
      assert.ok(await page.evaluate(contrast, ['--accent', '--tint']) >= floor, `accent on tint, ${scheme}`);
    }
    return page;
  },
};

/** The contrast of two colours of the style, as WCAG 2 (section 1.4.3) has it. */
function contrast(names) {
  const style = getComputedStyle(document.documentElement);
  const light = (name) => {
    let hex = style.getPropertyValue(name).trim().slice(1);
    if (hex.length === 3) hex = [...hex].map((digit) => digit + digit).join('');
    const [r, g, b] = hex.match(/../g).map((two) => parseInt(two, 16) / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const [a, b] = names.map(light).sort((a, b) => b - a);
  return (a + 0.05) / (b + 0.05);
}

/** Random keys, the same at every run: none throws, and nothing grows. */
async function random() {
  const page = await open();
  const session = await page.context().newCDPSession(page);
  const size = async () => {
    // What is typed and sent differs from time to time; what is left without it must not.
    await page.evaluate(() => {
      document.getElementById('sent').replaceChildren();
      document.getElementById('field').value = '';
    });
    await session.send('HeapProfiler.collectGarbage');
    const { metrics } = await session.send('Performance.getMetrics');
    const metric = (name) => metrics.find((one) => one.name === name).value;
    return { heap: metric('JSHeapUsedSize'), nodes: metric('Nodes'), module: await page.evaluate(() => pocketlmKeyboard.memory()) };
  };
  await session.send('Performance.enable');
  let seed = 7;
  const next = (most) => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return (seed >>> 8) % most;
  };
  const named = ['Backspace', 'Backspace', 'Space', 'Space', 'Space', 'Tab', 'Alt+1', 'Alt+2', 'Alt+3', 'ArrowLeft', 'ArrowRight', 'Home', 'End', 'Shift+ArrowLeft', 'Delete', 'Enter', 'Control+a', 'Shift+Enter'];
  const letters = 'eeeetttaaaooiinnsshhrrddlucmfwypvbgkqxjz,.!?\'"()-0é😀ßŐ文';
  const shown = [...letters];
  const begun = Date.now();
  const end = options.minutes ? begun + 60000 * Number(options.minutes) : Infinity;
  const isDone = (at) => (options.minutes ? Date.now() > end : at >= 1500);
  let keys = 0;
  const sizes = [];
  while (!isDone(keys)) {
    if (!(await page.evaluate(() => document.activeElement.id === 'field'))) await page.focus('#field');
    for (let burst = 0; burst < 25; burst += 1, keys += 1) {
      if (next(5) === 0) await page.keyboard.press(named[next(named.length)]);
      else await page.keyboard.insertText(shown[next(shown.length)]);
    }
    const part = options.minutes ? (Date.now() - begun) / (20000 * Number(options.minutes)) : keys / 500;
    if (part > sizes.length + 1) sizes.push(await size());
  }
  // The first two thirds fill what is bounded: the user's words, the browser's own list of edits to be undone.
  const [, before] = sizes;
  const after = await size();
  console.log(`# ${[...sizes, after].map((one) => `${one.nodes} nodes, ${one.heap} bytes of heap, ${one.module} of the module`).join('; ')}`);
  assert.ok(after.heap - before.heap < 2e6, `the heap grew from ${before.heap} to ${after.heap} bytes`);
  assert.ok(after.nodes - before.nodes < 400, `the page grew from ${before.nodes} to ${after.nodes} nodes`);
  assert.ok(after.module - before.module < 1e6, `the module grew from ${before.module} to ${after.module} bytes`);
  assert.deepEqual(faults, []);
  await page.keyboard.press('Control+a');
  await page.keyboard.press('Delete');
  await type(page, 'the company sa');
  assert.ok((await words(page)).length > 0);
  await page.context().close();
  console.log(`ok - ${keys} random keys`);
}

/** Times of a cold start, and of each key of a text. */
async function measure() {
  const cold = [];
  for (let round = 0; round < 7; round += 1) {
    const page = await open();
    cold.push(await page.evaluate(() => pocketlmKeyboard.ready));
    await page.context().close();
  }
  const page = await open();
  const text = 'the company said it expects to report a loss for the third quarter because of lower prices in europe and teh weak dollar ';
  for (let round = 0; round < 4; round += 1) await send(page, text);
  const times = (await page.evaluate(() => pocketlmKeyboard.times)).sort((a, b) => a - b);
  const quantile = (list, share) => list[Math.min(list.length - 1, Math.floor(share * list.length))];
  const round = (value) => Math.round(value * 100) / 100;
  await page.context().close();
  return {
    chromium: browser.version(),
    module_bytes_gzip: Number(process.env.POCKETLM_WASM_GZIP) || undefined,
    model_bytes: readFileSync(join(folder, 'keyboard.plm')).length,
    keys: times.length,
    key_ms: { p50: round(quantile(times, 0.5)), p99: round(quantile(times, 0.99)), most: round(times.at(-1)) },
    cold_ms: { least: round(Math.min(...cold)), median: round(quantile(cold.sort((a, b) => a - b), 0.5)), most: round(Math.max(...cold)) },
  };
}

async function pictures() {
  for (const [scheme, viewport] of [['light', { width: 900, height: 860 }], ['dark', { width: 390, height: 800 }]]) {
    const page = await open(await browser.newContext({ viewport, colorScheme: scheme }));
    const picture = (name) => page.screenshot({ path: join(options.pictures, `${scheme}-${name}.png`) });
    await picture('empty');
    await send(page, 'see Zsuzsi and Zsuzsi');
    await send(page, 'the company said it was about the price');
    await type(page, 'we are not sure abuot');
    await picture('correction');
    await page.keyboard.press('Space');
    await picture('undo');
    await page.click('#words-button');
    await picture('words');
    await page.keyboard.press('Escape');
    await page.click('#model-button');
    await picture('models');
    await page.context().close();
  }
}

try {
  for (const [name, test] of Object.entries(tests)) {
    const page = await test();
    assert.deepEqual(faults, [], name);
    await page.context().close();
    console.log(`ok - ${name}`);
  }
  await random();
  if (options.pictures) await pictures();
  if (options.json) {
    const found = await measure();
    writeFileSync(options.json, JSON.stringify(found));
    console.log(found);
  }
} finally {
  await browser.close();
  server.close();
}

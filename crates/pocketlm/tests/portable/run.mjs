// The fingerprints of packed models under WebAssembly: node run.mjs PORTABLE.wasm FOLDER NAME
// The folder has a folder for each precision, with its models and the expected number (tests/portable.rs).
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

const [file, folder, name] = process.argv.slice(2);
const module = new WebAssembly.Module(readFileSync(file));
let failed = false;
let count = 0;
for (const precision of readdirSync(folder)) {
  const place = join(folder, precision);
  let hash = new WebAssembly.Instance(module).exports.empty();
  for (const model of readdirSync(place).filter((entry) => entry.endsWith('.plm')).sort()) {
    const bytes = readFileSync(join(place, model));
    const { room, fingerprint, memory } = new WebAssembly.Instance(module).exports;
    const start = room(bytes.length);
    new Uint8Array(memory.buffer).set(bytes, start);
    hash = fingerprint(hash, start, bytes.length);
    count += 1;
  }
  const found = BigInt.asUintN(64, hash).toString(16).padStart(16, '0');
  const expected = readFileSync(join(place, 'expected'), 'utf8');
  if (found === expected) continue;
  console.error(`${name}, ${precision}: ${found}, elsewhere ${expected}`);
  failed = true;
}
if (failed || count === 0) process.exit(1);
console.log(`wasm32 ${name}: ${count} packed models give the same numbers as everywhere`);

// Runs the battery: node run.mjs BATTERY.wasm BACKEND
import { readFileSync } from 'node:fs';

const [file, backend] = process.argv.slice(2);
const { exports } = new WebAssembly.Instance(new WebAssembly.Module(readFileSync(file)));
const length = exports.backend_name_len();
if (length !== backend.length) {
  console.error(`${file}: another backend than ${backend} runs (its name has ${length} letters)`);
  process.exit(1);
}
const failures = exports.failures();
if (failures & 1) console.error(`${backend}: other bits than on other platforms`);
if (failures & 2) console.error(`${backend}: wrong floating-point products`);
if (failures) process.exit(1);
console.log(`wasm32 ${backend}: the same bits as everywhere`);

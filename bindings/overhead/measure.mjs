// The bits of a text's score: node measure.mjs PACKAGE MODEL.plm TEXT BATCHES
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

const [folder, model, text] = process.argv.slice(2);
const { load } = await import(pathToFileURL(`${folder}/index.js`));
const { nll } = (await load()).open(readFileSync(model)).session().score(text);
const view = new DataView(new ArrayBuffer(8));
view.setFloat64(0, -nll);
console.log(`score ${view.getBigUint64(0).toString(16).padStart(16, '0')}`);

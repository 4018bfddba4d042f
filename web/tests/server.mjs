// A static server for this machine: node server.mjs FOLDER PORT
import { createReadStream, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join, normalize, resolve } from 'node:path';

const TYPES = {
  '.html': 'text/html; charset=utf-8', '.css': 'text/css; charset=utf-8', '.js': 'text/javascript; charset=utf-8',
  '.wasm': 'application/wasm', '.plm': 'application/octet-stream', '.json': 'application/json',
};

/** Serves the files of a folder; resolves to the server and its address. */
export function serve(folder, port = 0) {
  const root = resolve(folder);
  const server = createServer((request, response) => {
    const path = decodeURIComponent(new URL(request.url, 'http://localhost').pathname);
    let file = join(root, normalize(path));
    if (path.endsWith('/')) file = join(file, 'index.html');
    const found = file.startsWith(root) && statSync(file, { throwIfNoEntry: false });
    if (!found || !found.isFile()) return response.writeHead(404).end('not found');
    response.writeHead(200, {
      'Content-Type': TYPES[extname(file)] ?? 'application/octet-stream', 'Content-Length': found.size, 'Cache-Control': 'no-cache',
    });
    createReadStream(file).pipe(response);
  });
  return new Promise((done) => {
    server.listen(port, '127.0.0.1', () => done({ server, address: `http://127.0.0.1:${server.address().port}/` }));
  });
}

if (import.meta.filename === process.argv[1] || process.argv[1]?.endsWith('server.mjs')) {
  const { address } = await serve(process.argv[2], Number(process.argv[3] ?? 8080));
  console.log(`the keyboard is at ${address}`);
}

// Peers of the gateway with trailers, by Node's own HTTP.
//   node trailers_peer.mjs serve http1|http2      says its port; answers with what it got and trailers, as JSON
//   node trailers_peer.mjs ask http1|http2 URL    posts a body with trailers; prints what it got, as JSON
import http from 'node:http';
import http2 from 'node:http2';

const [role, protocol, url] = process.argv.slice(2);
const TRAILERS = { 'x-sum': '7', 'x-busbar-tenant': 'root', 'x-forwarded-for': '192.0.2.1' };

async function textOf(stream) {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return Buffer.concat(parts).toString();
}

function shown(headers) {
  return Object.fromEntries(Object.entries(headers ?? {}));
}

function serveHttp1() {
  return http.createServer(async (request, response) => {
    const body = await textOf(request);
    response.write(JSON.stringify({ body, te: request.headers.te ?? '', trailers: shown(request.trailers) }));
    response.addTrailers(TRAILERS);
    response.end();
  });
}

function serveHttp2() {
  const server = http2.createServer();
  server.on('stream', async (stream, headers) => {
    let trailers = {};
    stream.on('trailers', (got) => { trailers = got; });
    stream.on('wantTrailers', () => stream.sendTrailers(TRAILERS));
    const body = await textOf(stream);
    stream.respond({ ':status': 200 }, { waitForTrailers: true });
    stream.end(JSON.stringify({ body, te: headers.te ?? '', trailers: shown(trailers) }));
  });
  return server;
}

async function askHttp1() {
  const request = http.request(url, { method: 'POST', headers: { TE: 'trailers', 'Transfer-Encoding': 'chunked' } });
  request.write('body');
  request.addTrailers(TRAILERS);
  request.end();
  const response = await new Promise((resolve, reject) => request.on('response', resolve).on('error', reject));
  const body = await textOf(response);
  return { status: response.statusCode, answer: JSON.parse(body), trailers: shown(response.trailers) };
}

async function askHttp2() {
  const { origin, pathname } = new URL(url);
  const session = http2.connect(origin);
  const stream = session.request({ ':method': 'POST', ':path': pathname, te: 'trailers' }, { waitForTrailers: true });
  let status = 0;
  let trailers = {};
  stream.on('wantTrailers', () => stream.sendTrailers(TRAILERS));
  stream.on('response', (headers) => { status = headers[':status']; });
  stream.on('trailers', (got) => { trailers = got; });
  stream.end('body');
  const body = await textOf(stream);
  session.close();
  return { status, answer: JSON.parse(body), trailers: shown(trailers) };
}

if (role === 'serve') {
  const server = protocol === 'http1' ? serveHttp1() : serveHttp2();
  server.listen(0, '127.0.0.1', () => console.log(server.address().port));
} else {
  console.log(JSON.stringify(await (protocol === 'http1' ? askHttp1() : askHttp2())));
}

// What both backends share: bodies in, answers out, a clean end.
import http from 'node:http'

const MAX_BODY = 16 * 1024 * 1024

export class BadRequest extends Error {
  constructor(message, status = 400) {
    super(message)
    this.status = status
  }
}

export async function readBody(request) {
  const parts = []
  let size = 0
  for await (const part of request) {
    size += part.length
    if (size > MAX_BODY) throw new BadRequest(`the body is larger than ${MAX_BODY} bytes`, 413)
    parts.push(part)
  }
  return Buffer.concat(parts)
}

export async function readJson(request) {
  const body = await readBody(request)
  try {
    return JSON.parse(body.toString('utf8'))
  } catch (error) {
    throw new BadRequest(`the body is no JSON: ${error.message}`)
  }
}

export function sendJson(response, value, status = 200) {
  const body = Buffer.from(`${JSON.stringify(value)}\n`)
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': body.length })
  response.end(body)
}

// `routes`: 'GET /path' to an async function of request and response. Listens on $PORT; SIGTERM ends it when what is
// under way has been answered.
export function serve(routes) {
  const server = http.createServer(async (request, response) => {
    const path = new URL(request.url, 'http://localhost').pathname
    const handle = routes[`${request.method} ${path}`]
    try {
      if (handle === undefined) throw new BadRequest(`no ${request.method} ${path} here`, 404)
      await handle(request, response)
    } catch (error) {
      const status = error.status ?? 500
      if (status === 500) console.error(error)
      if (response.headersSent) return response.destroy()
      const type = status < 500 ? 'invalid_request_error' : 'server_error'
      sendJson(response, { error: { message: error.message, type, code: status } }, status)
    }
  })
  server.keepAliveTimeout = 0 // the gateway decides how long its connections live
  process.once('SIGTERM', () => {
    server.close(() => process.exit(0))
    server.closeIdleConnections()
  })
  server.listen(Number(process.env.PORT ?? 8080), () => console.log(`listening on ${server.address().port}`))
}

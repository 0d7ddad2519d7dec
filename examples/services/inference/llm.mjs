// OpenAI's completions and chat on llama.cpp, several at once in one batch.
//   GET /v1/models; POST /v1/completions, /v1/chat/completions
// MODEL_FILE is the GGUF file (a small one with random weights is made where none is named), MODEL its name, PARALLEL
// how many requests share a batch. A client that goes away stops its completion.
import os from 'node:os'
import path from 'node:path'
import { randomUUID } from 'node:crypto'
import { loadModel } from '@fugood/llama.node'
import { makeModel } from './make_model.mjs'
import { BadRequest, readJson, sendJson, serve } from './serving.mjs'

const MODEL = process.env.MODEL ?? 'noise'
const PARALLEL = Number(process.env.PARALLEL ?? 4)

function modelFile() {
  if (process.env.MODEL_FILE) return process.env.MODEL_FILE
  const file = path.join(os.tmpdir(), 'noise.gguf')
  makeModel(file)
  return file
}

const context = await loadModel({
  model: modelFile(),
  n_ctx: 512 * PARALLEL,
  n_parallel: PARALLEL,
  n_threads: 1,
  n_gpu_layers: 0,
})
if (!(await context.parallel.enable({ n_parallel: PARALLEL, n_batch: 512 }))) throw new Error('no parallel decoding')

function number(body, name, fallback, low, high) {
  const value = body[name] ?? fallback
  if (typeof value !== 'number' || !(value >= low && value <= high)) {
    throw new BadRequest(`${name} is ${JSON.stringify(value)}; a number from ${low} to ${high} is needed`)
  }
  return value
}

function promptOf(body, isChat) {
  if (!isChat) {
    if (typeof body.prompt !== 'string') throw new BadRequest('prompt must be a string')
    return body.prompt
  }
  if (!Array.isArray(body.messages) || body.messages.length === 0) throw new BadRequest('messages must not be empty')
  const lines = body.messages.map(({ role, content }) => {
    if (typeof role !== 'string' || typeof content !== 'string') {
      throw new BadRequest('each message needs role and content, both strings')
    }
    return `${role}: ${content}\n`
  })
  return `${lines.join('')}assistant: `
}

function parse(body, isChat) {
  if (body.model !== MODEL) throw new BadRequest(`no model ${JSON.stringify(body.model)} here; there is "${MODEL}"`, 404)
  const limit = body.max_completion_tokens === undefined ? 'max_tokens' : 'max_completion_tokens'
  return {
    prompt: promptOf(body, isChat),
    n_predict: number(body, limit, 64, 1, 2048),
    temperature: number(body, 'temperature', 0.8, 0, 2),
    seed: body.seed === undefined ? -1 : number(body, 'seed', 0, 0, 2 ** 31),
    stop: [body.stop ?? []].flat(),
  }
}

async function usageOf(options, result) {
  const prompt = (await context.tokenize(options.prompt)).tokens.length
  const completion = result.tokens_predicted
  return { prompt_tokens: prompt, completion_tokens: completion, total_tokens: prompt + completion }
}
const reasonOf = (result) => (result.stopped_limit > 0 || result.stopped_limit === true ? 'length' : 'stop')

// One answer's frame: whole and chunk differ by the object's name and where the text stands.
function framer(isChat, isStream) {
  const frame = {
    id: `${isChat ? 'chatcmpl' : 'cmpl'}-${randomUUID()}`,
    object: isChat ? (isStream ? 'chat.completion.chunk' : 'chat.completion') : 'text_completion',
    created: Math.floor(Date.now() / 1000),
    model: MODEL,
  }
  return (text, reason) => {
    const content = isChat ? { [isStream ? 'delta' : 'message']: { role: 'assistant', content: text } } : { text }
    return { ...frame, choices: [{ index: 0, ...content, finish_reason: reason }] }
  }
}

// The completion's result; null where the client went away first.
async function finish(job, response) {
  response.once('close', () => response.writableEnded || job.stop())
  try {
    return await job.promise
  } catch (error) {
    if (response.destroyed) return null
    throw error
  }
}

async function stream(response, options, frame, wantsUsage) {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
  const send = (value) => response.write(`data: ${typeof value === 'string' ? value : JSON.stringify(value)}\n\n`)
  const job = await context.parallel.completion(options, (_, { token }) => {
    if (token !== '') send(frame(token, null))
  })
  const result = await finish(job, response)
  if (result === null) return
  send(frame('', reasonOf(result)))
  if (wantsUsage) send({ ...frame('', null), choices: [], usage: await usageOf(options, result) })
  send('[DONE]')
  response.end()
}

async function complete(request, response, isChat) {
  const body = await readJson(request)
  const options = parse(body, isChat)
  const isStream = body.stream === true
  const frame = framer(isChat, isStream)
  if (isStream) return stream(response, options, frame, body.stream_options?.include_usage === true)
  const job = await context.parallel.completion(options, () => {})
  const result = await finish(job, response)
  if (result === null) return
  sendJson(response, { ...frame(result.text, reasonOf(result)), usage: await usageOf(options, result) })
}

const ok = (_, response) => sendJson(response, { ready: true })
serve({
  'GET /healthz': ok,
  'GET /v1/models': (_, response) =>
    sendJson(response, { object: 'list', data: [{ id: MODEL, object: 'model', owned_by: 'busbar' }] }),
  'POST /v1/completions': (request, response) => complete(request, response, false),
  'POST /v1/chat/completions': (request, response) => complete(request, response, true),
})

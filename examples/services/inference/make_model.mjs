// Writes a small language model with random weights as GGUF version 3
// (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md): the llama architecture, bytes as tokens.
//   node make_model.mjs FILE [SEED]
// The same seed gives the same file.
import fs from 'node:fs'
import { fileURLToPath } from 'node:url'

export const SHAPE = { context: 2048, width: 64, layers: 2, heads: 4, hidden: 128 }
const ALIGNMENT = 32
const TYPE = { UINT32: 4, INT32: 5, FLOAT32: 6, BOOL: 7, STRING: 8, ARRAY: 9 }
const TOKEN = { NORMAL: 1, UNKNOWN: 2, CONTROL: 3, BYTE: 6 }

const CONTROLS = 3 // tokens, at the vocabulary's start
const count = (shape) => shape.reduce((product, size) => product * size, 1)

// The tokenizer is SentencePiece's with nothing learnt: three control tokens and the 256 bytes it falls back to.
function vocabulary() {
  const tokens = ['<unk>', '<s>', '</s>']
  const types = [TOKEN.UNKNOWN, TOKEN.CONTROL, TOKEN.CONTROL]
  for (let byte = 0; byte < 256; ++byte) {
    tokens.push(`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`)
    types.push(TOKEN.BYTE)
  }
  // Letters as pieces of their own, so that its noise can be read.
  for (const letter of '▁abcdefghijklmnopqrstuvwxyz') {
    tokens.push(letter)
    types.push(TOKEN.NORMAL)
  }
  return { tokens, types }
}

class Writer {
  parts = []
  size = 0
  raw(buffer) {
    this.parts.push(buffer)
    this.size += buffer.length
  }
  uint32(value) {
    const buffer = Buffer.alloc(4)
    buffer.writeUInt32LE(value)
    this.raw(buffer)
  }
  uint64(value) {
    const buffer = Buffer.alloc(8)
    buffer.writeBigUInt64LE(BigInt(value))
    this.raw(buffer)
  }
  float32(value) {
    const buffer = Buffer.alloc(4)
    buffer.writeFloatLE(value)
    this.raw(buffer)
  }
  string(text) {
    const bytes = Buffer.from(text)
    this.uint64(bytes.length)
    this.raw(bytes)
  }
  value(type, value) {
    if (type === TYPE.STRING) this.string(value)
    else if (type === TYPE.FLOAT32) this.float32(value)
    else if (type === TYPE.BOOL) this.raw(Buffer.from([value ? 1 : 0]))
    else this.uint32(value)
  }
  field(key, type, value) {
    this.string(key)
    this.uint32(type)
    this.value(type, value)
  }
  list(key, type, values) {
    this.string(key)
    this.uint32(TYPE.ARRAY)
    this.uint32(type)
    this.uint64(values.length)
    for (const value of values) this.value(type, value)
  }
  pad() {
    this.raw(Buffer.alloc((ALIGNMENT - (this.size % ALIGNMENT)) % ALIGNMENT))
  }
}

// Marsaglia's xorshift32: the file must not depend on the machine.
function randomSource(seed) {
  let state = seed >>> 0 || 1
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return ((state >>> 0) / 2 ** 32) * 2 - 1
  }
}

// Shapes in ggml's order: the fastest dimension first.
function tensorShapes(words) {
  const { width, layers, hidden } = SHAPE
  const shapes = [['token_embd.weight', [width, words]]]
  for (let layer = 0; layer < layers; ++layer) {
    const block = (name, shape) => shapes.push([`blk.${layer}.${name}.weight`, shape])
    block('attn_norm', [width])
    for (const name of ['attn_q', 'attn_k', 'attn_v', 'attn_output']) block(name, [width, width])
    block('ffn_norm', [width])
    block('ffn_gate', [width, hidden])
    block('ffn_up', [width, hidden])
    block('ffn_down', [hidden, width])
  }
  shapes.push(['output_norm.weight', [width]], ['output.weight', [width, words]])
  return shapes
}

// Noise, with one thing made to be: the first number of each token's state is always 1, since nothing adds to it, and
// the output layer takes it as "no control token". So a text is as long as it was asked to be.
function weights(name, shape, random) {
  const [row] = shape
  const values = Float32Array.from({ length: count(shape) }, () => (name.includes('norm') ? 1 : random() * 0.3))
  if (name === 'token_embd.weight') values.forEach((_, at) => at % row === 0 && (values[at] = 1))
  if (name.includes('attn_output') || name.includes('ffn_down')) values.fill(0, 0, row)
  if (name === 'output.weight') values.forEach((_, at) => at % row === 0 && (values[at] = at / row < CONTROLS ? -100 : 0))
  return values
}

function writeMetadata(out, { tokens, types }) {
  const { context, width, layers, heads, hidden } = SHAPE
  const fields = [
    ['general.architecture', TYPE.STRING, 'llama'],
    ['general.name', TYPE.STRING, 'noise'],
    ['llama.context_length', TYPE.UINT32, context],
    ['llama.embedding_length', TYPE.UINT32, width],
    ['llama.block_count', TYPE.UINT32, layers],
    ['llama.feed_forward_length', TYPE.UINT32, hidden],
    ['llama.rope.dimension_count', TYPE.UINT32, width / heads],
    ['llama.attention.head_count', TYPE.UINT32, heads],
    ['llama.attention.layer_norm_rms_epsilon', TYPE.FLOAT32, 1e-5],
    ['llama.vocab_size', TYPE.UINT32, tokens.length],
    ['tokenizer.ggml.model', TYPE.STRING, 'llama'],
    ['tokenizer.ggml.unknown_token_id', TYPE.UINT32, 0],
    ['tokenizer.ggml.bos_token_id', TYPE.UINT32, 1],
    ['tokenizer.ggml.eos_token_id', TYPE.UINT32, 2],
    ['tokenizer.ggml.add_bos_token', TYPE.BOOL, true],
  ]
  out.uint64(fields.length + 3)
  for (const [key, type, value] of fields) out.field(key, type, value)
  out.list('tokenizer.ggml.tokens', TYPE.STRING, tokens)
  out.list('tokenizer.ggml.scores', TYPE.FLOAT32, tokens.map((_, at) => -at))
  out.list('tokenizer.ggml.token_type', TYPE.INT32, types)
}

export function makeModel(file, seed = 1) {
  const words = vocabulary()
  const shapes = tensorShapes(words.tokens.length)
  const out = new Writer()
  out.raw(Buffer.from('GGUF'))
  out.uint32(3)
  out.uint64(shapes.length)
  writeMetadata(out, words)
  const padded = (bytes) => Math.ceil(bytes / ALIGNMENT) * ALIGNMENT
  let offset = 0
  for (const [name, shape] of shapes) {
    out.string(name)
    out.uint32(shape.length)
    for (const size of shape) out.uint64(size)
    out.uint32(0) // F32
    out.uint64(offset)
    offset += padded(count(shape) * 4)
  }
  out.pad()
  const random = randomSource(seed)
  for (const [name, shape] of shapes) {
    out.raw(Buffer.from(weights(name, shape, random).buffer))
    out.pad()
  }
  // Whole or not at all: two replicas may do this at once.
  const draft = `${file}.${process.pid}`
  fs.writeFileSync(draft, Buffer.concat(out.parts))
  fs.renameSync(draft, file)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  if (process.argv.length < 3) {
    console.error('usage: node make_model.mjs FILE [SEED]')
    process.exit(2)
  }
  makeModel(process.argv[2], Number(process.argv[3] ?? 1))
}

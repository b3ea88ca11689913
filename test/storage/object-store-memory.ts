/**
 * A process of its own for objects.test.ts: puts and gets 500 MB in the store of a URL, and says by how many MB it grew.
 * V8 lets 64 MB of dead buffers lie before it looks for them, whoever made them; here it is made to look more often
 * (`--expose-gc`), because asked is what the store holds.
 */
import { openObjectStore } from '../../src/storage/objects/open.ts'
import { generatedStream, MB } from './streams.ts'

const SIZE = 500 * MB
const COLLECT_EVERY = 8 * MB
const [url = ''] = process.argv.slice(2)
const collect =
  globalThis.gc ??
  (() => {
    throw new Error('start this with --expose-gc')
  })
await using store = await openObjectStore(url)

async function* watched(stream: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let sinceCollected = 0
  for await (const piece of stream) {
    most = Math.max(most, process.memoryUsage.rss())
    sinceCollected += piece.length
    if (sinceCollected >= COLLECT_EVERY) {
      sinceCollected = 0
      collect()
    }
    yield piece
  }
}

// What any work needs once: compiled code, connections, buffers of the pool.
await store.put('warm', generatedStream(MB))
for await (const piece of await store.get('warm')) piece.at(0)
collect()
let most = 0
const idle = process.memoryUsage.rss()
await store.put('large', watched(generatedStream(SIZE)))
let size = 0
for await (const piece of watched(await store.get('large'))) size += piece.length
if (size !== SIZE) throw new Error(`${size} bytes came back`)
console.log(String((most - idle) / MB))

/**
 * A process of its own for objects.test.ts, there to be killed. With `stall` it stops in the middle of a put; else it puts
 * objects and joins parts without end, and says each key when it was acknowledged.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { openFileStore } from '../../src/storage/objects/file-store.ts'
import { MB, someBytes, streamOf } from './streams.ts'

const [folder = '', task = ''] = process.argv.slice(2)
await using store = await openFileStore(folder)

async function* stalling(): AsyncGenerator<Uint8Array> {
  yield* streamOf(someBytes(2 * MB))
  console.log('half')
  await sleep(60_000)
}

if (task === 'stall') await store.put('half', stalling())
// Made once, so that most of the time goes into what should be killed.
const most = someBytes(4 * MB)
for (let count = 0; ; count++) {
  const size = 3 * MB + count
  const [put, joined] = [`${task}/put/${size}`, `${task}/joined/${size}`]
  const bytes = most.subarray(0, size)
  await store.put(put, streamOf(bytes))
  console.log(put)
  const uploadId = await store.beginParts(joined)
  const parts = []
  for (const [index, cut] of [bytes.subarray(0, MB), bytes.subarray(MB)].entries())
    parts.push(await store.putPart(joined, uploadId, index + 1, streamOf(cut)))
  await store.completeParts(joined, uploadId, parts)
  console.log(joined)
}

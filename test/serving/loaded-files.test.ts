/** What is loaded depends on no file any more: weights beside the model may be overwritten, shortened or linked, and answers stay whole. */
import assert from 'node:assert/strict'
import { copyFile, mkdir, open, rename, symlink, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { it } from 'node:test'
import { loadModel } from '../../src/library/load-model.ts'
import { ask } from '../asking.ts'
import { serveInChild } from '../child-server.ts'
import { until } from '../fixtures.ts'
import { buildModel, node, value } from '../onnx/build-model.ts'
import { temporaryFolder } from '../temporary-folder.ts'

/** Rows of weights: some megabytes, so that they are many pages. */
const ROWS = 1 << 20

/** y = the weight in row x, weights in a file beside the model. */
function looksUp(location: string): Uint8Array {
  const entries = { location, offset: '0', length: String(ROWS * 4) }
  return buildModel({
    input: [value('x', 'INT64', ['batch'])],
    output: [value('y', 'FP32', ['batch'])],
    node: [node('Gather', ['w', 'x'], ['y'])],
    initializer: [
      {
        name: 'w',
        dims: [BigInt(ROWS)],
        dataType: 1,
        dataLocation: 1,
        externalData: Object.entries(entries).map(([key, text]) => ({ key, value: text })),
      } as never,
    ],
  })
}

const weights = (each: number): Buffer => Buffer.from(new Float32Array(ROWS).fill(each).buffer)
const QUESTION = JSON.stringify({
  inputs: [{ name: 'x', datatype: 'INT64', shape: [4], data: [0, 1000, ROWS / 2, ROWS - 1] }],
})

/** The distinct weights of an answer: one, unless it is of two versions at once. */
async function answered(url: string): Promise<string> {
  const { status, text } = await ask(`${url}/v2/models/m/infer`, { method: 'POST', body: QUESTION })
  return status === 200 ? [...new Set(JSON.parse(text).outputs[0].data as number[])].join() : `status ${status}: ${text}`
}

for (const isolation of ['thread', 'process'] as const)
  it(
    `weights that are overwritten, in place or by a shorter file, change no answer until all of it is there (${isolation})`,
    { timeout: 120_000 },
    async () => {
      await using folder = await temporaryFolder()
      await folder.write('m/model.onnx', looksUp('weights.bin'))
      const path = await folder.write('m/weights.bin', weights(1))
      await using server = await serveInChild([
        join(folder.path, 'm'),
        '--poll-ms',
        '300',
        '--isolation',
        isolation,
        '--instances',
        '2',
        '--inline-max-us',
        '0',
      ])
      assert.equal(await answered(server.url), '1')
      const over = new AbortController()
      const seen = new Set<string>()
      const load = (async () => {
        while (!over.signal.aborted) for (const one of await Promise.all([answered(server.url), answered(server.url)])) seen.add(one)
      })()
      // As `cp` does: the file is emptied, and filled again.
      await truncate(path, 0)
      await new Promise((resolve) => setTimeout(resolve, 200))
      await writeFile(path, weights(2))
      await until(async () => (await answered(server.url)) === '2', 'what was copied over it is served')
      // As `dd conv=notrunc` does: a piece after the other.
      {
        await using file = await open(path, 'r+')
        const bytes = weights(3)
        for (let at = 0; at < bytes.length; at += bytes.length / 8) {
          await file.write(bytes, at, bytes.length / 8, at)
          await new Promise((resolve) => setTimeout(resolve, 100))
        }
      }
      await until(() => seen.has('3'), 'what was written into it is served')
      over.abort()
      await load
      assert.deepEqual([...seen].toSorted(), ['1', '2', '3'])
    },
  )

it('a cache of links, in which every file is a link to a blob of another name, is loaded as Python loads it', async () => {
  await using folder = await temporaryFolder()
  for (const name of ['blobs', 'snapshots/1', 'elsewhere']) await mkdir(join(folder.path, name), { recursive: true })
  await folder.write('blobs/aaa', looksUp('weights.bin'))
  await folder.write('blobs/bbb', weights(7))
  const snapshot = join(folder.path, 'snapshots/1')
  await symlink('../../blobs/aaa', join(snapshot, 'model.onnx'))
  await symlink('../../blobs/bbb', join(snapshot, 'weights.bin'))
  {
    await using model = await loadModel(snapshot)
    assert.deepEqual(await model.predict({ x: 3 }), { prediction: 7 })
  }
  // Out of the folder of the blobs nothing is read.
  await copyFile(join(folder.path, 'blobs/bbb'), join(folder.path, 'elsewhere/ccc'))
  await rename(join(snapshot, 'weights.bin'), join(snapshot, 'old'))
  await symlink('../../elsewhere/ccc', join(snapshot, 'weights.bin'))
  await assert.rejects(loadModel(snapshot), { code: 'SLW_MODEL_UNSAFE' })
})

/**
 * Size of an image, and the times to build and to start it: `sh scripts/node bench/image.ts [--starts 5]`. It builds examples/churn twice,
 * the second time with the layers that the first has kept, runs it by runc on a read-only root, and prints rows; it asserts nothing.
 */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { parseArgs, promisify } from 'node:util'
import { unpackedImage } from '../scripts/container.ts'
import { helpFrom } from '../scripts/help.ts'
import { markdownTable, median, rangeOf } from './table.ts'
import { temporaryFolder } from './temporary.ts'

helpFrom(import.meta.filename)

const run = promisify(execFile)
const ROOT = join(import.meta.dirname, '..')
const MEMORY_BYTES = 512 * 1024 * 1024
const LOOK_EVERY_MS = 5

interface Built {
  readonly digest: string
  readonly ms: number
  readonly images: readonly { readonly size: number; readonly layers: readonly { name: string; size: number; unpacked: number }[] }[]
}

const { values } = parseArgs({ options: { starts: { type: 'string', default: '5' } } })
const folder = temporaryFolder('image')

async function build(output: string, ...more: string[]): Promise<Built> {
  const args = ['build', join(ROOT, 'examples/churn'), '--output', join(folder, output), '--json', ...more]
  const { stdout } = await run(process.execPath, [join(ROOT, 'bin/slipway'), ...args])
  return JSON.parse(stdout) as Built
}

async function startMs(start: () => ReturnType<Awaited<ReturnType<typeof unpackedImage>>['start']>, port: number): Promise<number> {
  const began = performance.now()
  await using container = await start()
  for (;;) {
    const answer = await fetch(`http://127.0.0.1:${port}/ready`).catch(() => undefined)
    await answer?.arrayBuffer()
    if (answer?.ok === true) break
    if (performance.now() - began > 60_000) throw new Error(container.said())
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS))
  }
  return performance.now() - began
}

const mb = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`
const first = await build('first', '--no-cache')
await build('second')
const again = await build('again')
const port = 18_470
const { start } = await unpackedImage({
  layout: join(folder, 'first'),
  tag: 'latest',
  folder: folder,
  memoryBytes: MEMORY_BYTES,
  environment: { SLIPWAY_HOST: '127.0.0.1', SLIPWAY_PORT: String(port), SLIPWAY_GRPC_PORT: String(port + 1) },
})
const starts: number[] = []
for (let count = 0; count < Number(values.starts); count++) starts.push(await startMs(start, port))
const [image] = first.images
const seconds = (ms: number): string => `${(ms / 1000).toFixed(2)} s`
const [least, most] = rangeOf(starts)
console.log(
  markdownTable(
    ['', 'result', 'goal'],
    [
      ...image!.layers.map(({ name, size, unpacked }) => [`layer ${name}, compressed`, `${mb(size)} of ${mb(unpacked)}`, '']),
      ['image, compressed', mb(image!.size), '<= 150 MB'],
      ['build, every layer compressed', seconds(first.ms), ''],
      ['build, of kept layers', seconds(again.ms), ''],
      ['the second build has the same digest', String(first.digest === again.digest), 'true'],
      ['start in a container until ready', `${seconds(median(starts))} (${seconds(least)} to ${seconds(most)})`, '<= 1.0 s'],
    ],
  ),
)

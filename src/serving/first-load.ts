import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { access, mkdir, stat, writeFile } from 'node:fs/promises'
import { constants } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { cacheFolder } from '../core/cache-folder.ts'
import { workerEnvironment } from '../core/entry.ts'
import { isSlipwayError, SlipwayError } from '../core/errors.ts'
import { runtimeVersion } from '../engine/runtime.ts'
import { openProcess } from '../engine/process.ts'
import type { Instance, InstanceSpec } from '../engine/instance.ts'
import type { Tensor } from '../tensor/tensor.ts'

export interface FirstLoadOptions {
  readonly spec: InstanceSpec
  /** The files of the model. */
  readonly paths: readonly string[]
  readonly inputs: readonly Tensor[]
  readonly outputs: readonly string[]
  readonly runTimeoutMs: number
  readonly signal: AbortSignal | undefined
}

/** Models up to so many bytes are known by their content; larger ones by name, size and time, as reading them would take longer than a trial. */
const DIGESTED_BYTES_MAX = 64 * 1024 * 1024
/** A trial holds the model once more for a moment: without room for it none is made. */
const ROOM = 3

/**
 * Loads a model that this machine has not loaded before in a process of its own, and runs it once: native code that ends the process, ends
 * that one. What has been loaded once is remembered in the cache of the user.
 * @throws SLW_CLOSED where the signal was aborted; SLW_LOAD_FAILED with the signal where the process ended; every other failure is left to the load itself
 */
export async function tryFirst(options: FirstLoadOptions): Promise<void> {
  const { spec, paths, inputs, outputs, runTimeoutMs, signal } = options
  const sizes = await Promise.all(paths.map(async (path) => (await stat(path)).size))
  const bytes = sizes.reduce((sum, size) => sum + size, 0)
  if (bytes * ROOM > process.availableMemory()) return
  const note = join(cacheFolder('loaded'), await contentOf(paths, bytes))
  if (
    await access(note).then(
      () => true,
      () => false,
    )
  )
    return
  // A fault that a test asks for is for the load itself.
  const { SLIPWAY_FAIL_POINTS: _faults, ...environment } = workerEnvironment()
  let instance: Instance | undefined
  try {
    instance = await openProcess(spec, { runTimeoutMs, memoryLimitMb: undefined, environment, signal })
    await instance.run(inputs, outputs)
  } catch (error) {
    if (signal?.aborted === true) throw new SlipwayError('SLW_CLOSED', 'it was closed while it loaded')
    // The runtime has refused it, in order: the load says so too.
    if (!isSlipwayError(error) || error.exitCode <= 128) return
    throw new SlipwayError(
      'SLW_LOAD_FAILED',
      `the model ended the process in which it was tried, by ${signalOf(error.exitCode)}, and is loaded nowhere else; isolation: process would load it, and end no more than its own process`,
      { cause: error, exitCode: error.exitCode },
    )
  } finally {
    await instance?.close()
  }
  await mkdir(cacheFolder('loaded'), { recursive: true })
    .then(() => writeFile(note, ''))
    .catch(() => {
      // Without a cache each start tries again.
    })
}

async function contentOf(paths: readonly string[], bytes: number): Promise<string> {
  const hash = createHash('sha256').update(runtimeVersion())
  for (const path of paths) {
    if (bytes <= DIGESTED_BYTES_MAX) await pipeline(createReadStream(path), hash, { end: false })
    else {
      const { size, mtimeMs, ino } = await stat(path)
      hash.update(`${path} ${size} ${mtimeMs} ${ino}`)
    }
  }
  return hash.digest('hex')
}

/** @param exitCode 128 and the number of a signal */
function signalOf(exitCode: number): string {
  const [name = `signal ${exitCode - 128}`] = Object.entries(constants.signals).find(([, number]) => number === exitCode - 128) ?? []
  return name
}

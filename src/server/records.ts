import { randomBytes } from 'node:crypto'
import { link, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { messageOf } from '../core/errors.ts'
import { Secrets } from '../security/secrets/secrets.ts'
import { RecordCounts } from '../serving/records/record-counts.ts'
import { Recorder } from '../serving/records/recorder.ts'
import { RecordSpool } from '../serving/records/record-spool.ts'
import { spoolFolder } from '../serving/records/spool-files.ts'
import type { Clock } from '../core/clock.ts'
import type { Logger } from '../core/log.ts'
import type { DataPlane } from '../serving/data-plane.ts'
import type { Family } from '../serving/observe/exposition.ts'
import type { ControlPlaneConfig } from './control-plane-options.ts'

export interface ServerRecordsOptions {
  readonly config: ControlPlaneConfig
  readonly dataPlane: DataPlane
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly clock: Clock
  readonly log: Logger
}

/** The records of a serving process: from requests into the spool, from which the server sends them. */
export interface ServerRecords extends AsyncDisposable {
  families(): Family[]
  /** Writes what was answered, so that it can be sent. */
  flush(): Promise<void>
}

/** @returns undefined where the spool cannot be opened: serving goes on without records, and the log says so */
export async function openServerRecords(options: ServerRecordsOptions): Promise<ServerRecords | undefined> {
  const { config, dataPlane, environment, clock, log } = options
  await using opened = new AsyncDisposableStack()
  try {
    const counts = new RecordCounts()
    const hashKey = await hashKeyOf(config, environment, log)
    const spool = opened.use(await RecordSpool.open({ folder: spoolFolder(config.store, config), counts, clock, log }))
    const recorder = opened.use(new Recorder({ dataPlane, spool, counts, hashKey, clock, log }))
    const held = opened.move()
    return {
      families: () => counts.families(),
      flush: () => recorder.flush(),
      [Symbol.asyncDispose]: () => held.disposeAsync(),
    }
  } catch (error) {
    log.error({}, `records cannot be kept, and none are: ${messageOf(error)}`)
    return undefined
  }
}

async function hashKeyOf(
  { recordsKey, store }: ControlPlaneConfig,
  environment: ServerRecordsOptions['environment'],
  log: Logger,
): Promise<Buffer> {
  if (recordsKey === undefined) return await storeKey(store)
  const secret = new Secrets({ environment, log }).secret('controlPlane.recordsKey', recordsKey)
  return Buffer.from((await secret.value()).trim(), 'utf8')
}

/** The key of a store, which the first process that needs it draws. */
async function storeKey(store: string): Promise<Buffer> {
  const path = join(store, 'records.key')
  const drawn = `${path}.${randomBytes(6).toString('hex')}`
  await mkdir(store, { recursive: true, mode: 0o700 })
  await writeFile(drawn, `${randomBytes(32).toString('hex')}\n`, { mode: 0o600 })
  await link(drawn, path).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  })
  await rm(drawn)
  return Buffer.from((await readFile(path, 'utf8')).trim(), 'hex')
}

import { randomBytes } from 'node:crypto'
import { open, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { messageOf, SlipwayError } from '../../core/errors.ts'
import { faultPoint } from '../../core/fail-point.ts'
import { tryLock } from '../../core/file-lock.ts'
import { Turns } from '../../core/turns.ts'
import { closedName, lockOf, makeSpoolFolder, openName, spoolBytes } from './spool-files.ts'
import type { FileHandle } from 'node:fs/promises'
import type { Clock } from '../../core/clock.ts'
import type { Logger } from '../../core/log.ts'
import type { RecordCounts } from './record-counts.ts'
import type { SpoolName } from './spool-files.ts'

export interface SpoolLimits {
  /** Bytes of all files in the folder; each process may be over it by the file that it writes. Default: 64 MiB. */
  readonly bytesMax: number
  /** Bytes after which a file is closed. Default: 1 MiB. */
  readonly fileBytesMax: number
  /** Time after which a file is closed. Default: 5000. */
  readonly fileMs: number
  /** Bytes that wait for the disk. Default: 8 MiB. */
  readonly unwrittenBytesMax: number
}

export interface SpoolOptions extends Partial<SpoolLimits> {
  readonly folder: string
  readonly counts: RecordCounts
  readonly clock: Clock
  readonly log: Logger
}

const LIMITS: SpoolLimits = {
  bytesMax: 64 * 1024 * 1024,
  fileBytesMax: 1024 * 1024,
  fileMs: 5000,
  unwrittenBytesMax: 8 * 1024 * 1024,
}
/** Pause between two writes; a kill loses what came since the last. */
const WRITE_EVERY_MS = 500

interface OpenFile extends SpoolName {
  readonly handle: FileHandle
  readonly openedMs: number
  bytes: number
}

/** Records on disk until the control plane has them: lines of JSON in files that grow, and are closed to be sent. Never makes a caller wait. */
export class RecordSpool implements AsyncDisposable {
  readonly #options: SpoolOptions & SpoolLimits
  readonly #bootId: string
  readonly #lock: Disposable
  readonly #turns = new Turns()
  #sequence = 0
  #file: OpenFile | undefined
  #lines: Buffer[] = []
  #unwrittenBytes = 0
  /** Bytes of all files, as last seen, and of what this process has written since. */
  #spoolBytes: number
  #cancel: (() => void) | undefined
  #told: string | undefined
  #closed = false

  private constructor(options: SpoolOptions & SpoolLimits, lock: { readonly held: Disposable; readonly bootId: string }, bytes: number) {
    this.#options = options
    this.#bootId = lock.bootId
    this.#lock = lock.held
    this.#spoolBytes = bytes
  }

  /** @throws errors of the file system */
  static async open(given: SpoolOptions): Promise<RecordSpool> {
    const options = { ...LIMITS, ...given }
    await makeSpoolFolder(options.folder)
    const bootId = randomBytes(8).toString('hex')
    const held = tryLock(lockOf(options.folder, bootId), 'exclusive')
    if (held === undefined) throw new SlipwayError('SLW_STORE_UNAVAILABLE', `the lock of the spool ${options.folder} is held by another`)
    return new RecordSpool(options, { held, bootId }, await spoolBytes(options.folder))
  }

  /** Adds a line of JSON, or counts it as dropped. */
  add(line: string): void {
    const { bytesMax, unwrittenBytesMax, counts } = this.#options
    const bytes = Buffer.from(`${line}\n`)
    if (this.#spoolBytes + this.#unwrittenBytes + bytes.length > bytesMax) counts.drop('full')
    else if (this.#unwrittenBytes + bytes.length > unwrittenBytesMax) counts.drop('disk')
    else {
      this.#lines.push(bytes)
      this.#unwrittenBytes += bytes.length
    }
    this.#writeLater()
  }

  #writeLater(): void {
    if (this.#closed) return
    this.#cancel ??= this.#options.clock.after(WRITE_EVERY_MS, () => {
      void this.#turns
        .take(() => this.#write())
        .finally(() => {
          this.#cancel = undefined
          if (this.#lines.length > 0 || this.#file !== undefined) this.#writeLater()
        })
    })
  }

  /** Writes what waits and closes the file, so that it can be sent. Never rejects. */
  async closeFile(): Promise<void> {
    await this.#turns.take(async () => {
      await this.#write()
      await this.#close()
    })
  }

  /** Never rejects. */
  async #write(): Promise<void> {
    const { folder, counts, clock, fileBytesMax, fileMs, bytesMax } = this.#options
    const lines = this.#lines
    const bytes = this.#unwrittenBytes
    this.#lines = []
    let left = lines.length
    try {
      // Files that were sent meanwhile have made room.
      if (this.#spoolBytes + bytes > bytesMax / 2) this.#spoolBytes = await spoolBytes(folder)
      for (const some of parts(lines, fileBytesMax)) {
        const file = (this.#file ??= await this.#openFile())
        await file.handle.writev(some)
        await file.handle.datasync()
        await faultPoint('records.spooled')
        const size = some.reduce((sum, line) => sum + line.length, 0)
        file.bytes += size
        this.#spoolBytes += size
        counts.write(some.length)
        left -= some.length
        // A control plane takes files of some size: whatever waited, none is much larger than it may be.
        if (file.bytes >= fileBytesMax) await this.#close()
      }
      this.#tell(undefined)
    } catch (error) {
      counts.drop('disk', left)
      this.#tell(`records cannot be written to ${folder}: ${messageOf(error)}`)
      // The last line may be cut off: nothing may follow it.
      await this.#close()
    } finally {
      this.#unwrittenBytes -= bytes
    }
    const { bytes: written = 0, openedMs = Infinity } = this.#file ?? {}
    if (written >= fileBytesMax || clock.monotonicMs() - openedMs >= fileMs) await this.#close()
  }

  async #openFile(): Promise<OpenFile> {
    const { folder, clock } = this.#options
    const name = { bootId: this.#bootId, sequence: this.#sequence++ }
    const handle = await open(join(folder, openName(name)), 'ax', 0o600)
    return { ...name, handle, openedMs: clock.monotonicMs(), bytes: 0 }
  }

  /** A file that cannot be closed is found open when this process has ended. */
  async #close(): Promise<void> {
    const { folder } = this.#options
    const file = this.#file
    this.#file = undefined
    if (file === undefined) return
    try {
      await file.handle.close()
      await rename(join(folder, openName(file)), join(folder, closedName(file)))
    } catch (error) {
      this.#tell(`a file of records in ${folder} cannot be closed: ${messageOf(error)}`)
    }
  }

  /** Logs a new problem once, and what has been dropped since the last time. */
  #tell(trouble: string | undefined): void {
    const { counts, log } = this.#options
    const said = trouble ?? (counts.dropped === 0 ? undefined : 'records are dropped')
    if (said !== undefined && said !== this.#told) log.warn({}, trouble ?? `records are dropped: ${counts.why}`)
    this.#told = said
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true
    this.#cancel?.()
    await this.closeFile()
    this.#lock[Symbol.dispose]()
    await rm(lockOf(this.#options.folder, this.#bootId), { force: true })
  }
}

/** Lines in groups of up to so many bytes, or of one line. */
function* parts(lines: readonly Buffer[], bytesMax: number): Generator<Buffer[]> {
  let group: Buffer[] = []
  let bytes = 0
  for (const line of lines) {
    if (group.length > 0 && bytes + line.length > bytesMax) {
      yield group
      ;[group, bytes] = [[], 0]
    }
    group.push(line)
    bytes += line.length
  }
  if (group.length > 0) yield group
}

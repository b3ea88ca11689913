import { mkdir, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { readWindow, writeWindow } from '../../contract/observation-window.ts'
import { mergeSeries } from '../../contract/statistics/series.ts'
import { faultPoint } from '../../core/fail-point.ts'
import { Turns } from '../../core/turns.ts'
import { writeWhole } from '../../core/write-whole.ts'
import type { ObservationWindow } from '../../contract/observation-window.ts'

export interface BufferOptions {
  readonly folder: string
  readonly filesMax: number
  readonly bytesMax: number
}

/** Windows that are to be sent together, and the files that they are kept in. */
export interface Unsent {
  readonly names: readonly string[]
  readonly windows: readonly ObservationWindow[]
}

interface Entry {
  readonly name: string
  readonly bytes: number
  /** The file may have arrived: it is sent again as it is, and not merged. */
  readonly sent: boolean
}

/** Limits of the files that are sent together, in number and bytes: a request takes 8 MiB. */
const BATCH = 60
const BATCH_BYTES = 4 * 1024 * 1024
const MINUTE_MS = 60_000
const HOUR_MS = 3_600_000

/**
 * Windows that have not arrived yet, on disk: one file for each cut, named so that the oldest sorts first. The buffer stays within its
 * bounds by merging the oldest files: first those of a minute, then those of an hour.
 */
export class WindowBuffer {
  readonly #options: BufferOptions
  /** One operation at a time: files are not sent while they are merged. */
  readonly #turns = new Turns()
  /** Number of windows given up: no files could be merged, or the control plane will never accept them. */
  dropped = 0

  private constructor(options: BufferOptions) {
    this.#options = options
  }

  static async open(options: BufferOptions): Promise<WindowBuffer> {
    await mkdir(options.folder, { recursive: true, mode: 0o700 })
    for (const name of await readdir(options.folder)) if (name.endsWith('.partial')) await rm(join(options.folder, name), { force: true })
    const buffer = new WindowBuffer(options)
    await buffer.#recover()
    return buffer
  }

  /** Keeps the windows of one cut. */
  async add(windows: readonly ObservationWindow[]): Promise<void> {
    const [first] = windows
    if (first === undefined) return
    await this.#turns.take(async () => {
      await writeWhole(join(this.#options.folder, nameOf(first)), JSON.stringify(windows.map(writeWindow)))
      await faultPoint('windows.kept')
      await this.#keepWithin()
    })
  }

  /**
   * The oldest windows that are to be sent. Until they are done or given up, the same ones are returned again, as they may have arrived.
   * @param most upper limit of files, at least 1
   * @returns undefined where there are no windows
   */
  next(most = BATCH): Promise<Unsent | undefined> {
    return this.#turns.take(() => this.#next(most))
  }

  async #next(most: number): Promise<Unsent | undefined> {
    const entries = await this.#entries()
    const sent = entries.filter((entry) => entry.sent)
    const chosen = batchOf(sent.length > 0 ? sent : entries, most)
    if (chosen.length === 0) return undefined
    const names: string[] = []
    const windows: ObservationWindow[] = []
    for (const { name, sent: already } of chosen) {
      const kept = already ? name : name.replace(/\.json$/, '.sent.json')
      if (!already) await rename(join(this.#options.folder, name), join(this.#options.folder, kept))
      const read = await this.#read(kept)
      if (read === undefined) continue
      names.push(kept)
      windows.push(...read)
    }
    return names.length === 0 ? await this.#next(most) : { names, windows }
  }

  /** Start of the newest window, UTC epoch milliseconds; undefined where there are none. */
  async newestMs(): Promise<number | undefined> {
    const newest = (await this.#entries()).at(-1)
    return newest === undefined ? undefined : Number(newest.name.split('-', 1)[0])
  }

  /** Removes files whose windows have arrived. */
  async done(names: readonly string[]): Promise<void> {
    for (const name of names) await rm(join(this.#options.folder, name), { force: true })
  }

  /** Removes files whose windows will never be accepted, and counts these as dropped. */
  async giveUp({ names, windows }: Unsent): Promise<void> {
    this.dropped += windows.length
    await this.done(names)
  }

  async #entries(): Promise<Entry[]> {
    const names = (await readdir(this.#options.folder)).filter((name) => name.endsWith('.json')).toSorted()
    const entries: Entry[] = []
    for (const name of names) {
      const size = (await stat(join(this.#options.folder, name)).catch(() => undefined))?.size
      if (size !== undefined) entries.push({ name, bytes: size, sent: name.endsWith('.sent.json') })
    }
    return entries
  }

  /** @returns undefined for a file that is not whole, which is removed. @throws what reading throws */
  async #read(name: string): Promise<ObservationWindow[] | undefined> {
    const path = join(this.#options.folder, name)
    const text = await readFile(path, 'utf8')
    const windows = windowsOf(text)
    if (windows === undefined) await rm(path, { force: true })
    return windows
  }

  async #keepWithin(): Promise<void> {
    const { filesMax, bytesMax, folder } = this.#options
    for (let entries = await this.#entries(); ;) {
      const bytes = entries.reduce((sum, entry) => sum + entry.bytes, 0)
      if (entries.length <= filesMax && bytes <= bytesMax) return
      const free = entries.filter(({ sent }) => !sent)
      const pair = oldestPair(free, MINUTE_MS) ?? oldestPair(free, HOUR_MS)
      if (pair === undefined) {
        const [oldest] = free
        if (oldest === undefined) return
        this.dropped += (await this.#read(oldest.name))?.length ?? 0
        await rm(join(folder, oldest.name), { force: true })
      } else {
        const [first, second] = await Promise.all(pair.map(({ name }) => this.#read(name)))
        // The merged windows get the name of the first file, which stays as it is until the second file is gone.
        if (first !== undefined && second !== undefined) {
          await writeWhole(
            join(folder, `${pair[0].name}.merging`),
            JSON.stringify({ of: pair[1].name, windows: mergeWindows(first, second).map(writeWindow) }),
          )
          await this.#finishMerge(`${pair[0].name}.merging`)
        }
      }
      entries = await this.#entries()
    }
  }

  /** Ends a merge of two files, also one that was found unfinished at a start: merging is atomic. */
  async #finishMerge(name: string): Promise<void> {
    const { folder } = this.#options
    const { of, windows } = JSON.parse(await readFile(join(folder, name), 'utf8')) as { of: string; windows: unknown[] }
    await rm(join(folder, of), { force: true })
    await writeWhole(join(folder, name.replace(/\.merging$/, '')), JSON.stringify(windows))
    await rm(join(folder, name), { force: true })
  }

  /** Ends the merges of a process that was killed. */
  async #recover(): Promise<void> {
    for (const name of await readdir(this.#options.folder)) if (name.endsWith('.merging')) await this.#finishMerge(name)
  }
}

/** Undefined where the text is cut off or invalid. */
function windowsOf(text: string): ObservationWindow[] | undefined {
  try {
    const read = (JSON.parse(text) as unknown[]).map(readWindow)
    return read.every((one) => 'value' in one) ? read.map((one) => one.value) : undefined
  } catch {
    return undefined
  }
}

/** At least one entry, and as many as a request takes. */
function batchOf(entries: readonly Entry[], most: number): Entry[] {
  let bytes = 0
  return entries.slice(0, most).filter((entry, index) => (bytes += entry.bytes) <= BATCH_BYTES || index === 0)
}

/** `START-BOOT-SEQUENCE.json`: sorts by time. */
function nameOf({ key: { startMs, bootId, sequence } }: ObservationWindow): string {
  return `${String(startMs).padStart(15, '0')}-${bootId}-${String(sequence).padStart(9, '0')}.json`
}

/** The two oldest files of the same start of the server that lie in the same span of time. */
function oldestPair(entries: readonly Entry[], spanMs: number): readonly [Entry, Entry] | undefined {
  const spanOf = ({ name }: Entry): string => {
    const [startMs = '', bootId = ''] = name.split('-')
    return `${Math.floor(Number(startMs) / spanMs)} ${bootId}`
  }
  for (let index = 1; index < entries.length; index++) {
    const [before, entry] = [entries[index - 1]!, entries[index]!]
    if (spanOf(before) === spanOf(entry)) return [before, entry]
  }
  return undefined
}

/** Windows of one version under one segment become one, under the key of the first. */
export function mergeWindows(first: readonly ObservationWindow[], second: readonly ObservationWindow[]): ObservationWindow[] {
  const merged = new Map<string, ObservationWindow>()
  for (const window of [...first, ...second]) {
    const { endpoint, variant, model, version, segment, startMs, endMs } = window.key
    const name = JSON.stringify([endpoint, variant, model, version, segment])
    const other = merged.get(name)
    merged.set(
      name,
      other === undefined
        ? window
        : {
            ...other,
            key: { ...other.key, startMs: Math.min(other.key.startMs, startMs), endMs: Math.max(other.key.endMs, endMs) },
            series: mergeSeries(other.series, window.series),
          },
    )
  }
  return [...merged.values()]
}

import { randomBytes } from 'node:crypto'
import { mkdir, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { Type } from 'typebox'
import { SlipwayError } from '../../core/errors.ts'
import { faultPoint } from '../../core/fail-point.ts'
import { writeWhole } from '../../core/write-whole.ts'
import { FeedbackItem } from '../../contract/feedback.ts'
import { check } from '../../contract/schema.ts'

/** Labels that came within this time are one file: a sync of the disk costs more than a label. */
const TOGETHER_MS = 10
/** Labels of one file, and of one request to the control plane. */
const FILE_MAX = 1000
/** Bytes that wait for the control plane at most; then labels are refused, and none that was taken is lost. */
const BYTES_MAX = 64 * 1024 * 1024

interface Waiting {
  readonly items: readonly FeedbackItem[]
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

/**
 * Labels that have been taken and have not arrived yet, on disk: a file for each group of them. The folder belongs to all servers of the
 * machine that follow one control plane: whichever runs sends what another one has left, and labels that arrive twice change nothing.
 */
export class FeedbackSpool {
  readonly #folder: string
  readonly #bytesMax: number
  #waiting: Waiting[] = []
  /** Whether a group is about to be written. */
  #gathering = false
  #bytes: number
  /** Names of files that were there at the last look, the oldest last. */
  #listed: string[] = []
  #count = 0

  private constructor(folder: string, bytes: number, bytesMax: number) {
    this.#folder = folder
    this.#bytes = bytes
    this.#bytesMax = bytesMax
  }

  static async open(folder: string, bytesMax: number = BYTES_MAX): Promise<FeedbackSpool> {
    await mkdir(folder, { recursive: true, mode: 0o700 })
    return new FeedbackSpool(folder, await sizeOf(folder), bytesMax)
  }

  /** Keeps labels; resolves once they would survive the end of the machine. @throws SLW_QUEUE_FULL, errors of the disk */
  async add(items: readonly FeedbackItem[]): Promise<void> {
    if (this.#bytes > this.#bytesMax) {
      this.#bytes = await sizeOf(this.#folder)
      if (this.#bytes > this.#bytesMax)
        throw new SlipwayError('SLW_QUEUE_FULL', `${this.#bytes} bytes of labels wait for the control plane, which does not answer`, {
          retryAfterMs: 10_000,
        })
    }
    await new Promise<void>((resolve, reject) => {
      this.#waiting.push({ items, resolve, reject })
      if (!this.#gathering) void this.#write()
    })
  }

  async #write(): Promise<void> {
    this.#gathering = true
    await pause(TOGETHER_MS)
    const group = this.#waiting
    this.#waiting = []
    this.#gathering = false
    try {
      const items = group.flatMap((one) => one.items)
      for (let at = 0; at < items.length; at += FILE_MAX) {
        const text = JSON.stringify(items.slice(at, at + FILE_MAX))
        await writeWhole(join(this.#folder, this.#name()), text)
        this.#bytes += text.length
      }
      await faultPoint('feedback.kept')
      for (const one of group) one.resolve()
    } catch (error) {
      for (const one of group) one.reject(error)
    }
  }

  /** Sorts by time. */
  #name(): string {
    return `${String(Date.now()).padStart(15, '0')}-${process.pid}-${this.#count++}-${randomBytes(4).toString('hex')}.json`
  }

  /** The oldest group that has not arrived; undefined where there is none. */
  async next(): Promise<{ readonly name: string; readonly items: readonly FeedbackItem[] } | undefined> {
    // A folder of many files is read once for all of them.
    if (this.#listed.length === 0)
      this.#listed = (await readdir(this.#folder))
        .filter((name) => name.endsWith('.json'))
        .toSorted()
        .toReversed()
    for (let name = this.#listed.at(-1); name !== undefined; name = this.#listed.at(-1)) {
      const text = await readFile(join(this.#folder, name), 'utf8').catch(() => undefined)
      const items = text === undefined ? undefined : itemsIn(text)
      if (items !== undefined) return { name, items }
      this.#listed.pop()
      // What cannot be read holds nothing else up, and stays for whoever looks.
      if (text !== undefined) await rename(join(this.#folder, name), join(this.#folder, `${name}.unreadable`))
    }
    return undefined
  }

  /** Removes a group that has arrived, or never will. */
  async done(name: string): Promise<void> {
    if (this.#listed.at(-1) === name) this.#listed.pop()
    const path = join(this.#folder, name)
    const size = (await stat(path).catch(() => undefined))?.size ?? 0
    await rm(path, { force: true })
    this.#bytes = Math.max(0, this.#bytes - size)
  }
}

/** Undefined where the text is cut off or invalid. */
function itemsIn(text: string): FeedbackItem[] | undefined {
  try {
    const checked = check(Type.Array(FeedbackItem), JSON.parse(text))
    return 'value' in checked ? checked.value : undefined
  } catch {
    return undefined
  }
}

async function sizeOf(folder: string): Promise<number> {
  let bytes = 0
  for (const name of await readdir(folder)) bytes += (await stat(join(folder, name)).catch(() => undefined))?.size ?? 0
  return bytes
}

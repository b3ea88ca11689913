import { note } from '../output.ts'

/** Shows progress: on a terminal one line that is rewritten; elsewhere a line for each step, but not for each detail. */
export class Progress implements Disposable {
  readonly #rewrite = process.stderr.isTTY
  readonly #endAtMs: number
  #step = ''

  /** @param endAtMs when the work should be over, on the clock of `performance.now()` */
  constructor(endAtMs: number) {
    this.#endAtMs = endAtMs
  }

  /** @param step what is measured, e.g. `3 of 12: 2 x 1 thread` */
  step(step: string): void {
    this.#step = step
    if (this.#rewrite) this.detail('')
    else note(`${step}, ${this.#left()}`)
  }

  detail(text: string): void {
    if (!this.#rewrite) return
    const line = `${this.#step}${text === '' ? '' : `, ${text}`}, ${this.#left()}`
    process.stderr.write(`\r\u001B[2K${line.slice(0, Math.max(20, process.stderr.columns - 1))}`)
  }

  #left(): string {
    return `about ${Math.max(1, Math.round((this.#endAtMs - performance.now()) / 1000))} s left`
  }

  [Symbol.dispose](): void {
    if (this.#rewrite) process.stderr.write('\r\u001B[2K')
  }
}

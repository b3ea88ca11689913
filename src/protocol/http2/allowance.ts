/** How often something may happen: a burst, and then a rate. */
export class Allowance {
  readonly #burst: number
  readonly #perSecond: number
  #left: number
  #atMs: number

  constructor({ burst, perSecond }: { readonly burst: number; readonly perSecond: number }, nowMs: number) {
    this.#burst = burst
    this.#perSecond = perSecond
    this.#left = burst
    this.#atMs = nowMs
  }

  /** @returns whether it may happen once more */
  take(nowMs: number): boolean {
    if (this.#left < 1) {
      this.#left = Math.min(this.#burst, this.#left + ((nowMs - this.#atMs) / 1000) * this.#perSecond)
      this.#atMs = nowMs
      if (this.#left < 1) return false
    } else if (this.#left === this.#burst) this.#atMs = nowMs
    this.#left--
    return true
  }

  /** Lets it happen so many times more, up to a burst. */
  give(times: number): void {
    this.#left = Math.min(this.#burst, this.#left + times)
  }
}

/** Runs actions one after the other: each sees the state that the one before it left, also after a failure. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve()

  take<T>(act: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(act)
    this.#last = turn.catch(() => {})
    return turn
  }

  /** Resolves when the actions given so far have ended. */
  async idle(): Promise<void> {
    await this.#last
  }
}

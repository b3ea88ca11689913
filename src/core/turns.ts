/** Works off what it is given one after the other: each sees the state that the one before it left, also one that failed. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve()

  take<T>(act: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(act)
    this.#last = turn.catch(() => {})
    return turn
  }

  /** Resolves when what was given so far has ended. */
  async idle(): Promise<void> {
    await this.#last
  }
}

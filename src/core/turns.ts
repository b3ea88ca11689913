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

/** Turns by name: actions of one name run one after the other, and wait for those of no other name. */
export class Lanes {
  readonly #turns = new Map<string, { readonly turns: Turns; waiting: number }>()

  /** Names of the actions that run or wait. */
  get busy(): ReadonlySet<string> {
    return new Set(this.#turns.keys())
  }

  async take<T>(name: string, act: () => Promise<T>): Promise<T> {
    const lane = this.#turns.get(name) ?? { turns: new Turns(), waiting: 0 }
    this.#turns.set(name, lane)
    lane.waiting++
    try {
      return await lane.turns.take(act)
    } finally {
      if (--lane.waiting === 0) this.#turns.delete(name)
    }
  }

  /** Resolves when the actions given so far have ended. */
  async idle(): Promise<void> {
    await Promise.all([...this.#turns.values()].map(({ turns }) => turns.idle()))
  }
}

import type { Answered } from '../keep-alive-load.ts'
import type { SoakModel, Span, Trouble } from './fleet.ts'

/** A question and what came of it. */
export interface Asked extends Answered, Span {
  /** It said itself how long it would wait. */
  readonly ownTimeout: boolean
}

/** Which answers other than 200 are as they should be: by status and code, and what must have been going on for that model. */
const EXPLANATIONS: Readonly<Record<string, readonly (Trouble | 'own timeout')[]>> = {
  '503 SLW_QUEUE_FULL': ['burst'],
  '503 SLW_LATENCY_GOAL': ['burst'],
  '504 SLW_DEADLINE_EXCEEDED': ['own timeout'],
  '404 SLW_MODEL_NOT_FOUND': ['unload'],
  '503 SLW_INSTANCE_FAILED': ['kill'],
  // A model that is put into service again is listed while it is still being loaded.
  '503 SLW_MODEL_NOT_READY': ['kill', 'removal', 'unload'],
  // The process was killed, or the files went, while the model was being loaded for a request.
  '422 SLW_LOAD_FAILED': ['kill', 'removal'],
  '422 SLW_MODEL_INVALID': ['removal'],
  '404 SLW_PATH_NOT_FOUND': ['removal'],
}

/** Counts answers, and keeps those that nothing explains. */
export class Verdict {
  readonly #fleet: ReadonlyMap<string, SoakModel>
  #right = 0
  readonly #refused: Asked[] = []
  readonly wrong: string[] = []
  readonly latenciesMs: number[] = []

  constructor(fleet: readonly SoakModel[]) {
    this.#fleet = new Map(fleet.map((model) => [model.name, model]))
  }

  get right(): number {
    return this.#right
  }

  get refused(): number {
    return this.#refused.length
  }

  /** Whether an answer is right is decided at once; whether a refusal is explained is known only when what caused it is over. */
  judge(asked: Asked): void {
    if (asked.status !== 200) {
      this.#refused.push(asked)
      return
    }
    const model = this.#fleet.get(asked.model)!
    const version = (asked.added ?? Number.NaN) - model.adds(0)
    if (String(version) === asked.version && model.mayAnswer(version, asked)) this.#right++
    else
      this.wrong.push(
        `${asked.model} at ${new Date(asked.from).toISOString()}: version ${asked.version} answered ${asked.text}, wanted ${model.wanted}`,
      )
    this.latenciesMs.push(asked.until - asked.from)
  }

  /** By status and code: how often, for what reason; `undefined` where nothing explains it. */
  explain(): { readonly counts: ReadonlyMap<string, number>; readonly unexplained: readonly Asked[] } {
    const counts = new Map<string, number>()
    const unexplained: Asked[] = []
    for (const asked of this.#refused) {
      const key = `${asked.status} ${asked.code ?? ''}`
      const model = this.#fleet.get(asked.model)!
      const reason = EXPLANATIONS[key]?.find((kind) => (kind === 'own timeout' ? asked.ownTimeout : model.inTrouble(kind, asked)))
      if (reason === undefined) unexplained.push(asked)
      const row = `${key}  ${reason ?? 'NOT EXPLAINED'}`
      counts.set(row, (counts.get(row) ?? 0) + 1)
    }
    return { counts, unexplained }
  }
}

/**
 * What differs between two servers, or two runs of one, without being a difference: ids, times, addresses, random names.
 * Each becomes a placeholder that names the step it was first seen in, so that the same thing has the same placeholder in
 * every later step, and one that is more or less in an early step does not change the later ones.
 */

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json }

export interface Step {
  readonly name: string
  readonly value?: Json
  /** The step itself raised: what it did before is lost. */
  readonly failed?: Json
}

/** What `recording.py` writes. */
export interface Recording {
  readonly uri: string
  readonly client: string
  readonly steps: readonly Step[]
}

const DAY_MS = 24 * 60 * 60 * 1000
/** Experiments that are the same on every server, and the one that the scripts ask for because it is on none. */
const FIXED_EXPERIMENTS = new Set(['0', '987654321'])
const MISSING_ID = /^(m-)?0{32}$/
/** What servers call a run that was given no name. */
const INVENTED_NAME = /^[a-z]+-[a-z]+-\d+$/
const QUOTED_INVENTED_NAME = /'[a-z]+-[a-z]+-\d+'/g
/** How the HTTP client of Python names the server. */
const SOCKET = /host='[^']*', port=\d+/g
const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g
const CLOCK = /\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?/g

/** @param nowMs the recording was made within a day of it */
export function normalise(recording: Recording, nowMs: number = Date.now()): Step[] {
  const placeholders = new Placeholders()
  const walk = new Walk(recording.uri.replace(/\/$/, ''), nowMs, placeholders)
  return recording.steps.map((step) => {
    placeholders.enter(step.name)
    if (step.failed !== undefined) return { name: step.name, failed: walk.value(step.failed) }
    return { name: step.name, value: walk.value(step.value ?? null) }
  })
}

class Placeholders {
  readonly #known = new Map<string, string>()
  #step = ''
  #counts = new Map<string, number>()

  enter(step: string): void {
    this.#step = step
    this.#counts = new Map()
  }

  of(kind: string, id: string): string {
    const key = `${kind} ${id}`
    const known = this.#known.get(key)
    if (known !== undefined) return known
    const count = (this.#counts.get(kind) ?? 0) + 1
    this.#counts.set(kind, count)
    const made = `<${kind} ${count} of ${this.#step}>`
    this.#known.set(key, made)
    return made
  }
}

class Walk {
  readonly #uri: string
  readonly #nowMs: number
  readonly #placeholders: Placeholders

  constructor(uri: string, nowMs: number, placeholders: Placeholders) {
    this.#uri = uri
    this.#nowMs = nowMs
    this.#placeholders = placeholders
  }

  value(value: Json, key = ''): Json {
    if (typeof value === 'number') return this.#isNow(value) ? '<time>' : value
    if (typeof value === 'string') return this.#text(value, key)
    if (isList(value)) return sorted(value, key).map((entry) => this.value(entry, key))
    if (value === null || typeof value === 'boolean') return value
    // A tag on the wire is a pair, and the name of its value is that of its key.
    const named = typeof value['key'] === 'string' ? value['key'] : undefined
    return Object.fromEntries(
      Object.entries(value).map(([name, entry]) => [
        this.#text(name, ''),
        this.value(entry, name === 'value' && named !== undefined ? named : name),
      ]),
    )
  }

  #text(text: string, key: string): string {
    if (text === '') return text
    if (key === 'next_page_token') return '<token>'
    if (key === 'experiment_id' || key === 'experiment_ids' || key === '_experiment_id') return this.#experiment(text)
    if ((key === 'run_name' || key === 'mlflow.runName') && INVENTED_NAME.test(text)) return '<invented name>'
    const told = key === 'message' ? text.replace(SOCKET, '<socket>').replace(QUOTED_INVENTED_NAME, "'<invented name>'") : text
    return told
      .replaceAll(this.#uri, '<server>')
      .replace(UUID, '<uuid>')
      .replace(CLOCK, '<time>')
      .replace(/\b(m-)?[0-9a-f]{32}\b/g, (id) => {
        if (MISSING_ID.test(id)) return id
        return this.#placeholders.of(id.startsWith('m-') ? 'model' : 'run', id)
      })
      .replace(/(mlflow-artifacts:\/+)(\d+)/g, (_, scheme: string, id: string) => scheme + this.#experiment(id))
      .replace(/\b(\d+)(?=\/(<run |models\/<model ))/g, (id) => this.#experiment(id))
      .replace(/\b\d{13}\b/g, (digits) => (this.#isNow(Number(digits)) ? '<time>' : digits))
  }

  #experiment(id: string): string {
    return FIXED_EXPERIMENTS.has(id) || id === '' ? id : this.#placeholders.of('experiment', id)
  }

  #isNow(number: number): boolean {
    return Math.abs(number - this.#nowMs) < DAY_MS
  }
}

export function isList(value: Json): value is readonly Json[] {
  return Array.isArray(value)
}

/** Tags, parameters and the latest metrics are sets; the history of a metric, which repeats its key, is a list. */
function sorted(list: readonly Json[], key: string): readonly Json[] {
  if (key !== 'tags' && key !== 'params' && key !== 'metrics') return list
  const keyed = list.flatMap((entry) => {
    const name = entry !== null && typeof entry === 'object' && !isList(entry) ? entry['key'] : undefined
    return typeof name === 'string' ? [{ name, entry }] : []
  })
  if (new Set(keyed.map(({ name }) => name)).size < list.length) return list
  return keyed.toSorted((one, other) => (one.name < other.name ? -1 : 1)).map(({ entry }) => entry)
}

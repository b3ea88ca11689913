import { inputInvalid } from '../core/errors.ts'
import type { Issue } from '../core/errors.ts'

/** Issues beyond this are counted, not listed. */
const ISSUES_MAX = 100

/** Collects the issues of a request, so that a person sees all of them at once. */
export class Issues {
  readonly #list: Issue[] = []

  get any(): boolean {
    return this.#list.length > 0
  }

  #count = 0

  get count(): number {
    return this.#count
  }

  /** Further issues are only counted: their messages need not be made. */
  get full(): boolean {
    return this.#list.length >= ISSUES_MAX
  }

  add(path: string, message: string): void {
    this.#count++
    if (this.#list.length < ISSUES_MAX) this.#list.push({ path, message })
  }

  /** @throws SLW_INPUT_INVALID when there are any */
  throwIfAny(): void {
    if (this.any) throw inputInvalid(this.#list)
  }
}

/** A value as a message shows it: short, and with its type visible. */
export function show(value: unknown): string {
  if (typeof value === 'bigint') return String(value)
  if (value === undefined) return 'nothing'
  if (typeof value === 'number') return String(value)
  const text = JSON.stringify(value, (_, inner: unknown) => (typeof inner === 'bigint' ? String(inner) : inner)) ?? String(value)
  return text.length > 60 ? `${text.slice(0, 57)}...` : text
}

import { SlipwayError } from '../core/errors.ts'

/** A part of tokenizer.json: an object with a type and settings of that type. */
export type Component = Readonly<Record<string, unknown>>

export function isComponent(value: unknown): value is Component {
  return value !== null && typeof value === 'object' && !Array.isArray(value)
}

/** @throws SLW_MODEL_UNSUPPORTED */
export function unsupported(what: string): never {
  throw new SlipwayError('SLW_MODEL_UNSUPPORTED', `tokenizer.json: ${what} is not supported; put token ids into the graph's inputs instead`)
}

/** @throws SLW_PACKAGE_INVALID */
export function broken(what: string): never {
  throw new SlipwayError('SLW_PACKAGE_INVALID', `tokenizer.json: ${what}`)
}

export function componentAt(component: Component, key: string): Component {
  const value = component[key]
  return isComponent(value) ? value : broken(`${key}: expected an object`)
}

export function listAt(component: Component, key: string): readonly unknown[] {
  const value = component[key]
  return Array.isArray(value) ? value : broken(`${key}: expected a list`)
}

export function textAt(component: Component, key: string, otherwise?: string): string {
  const value = component[key] ?? otherwise
  return typeof value === 'string' ? value : broken(`${key}: expected a text`)
}

export function integerAt(component: Component, key: string, otherwise?: number): number {
  const value = component[key] ?? otherwise
  return isId(value) ? value : broken(`${key}: expected an integer from 0`)
}

export function flagAt(component: Component, key: string, otherwise = false): boolean {
  const value = component[key] ?? otherwise
  return typeof value === 'boolean' ? value : broken(`${key}: expected true or false`)
}

/** Whether a value is a token id, which inputs of 32 bits can hold. */
export function isId(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 0x7f_ff_ff_ff
}

/** The type of a component; undefined where there is none. */
export function typeOf(component: unknown, what: string): string | undefined {
  if (component === undefined || component === null) return undefined
  return isComponent(component) ? textAt(component, 'type') : broken(`${what}: expected an object`)
}

import { readFile } from 'node:fs/promises'
import { inspect } from 'node:util'
import { systemClock } from '../../core/clock.ts'
import { messageOf, SlipwayError } from '../../core/errors.ts'
import { placeOfSecret, secretReference } from './reference.ts'
import { readAwsSecret } from './aws.ts'
import { readVaultSecret } from './vault.ts'
import type { Clock } from '../../core/clock.ts'
import type { Logger } from '../../core/log.ts'
import type { SecretReference } from './reference.ts'

export interface SecretsOptions {
  /** Environment for `env:`, VAULT_ADDR and AWS_REGION. Default: the one of the process. */
  readonly environment?: Readonly<Record<string, string | undefined>>
  readonly clock?: Clock
  readonly log?: Pick<Logger, 'warn'>
}

/** Time that a value is used before it is looked up again: a rotation takes effect within it. */
const FRESH_MS = 30_000
/** Time that a known value is used while its place cannot be asked. */
const STALE_MS = 3600_000

interface Known {
  readonly value: string
  readonly atMs: number
}

/** A secret that is looked up when it is needed. Printed, logged or written as JSON, it shows only its place. */
export class Secret {
  readonly #reference: SecretReference
  readonly #secrets: Secrets

  constructor(reference: SecretReference, secrets: Secrets) {
    this.#reference = reference
    this.#secrets = secrets
  }

  /** @throws SLW_SECRET_UNAVAILABLE */
  value(): Promise<string> {
    return this.#secrets.read(this.#reference)
  }

  toString(): string {
    return placeOfSecret(this.#reference)
  }

  toJSON(): string {
    return this.toString()
  }

  [inspect.custom](): string {
    return `Secret(${this.toString()})`
  }
}

/** Looks secrets up by reference, when needed and again after a while: a rotation needs no restart. */
export class Secrets {
  readonly #environment: Readonly<Record<string, string | undefined>>
  readonly #clock: Clock
  readonly #log: Pick<Logger, 'warn'> | undefined
  readonly #known = new Map<string, Known>()

  constructor({ environment = process.env, clock = systemClock, log }: SecretsOptions = {}) {
    this.#environment = environment
    this.#clock = clock
    this.#log = log
  }

  /** @param setting for messages. @throws SLW_CONFIG_INVALID for text that is no reference, without repeating it */
  secret(setting: string, text: string): Secret {
    return new Secret(secretReference(setting, text), this)
  }

  /** @throws SLW_SECRET_UNAVAILABLE naming the place, never a value */
  async read(reference: SecretReference): Promise<string> {
    const place = placeOfSecret(reference)
    const known = this.#known.get(place)
    const now = this.#clock.monotonicMs()
    if (known !== undefined && now - known.atMs < FRESH_MS) return known.value
    try {
      const value = await this.#lookUp(reference)
      if (value === '') throw new Error('it is empty')
      this.#known.set(place, { value, atMs: now })
      return value
    } catch (error) {
      if (known !== undefined && now - known.atMs < STALE_MS) {
        this.#log?.warn({ secret: place }, `the secret ${place} cannot be looked up, the last value is used: ${messageOf(error)}`)
        return known.value
      }
      throw new SlipwayError('SLW_SECRET_UNAVAILABLE', `the secret ${place} cannot be had: ${messageOf(error)}`)
    }
  }

  async #lookUp(reference: SecretReference): Promise<string> {
    switch (reference.kind) {
      case 'env': {
        const value = this.#environment[reference.name]
        if (value === undefined) throw new Error('the variable is not set')
        return value
      }
      case 'file':
        return (await readFile(reference.path, 'utf8')).replace(/\r?\n$/, '')
      case 'vault':
        return await readVaultSecret(reference, this.#environment)
      default:
        return await readAwsSecret(reference, this.#environment)
    }
  }
}
